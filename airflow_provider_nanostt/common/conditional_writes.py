"""Objects that are written only where none is, or only over the content that was read: one object for each store.

A store compares and writes in one step, so of any number of writers one wins. Which libraries can, and how each says
it, is here; when a record is written is not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from airflow_provider_nanostt.common.storage_errors import is_condition_failed

AMAZON = re.compile(r"(^|\.)amazonaws\.com(\.cn)?$")


class ConditionalWrites(Protocol):
    """How one kind of store is asked."""

    def create(self, fs: Any, path: str, data: bytes) -> None:
        """Write what is not there yet; raises the store's refusal if it is."""

    def replace(self, fs: Any, path: str, old: bytes, data: bytes) -> None:
        """Write over exactly that content; raises the store's refusal if it is another by now, or none."""


class S3:
    """S3 and what speaks like it: an object's ETag is the MD5 of what was sent, unless it is encrypted with a key."""

    def create(self, fs: Any, path: str, data: bytes) -> None:
        """Write with ``If-None-Match: *``."""
        fs.pipe_file(path, data, mode="create")

    def replace(self, fs: Any, path: str, old: bytes, data: bytes) -> None:
        """Write with ``If-Match``; only where the ETag is no digest is it asked for first."""
        try:
            fs.pipe_file(path, data, IfMatch=f'"{_md5(old).hex()}"')
        except OSError as error:
            etag = _mark(fs, path, old, "ETag") if is_condition_failed(error) else None
            if etag is None or etag.strip('"') == _md5(old).hex():
                raise
            fs.pipe_file(path, data, IfMatch=etag)


class GoogleCloudStorage:
    """Each write gives an object a new generation."""

    def create(self, fs: Any, path: str, data: bytes) -> None:
        """Write with ``ifGenerationMatch=0``."""
        fs.pipe_file(path, data, mode="create")

    def replace(self, fs: Any, path: str, old: bytes, data: bytes) -> None:
        """Write with ``ifGenerationMatch``, for which gcsfs has no method of its own but 'none is there'."""
        generation = _mark(fs, path, old, "generation")
        if generation is None:
            raise FileExistsError(path)
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


class Azure:
    """Each write gives a blob a new ETag."""

    def create(self, fs: Any, path: str, data: bytes) -> None:
        """Write with ``If-None-Match: *``."""
        fs.pipe_file(path, data, overwrite=False)

    def replace(self, fs: Any, path: str, old: bytes, data: bytes) -> None:
        """Write with ``If-Match``."""
        etag = _mark(fs, path, old, "etag")
        if etag is None:
            raise FileExistsError(path)
        if_not_modified = import_module("azure.core").MatchConditions.IfNotModified
        fs.pipe_file(path, data, etag=etag, match_condition=if_not_modified)


_STORES: dict[str, ConditionalWrites] = {"s3": S3(), "gs": GoogleCloudStorage(), "abfs": Azure()}


def find(fs: Any) -> ConditionalWrites | None:
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


def _mark(fs: Any, path: str, old: bytes, name: str) -> str | None:
    """Return the store's mark of an object; None if its content is another than ``old``, or it is gone.

    The mark is asked for first: a write in between is refused later, whatever is read then.
    """
    fs.invalidate_cache(path.rpartition("/")[0])
    try:
        info = fs.info(path)
        digest = content_md5(info)
        is_old = bytes(fs.cat_file(path)) == old if digest is None else digest == _md5(old)
    except FileNotFoundError:
        return None
    return str(info[name]) if is_old else None


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
