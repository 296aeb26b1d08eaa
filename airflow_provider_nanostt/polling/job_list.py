"""The jobs of a batch on their way to the triggerer: in a trigger's arguments if they are few, else in a file.

Arguments are rows of Airflow's database. A file is named by its digest, and lies beside the answers. Pure.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence

from airflow_provider_nanostt.api.models import Job

JobsAsJson = Sequence[Mapping[str, object]]

MAX_ARGUMENT_CHARS = 5_000
"""Of the jobs in a trigger's arguments: with the others, and encrypted, they are less than 8 KiB."""

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Of a file of jobs: more than 100,000 of them."""

_PACKED_VERSION = 1


def fits(jobs: JobsAsJson) -> bool:
    """Return whether jobs are few enough for a trigger's arguments."""
    return len(json.dumps(as_argument(jobs))) <= MAX_ARGUMENT_CHARS


def as_argument(jobs: JobsAsJson) -> JobsAsJson | str:
    """Return jobs as an argument: as they are, or compressed, an eighth of the size."""
    if len(json.dumps(jobs)) <= MAX_ARGUMENT_CHARS:
        return jobs
    text = json.dumps({"version": _PACKED_VERSION, "jobs": jobs})
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def from_argument(jobs: JobsAsJson | str) -> JobsAsJson:
    """Return the jobs that :func:`as_argument` was given.

    :raises ValueError: if a later version of the provider has packed them.
    """
    if not isinstance(jobs, str):
        return jobs
    packed = json.loads(zlib.decompress(base64.b85decode(jobs)))
    if packed["version"] != _PACKED_VERSION:
        raise ValueError(f"the jobs are packed in version {packed['version']}; this provider knows {_PACKED_VERSION}")
    unpacked: JobsAsJson = packed["jobs"]
    return unpacked


def as_file(jobs: JobsAsJson) -> tuple[bytes, dict[str, object]]:
    """Return jobs as a file, one a line, and what names it in a trigger's arguments."""
    data = b"".join(json.dumps(job).encode() + b"\n" for job in jobs)
    return data, {"count": len(jobs), "sha256": hashlib.sha256(data).hexdigest()}


def from_file(data: bytes, reference: Mapping[str, object]) -> list[Job]:
    """Return the jobs in a file.

    :raises ValueError: if it is another file than the one that is named.
    """
    if hashlib.sha256(data).hexdigest() != reference.get("sha256"):
        raise ValueError("it is another file than the worker has left")
    return [Job.from_json(json.loads(line)) for line in data.splitlines()]
