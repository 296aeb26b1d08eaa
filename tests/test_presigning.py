"""Addresses at which the service fetches an object, signed by the libraries that came with each Airflow."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_nanostt.audio.sources import locate_source

pytest.importorskip("airflow.providers.amazon")
pytest.importorskip("s3fs")


def test_each_address_is_signed_as_the_connection_says(monkeypatch):
    """The second and the third one of a process, too, though nothing was asked of the store in between."""
    extra = {"region_name": "eu-north-1"}
    connection = {"conn_type": "aws", "login": "AKIDEXAMPLE", "password": "x" * 40, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SIGNING_KEYS", json.dumps(connection))
    for name in ("a", "b", "c"):
        given = {"ETag": "x", "size": 1, "type": "file"}
        url = locate_source(f"s3://signing_keys@bucket/{name}.wav", info=given).presign(60)
        (credential,) = parse_qs(urlsplit(url).query)["X-Amz-Credential"]
        assert credential.startswith("AKIDEXAMPLE/")
        assert urlsplit(url).path.endswith(f"/{name}.wav")
