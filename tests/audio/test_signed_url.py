"""Addresses that are signed for the service can be fetched, and one that its storage refuses is never paid for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.audio.sources import StoredObject
from airflow_provider_nanostt.common import object_storage, presigning
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeOperator
from tests.audio.sounds import wav
from tests.real_store import forget

pytestmark = pytest.mark.airflow


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch):
    """Make the Airflow connection ``aws`` with an extra, with nothing from the environment of this machine."""
    pytest.importorskip("airflow.providers.amazon")
    pytest.importorskip("s3fs")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)

    def connect(**extra: Any) -> None:
        forget(monkeypatch)
        made = {"conn_type": "aws", "login": "AKIDEXAMPLE", "password": "x" * 40, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS", json.dumps(made))

    return connect


def region(name: str, **s3: object) -> dict[str, Any]:
    return {"region_name": name, **({"config_kwargs": {"s3": s3}} if s3 else {})}


OWN = {"region_name": "x", "endpoint_url": "https://minio.example:9000"}


@pytest.mark.parametrize(
    ("extra", "bucket", "address"),
    [
        (region("eu-central-1"), "my-bucket", "my-bucket.s3.eu-central-1.amazonaws.com"),
        (region("us-east-1"), "my-bucket", "my-bucket.s3.us-east-1.amazonaws.com"),
        (region("us-east-2"), "my-bucket", "my-bucket.s3.us-east-2.amazonaws.com"),
        (region("ap-southeast-5"), "my-bucket", "my-bucket.s3.ap-southeast-5.amazonaws.com"),
        (region("us-gov-west-1"), "my-bucket", "my-bucket.s3.us-gov-west-1.amazonaws.com"),
        (region("cn-north-1"), "my-bucket", "my-bucket.s3.cn-north-1.amazonaws.com.cn"),
        (region("eu-central-1"), "my.dotted.bucket", "s3.eu-central-1.amazonaws.com/my.dotted.bucket"),
        (region("eu-central-1", addressing_style="path"), "my-bucket", "s3.eu-central-1.amazonaws.com/my-bucket"),
        (region("eu-central-1", use_accelerate_endpoint=True), "my-bucket", "my-bucket.s3-accelerate.amazonaws.com"),
        (
            region("eu-central-1", use_dualstack_endpoint=True),
            "my-bucket",
            "my-bucket.s3.dualstack.eu-central-1.amazonaws.com",
        ),
        (OWN, "my-bucket", "minio.example:9000/my-bucket"),
        (OWN | {"config_kwargs": {"s3": {"addressing_style": "virtual"}}}, "my-bucket", "my-bucket.minio.example:9000"),
    ],
)
def test_an_address_names_the_region_or_what_the_connection_says(connected, extra, bucket, address):
    """Newer regions and new buckets refuse the global endpoint, which boto names unless it is told otherwise."""
    connected(**extra)
    path = object_storage.resolve(f"s3://aws@{bucket}/calls/a b.wav")
    expected = f"https://{address}/calls/a%20b.wav"
    url = presigning.presign(path, 60)
    assert url
    assert url.partition("?")[0] == presigning.public_url(path) == expected
    assert "X-Amz-Signature" in parse_qs(urlsplit(url).query)


def test_the_region_of_the_environment_counts(connected, monkeypatch):
    """As for every other call of boto."""
    connected()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    url = presigning.public_url(object_storage.resolve("s3://aws@my-bucket/a.wav"))
    assert url == "https://my-bucket.s3.eu-north-1.amazonaws.com/a.wav"


@dataclass
class Store:
    """A storage that answers each signed address as told, by the region it was signed for."""

    status: int = 206
    code: str = ""
    region: str = ""
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def store() -> Iterator[Store]:
    rules = Store()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rules.seen.append((self.path, self.headers.get("Range")))
            is_right = rules.region and f"%2F{rules.region}%2F" in self.path
            body = b"R" if is_right else f"<Error><Code>{rules.code}</Code></Error>".encode()
            self.send_response(206 if is_right else rules.status)
            if rules.region:
                self.send_header("x-amz-bucket-region", rules.region)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    rules.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield rules
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("status", "code"), [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed")])
def test_a_bucket_in_another_region_is_signed_for_again(connected, store, status, code):
    """The storage says where the bucket is; one more signature, and one byte that proves it."""
    store.status, store.code, store.region = status, code, "eu-south-2"
    connected(region_name="us-east-1", endpoint_url=store.url)
    url = StoredObject(object_storage.resolve("s3://aws@my-bucket/a.wav")).presign(60)
    assert "%2Feu-south-2%2F" in (url or "")
    assert [asked for _, asked in store.seen] == ["bytes=0-0", "bytes=0-0"]


def sign_at(bucket: Any, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def sign(_: object, path: str, expiration: int) -> str:
        return f"{where}/{path.lstrip('/')}?X-Expires={expiration}&X-Signature=5ec2e7"

    monkeypatch.setattr(type(bucket), "sign", sign, raising=False)


@pytest.fixture
def signing(bucket, store, monkeypatch):
    """The storage in memory, which signs for the one above, with a recording too large for an upload."""
    sign_at(bucket, store.url, monkeypatch)
    bucket.pipe_file("/bucket/large.wav", wav(bytes(3_200_000)))
    return bucket


@pytest.fixture(params=["presign", "stage"])
def large(request, signing, tmp_path) -> dict[str, Any]:
    """Arguments for a recording that the service fetches: from where it is, or from where it is staged."""
    if request.param == "presign":
        return {"audio": "s3://bucket/large.wav"}
    (tmp_path / "large.wav").write_bytes(wav(bytes(3_200_000)))
    return {"audio": str(tmp_path / "large.wav"), "audio_preparation": {"staging_path": "s3://bucket/staging"}}


def submit(arguments: dict[str, Any]) -> object:
    return TranscribeOperator(
        task_id="transcribe", model="Whisper-Large-V3", wait_for_completion=False, **arguments
    ).execute({})


@pytest.mark.parametrize(
    ("status", "code"),
    [(301, "PermanentRedirect"), (400, "InvalidRequest"), (403, "SignatureDoesNotMatch"), (404, "NoSuchBucket")],
)
def test_an_address_that_its_storage_refuses_is_not_paid_for(emulator: Emulator, store, signing, large, status, code):
    """The error has the storage's own word and no signature; what was staged is gone again."""
    store.status, store.code = status, code
    with pytest.raises(AirflowFailException, match=rf"{status} {code}.*nothing was submitted") as caught:
        submit(large)
    assert "5ec2e7" not in str(caught.value)
    assert list(emulator.charges) == []
    assert [name for name in signing.store if "staging" in name] == []


@pytest.mark.parametrize("status", [206, 200, 503])
def test_an_address_that_works_is_submitted(emulator: Emulator, store, large, status):
    """One byte is fetched, never the recording; a storage that is busy may answer the service later."""
    store.status = status
    emulator.script("*", text="Hello.", duration=100.0)
    submit(large)
    assert len(emulator.charges) == 1
    assert [asked for _, asked in store.seen if asked] == ["bytes=0-0"]


def test_what_a_worker_cannot_reach_the_service_may(emulator: Emulator, signing, large, monkeypatch, caplog):
    """A closed network is no reason to refuse; the log says that the address was not tried."""
    sign_at(signing, "http://127.0.0.1:9", monkeypatch)
    emulator.script("*", text="Hello.", duration=100.0)
    with caplog.at_level("INFO"):
        submit(large)
    assert len(emulator.charges) == 1
    (line,) = [each.getMessage() for each in caplog.records if "cannot be tried from here" in each.getMessage()]
    assert "5ec2e7" not in line
