"""URLs at which others fetch a file of an object store, signed or not. The store itself is not asked."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_nanostt.common.conditional_writes import AMAZON
from airflow_provider_nanostt.common.errors import InvalidInput

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

_MAX_SIGNED_SECONDS = 7 * 86_400
"""Seconds for which S3 and Google Cloud Storage accept a signature of version 4."""


def presign(path: ObjectStoragePath, seconds: float, region: str | None = None) -> str | None:
    """Return a URL at which a file can be fetched for so many seconds, None if the storage has no such thing.

    :param region: of an S3 bucket, if it is known to be another than the connection's.
    :raises InvalidInput: if no URL is valid for as long.
    :raises Exception: any error of the storage.
    """
    lasting = ceil(seconds)
    url = _signed(path, lasting, region)
    is_limited = url and not {"X-Amz-Expires", "X-Goog-Expires"}.isdisjoint(parse_qs(urlsplit(url).query))
    if is_limited and lasting > _MAX_SIGNED_SECONDS:
        raise InvalidInput(
            f"a URL can be signed for {_MAX_SIGNED_SECONDS:,} seconds (7 days) at the most, not for {lasting:,}; "
            "set presign_for"
        )
    return url


def public_url(path: ObjectStoragePath) -> str | None:
    """Return the URL at which others would fetch a file, without any signature; None if the storage has no URLs.

    The storage is not asked, so the file need not be there.

    :raises Exception: any error of the storage.
    """
    url = _signed(path, 60)
    return url.partition("?")[0] if url else None


def _signed(path: ObjectStoragePath, seconds: int, region: str | None = None) -> str | None:
    """Sign as the connection says; where it says nothing, S3 gets version 4 and Amazon the regional virtual host."""
    fs = path.fs
    if not hasattr(fs, "config_kwargs"):  # S3's alone
        return _sign(fs, path, seconds)
    url = _sign(_s3_signer(fs, region), path, seconds)
    # botocore would name the global endpoint, which newer regions and new buckets refuse. Whether it is Amazon's is
    # seen in the URL: an endpoint is named in connections, variables or files. A name with dots fits no certificate.
    bucket = path.path.lstrip("/").partition("/")[0]
    if url and "." not in bucket and AMAZON.search(urlsplit(url).hostname or ""):
        return _sign(_s3_signer(fs, region, addressing_style="virtual"), path, seconds)
    return url


def _s3_signer(fs: Any, region: str | None, **defaults: str) -> Any:
    """Return a new one of the same S3 file system, with settings that its connection leaves open.

    A new one each time: one that has sent no request yet, and this one never does, signs but once with the connection's
    credentials in s3fs 2026.2, and then looks for others.
    """
    settings = dict(fs.storage_options)
    config = {"signature_version": "s3v4", **(settings.get("config_kwargs") or {})}
    config["s3"] = {"us_east_1_regional_endpoint": "regional", **defaults, **(config.get("s3") or {})}
    if region:
        settings["client_kwargs"] = {**(settings.get("client_kwargs") or {}), "region_name": region}
    return type(fs)(*fs.storage_args, **{**settings, "config_kwargs": config, "skip_instance_cache": True})


def _sign(fs: Any, path: ObjectStoragePath, seconds: int) -> str | None:
    try:
        url = fs.sign(path.path, expiration=seconds)
    except NotImplementedError:
        return None
    return url if isinstance(url, str) and url.startswith(("http://", "https://")) else None
