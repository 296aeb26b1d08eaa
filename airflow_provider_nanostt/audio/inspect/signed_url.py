"""Signed URLs that were tried: one byte is fetched before somebody is paid to fetch the rest.

A storage signs anything, also what it refuses afterwards: for another region, with credentials that may not read, with
a version that it no longer takes.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_nanostt.api import network, sockets
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.common import presigning
from airflow_provider_nanostt.common.urls import display

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_WRONG_REGION = (301, 307, 400, 403)
_FETCHED = (200, 206, 416)  # the last of an empty object
_MAX_ERROR_BYTES = 2000


def presign(path: ObjectStoragePath, seconds: float) -> str | None:
    """Return a URL at which others can fetch a file for so many seconds; None if the storage has no such thing.

    A URL that cannot be tried from here is returned as well: the service may reach what a worker does not.

    :raises InvalidInput: if the storage refuses the URL that it has signed, or signs none for as long.
    :raises Exception: any error of the storage.
    """
    url = presigning.presign(path, seconds)
    answer = _first_byte(url) if url else None
    if url and answer and answer.region and answer.status in _WRONG_REGION and f"%2F{answer.region}%2F" not in url:
        url = presigning.presign(path, seconds, answer.region)
        answer = _first_byte(url) if url else None
    if url and answer and answer.status not in _FETCHED:
        shown = f"{display(url)!r}: {answer.status} {answer.code}".rstrip()
        if 300 <= answer.status < 500 and answer.status != 429:
            raise InvalidInput(f"the storage refuses the URL that it signed, {shown}; nothing was submitted")
        log.info("The storage cannot say whether it accepts the URL that it signed, %s", shown)
    return url


class _Answer(NamedTuple):
    status: int
    region: str | None
    code: str


def _first_byte(url: str) -> _Answer | None:
    """Request one byte, with proxies and certificates of the environment; None if no answer comes."""
    import requests

    try:
        with (
            sockets.deadline(_TIMEOUT_SECONDS),
            network.session_for(url) as session,
            session.get(
                url,
                headers={"Range": "bytes=0-0", "Accept-Encoding": "identity"},
                allow_redirects=False,
                timeout=_TIMEOUT_SECONDS,
                stream=True,  # never a whole recording, which a storage without ranges would send
            ) as answer,
        ):
            said = b""
            if answer.status_code not in _FETCHED:
                with suppress(requests.RequestException, OSError):  # the status is enough
                    said = next(answer.iter_content(_MAX_ERROR_BYTES), b"")
            code = re.search(rb"<Code>(\w{1,80})</Code>", said)
            return _Answer(
                answer.status_code, answer.headers.get("x-amz-bucket-region"), code[1].decode() if code else ""
            )
    except (requests.RequestException, OSError) as error:
        log.info("The signed URL %s cannot be tried from here (%s)", display(url), type(error).__name__)
        return None
