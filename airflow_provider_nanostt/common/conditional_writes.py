"""Objects that are written only where none is, or only over the content that was read: one entry for each store.

A store compares and writes in one step, so of any number of writers one wins. Which libraries can, and how each says
it, is here; when a record is written is not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider_nanostt.common.storage_errors import is_condition_failed

AMAZON = re.compile(r"(^|\.)amazonaws\.com(\.cn)?$")


@dataclass(frozen=True, slots=True)
class Store:
    """How one kind of store is asked. Where the condition does not hold, either raises the store's refusal."""

    if_none: Mapping[str, object]  # options of a write of what is not there yet
    replace: Callable[[Any, str, bytes, bytes], None]  # file system, path, the content that it has to have, the new one


def _replace_in_s3(fs: Any, path: str, old: bytes, data: bytes) -> None:
    """Write with ``If-Match``.

    An object's ETag is the MD5 of what was sent, unless it is encrypted with a key: only then is it asked for first.
    """
    try:
        fs.pipe_file(path, data, IfMatch=f'"{_md5(old).hex()}"')
    except OSError as error:
        if not is_condition_failed(error):
            raise
        etag = _mark(fs, path, old, "ETag")
        if etag.strip('"') == _md5(old).hex():
            raise
        fs.pipe_file(path, data, IfMatch=etag)


def _replace_in_gcs(fs: Any, path: str, old: bytes, data: bytes) -> None:
    """Write with ``ifGenerationMatch``, for which gcsfs has no method of its own but 'none is there'.

    Each write gives an object a new generation.
    """
    generation = _mark(fs, path, old, "generation")
    bucket, key, _ = fs.split_path(path)
    mark = secrets.token_hex(16)
    described = f"Content-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps({'name': key})}"
    head = f"--{mark}\r\n{described}\r\n--{mark}\r\nContent-Type: application/octet-stream\r\n\r\n"
    fs.call(
        "POST",
        f"{fs.base.removesuffix('/storage/v1/')}/upload/storage/v1/b/{quote(bucket, safe='')}/o",
        uploadType="multipart",
        ifGenerationMatch=generation,
        headers={"Content-Type": f'multipart/related; boundary="{mark}"'},
        data=head.encode() + data + f"\r\n--{mark}--".encode(),
    )
    fs.invalidate_cache(path.rpartition("/")[0])


def _replace_in_azure(fs: Any, path: str, old: bytes, data: bytes) -> None:
    """Write with ``If-Match``: each write gives a blob a new ETag."""
    etag = _mark(fs, path, old, "etag")
    if_not_modified = import_module("azure.core").MatchConditions.IfNotModified
    fs.pipe_file(path, data, etag=etag, match_condition=if_not_modified)


_STORES = {
    "s3": Store({"mode": "create"}, _replace_in_s3),
    "gs": Store({"mode": "create"}, _replace_in_gcs),
    "abfs": Store({"overwrite": False}, _replace_in_azure),
}


def find(fs: Any) -> Store | None:
    """Return how a file system is asked, None if it cannot be."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    store = next((_STORES[name] for name in protocols if name in _STORES), None)
    # Older versions would hand "mode" on to the store.
    takes = signature(getattr(fs, "_pipe_file", fs.pipe_file)).parameters
    return store if not {"mode", "overwrite"}.isdisjoint(takes) else None


def may_ignore(fs: Any) -> bool:
    """Whether a file system speaks S3 with another server than Amazon's: some do not look at conditions."""
    endpoint = str(fs.s3.meta.endpoint_url) if hasattr(fs, "s3") else ""
    return bool(endpoint) and AMAZON.search(urlsplit(endpoint).hostname or "") is None


def content_md5(entry: Mapping[str, Any]) -> bytes | None:
    """Return the MD5 of an object's content, where a listing of Google Cloud Storage or Azure has it."""
    digest = entry.get("md5Hash") or (entry.get("content_settings") or {}).get("content_md5")
    if isinstance(digest, str):
        return base64.b64decode(digest)
    return bytes(digest) if digest else None


def _mark(fs: Any, path: str, old: bytes, name: str) -> str:
    """Return the store's mark of an object; raise FileExistsError if its content is not ``old``, or it is gone.

    The mark is asked for first: a write in between is refused later, whatever is read then.
    """
    fs.invalidate_cache(path.rpartition("/")[0])
    try:
        info = fs.info(path)
        digest = content_md5(info)
        is_old = bytes(fs.cat_file(path)) == old if digest is None else digest == _md5(old)
    except FileNotFoundError:
        is_old = False
    if not is_old:
        raise FileExistsError(path)
    return str(info[name])


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
