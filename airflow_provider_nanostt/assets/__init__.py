"""Assets that start DAGs when recordings arrive, for Airflow 3.1 and newer: what a DAG author writes.

What a watcher does is in ``watcher``, which recordings are new in ``arrivals``, when it rings in ``bell``. Nothing here
transcribes, and nothing about sound or results is loaded in the triggerer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_provider_nanostt._compat import AIRFLOW
from airflow_provider_nanostt.assets.watcher import RecordingsTrigger
from airflow_provider_nanostt.common.errors import InvalidInput
from airflow_provider_nanostt.common.listing import MARKS
from airflow_provider_nanostt.common.parsing import DAY_SECONDS, is_null, parse_seconds

if TYPE_CHECKING:
    from datetime import timedelta
    from os import PathLike

    from airflow_provider_nanostt._compat import Asset

__all__ = ["RecordingsTrigger", "recordings"]


def recordings(
    pattern: str | PathLike[str],
    *,
    every: float | timedelta = 60.0,
    settle: float | timedelta | None = None,
    name: str | None = None,
) -> Asset:
    """Return an asset whose watcher, in the triggerer, starts the DAGs scheduled on it when recordings have come.

    The event is a bell: it says that there is something new. The run lists the pattern itself, by a
    :class:`~airflow_provider_nanostt.operators.TranscribeBatchOperator` with ``skip_existing=True`` in a DAG with
    ``max_active_runs=1``.

    :param pattern: a pattern with ``*``, ``?``, ``[...]`` or ``**`` in an object storage URI, such as
        ``s3://conn@bucket/inbox/**/*.mp3``, or in a folder that triggerer and workers see. Not templated.
    :param every: seconds between two scans, each of which is one listing; 1 to a day.
    :param settle: seconds for which a recording has to be the same before it counts; None, or less than ``every``: in
        two scans.
    :param name: of the asset; None for its URI. Assets of several names over one pattern ring each for itself.
    :raises InvalidInput: before Airflow 3.1, and for a pattern or time that cannot be used.
    """
    if AIRFLOW < (3, 1):
        raise InvalidInput(f"recordings() needs Airflow 3.1 or newer; this is {AIRFLOW[0]}.{AIRFLOW[1]}")
    from airflow_provider_nanostt._compat import Asset, AssetWatcher
    from airflow_provider_nanostt.common.uris import plain

    text = _checked(str(pattern))
    seconds = parse_seconds("every", every, most=DAY_SECONDS)
    if seconds < 1:
        raise InvalidInput(f"every must be at least 1 second, got {every!r}")
    still = seconds if is_null(settle) else parse_seconds("settle", settle, most=DAY_SECONDS, may_be_zero=True)
    uri = plain(text) + (f"?{urlencode({'name': name})}" if name else "")
    trigger = RecordingsTrigger(pattern=text, every=seconds, settle=still, name=name or uri)
    return Asset(name=name or uri, uri=uri, watchers=[AssetWatcher(name=name or uri, trigger=trigger)])


def _checked(pattern: str) -> str:
    """Return a pattern that can be watched.

    :raises InvalidInput: for any other text.
    """
    from airflow_provider_nanostt.common.urls import display

    text = pattern.strip()
    scheme, mark, rest = text.partition("://")
    shown = display(text)
    if mark and scheme.lower() in ("http", "https"):
        raise InvalidInput(f"{shown!r} is a web address, which cannot be listed; name a folder or a bucket")
    if mark and ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise InvalidInput(f"{shown!r} has a password in it; name an Airflow connection, as in s3://conn@bucket/")
    if not mark and not text.startswith("/"):
        raise InvalidInput(f"{shown!r} is a relative pattern; name the folder from the root")
    if not MARKS & set(text):
        raise InvalidInput(f"{shown!r} is no pattern; name the recordings in the folder, as in '.../**/*.mp3'")
    return text
