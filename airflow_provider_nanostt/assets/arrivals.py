"""Which recordings are new, from what one scan after another finds: no storage, no Airflow.

A recording is known by a digest of its name and version, eight bytes, never by its name. What is kept over a restart is
smaller still and always of one size: the digests are dealt out to buckets, and of each bucket only their sum is kept. A
bucket whose sum is what it was holds what it held. One whose sum is another may have new ones in it, so all of its
recordings count as new: some too many, never one too few.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
import zlib
from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

from airflow_provider_nanostt.common.errors import InvalidInput

MAX_RECORDINGS = 250_000
"""Of one pattern, which take some 40 MB; a triggerer's memory is shared."""
MAX_NAMED = 20
_BUCKETS = 2048
_BYTES = 8
_PAUSE_AFTER, _PAUSE_SECONDS = 200, 0.001
"""A thread that only computes leaves the event loop's thread five milliseconds late each time that it has to go on."""


@dataclass(slots=True)
class Look:
    """What one scan has found.

    :param total: how many recordings there are, whole or not.
    :param new: how many of them have been the same for long enough, and were not new before.
    :param names: of new ones, a few.
    :param mark: the same for the same recordings, wherever they are looked at.
    :param cursor: what to keep over a restart, as text; None if nothing has changed.
    """

    total: int = 0
    new: int = 0
    names: list[str] = field(default_factory=list)
    mark: str = ""
    cursor: str | None = None


class Arrivals:
    """Remembers what was there before.

    :param scans: how many further scans have to find a recording as it was.
    :param cursor: of an earlier process; what it says is known is not new.
    """

    def __init__(self, scans: int, cursor: str | None = None) -> None:
        self._scans = scans
        self._earlier = _sums_from(cursor)
        self._known: set[int] = set()
        self._pending: dict[int, int] = {}
        self._mark = ""

    def take(self, found: Iterable[tuple[str, str]]) -> Look:
        """Take in one scan; what is gone is forgotten.

        :param found: names and versions of recordings. If it raises, nothing of the scan counts.
        :raises InvalidInput: if there are too many.
        """
        look = Look()
        known: set[int] = set()
        pending: dict[int, int] = {}
        for name, version in found:
            digest = _digest(name, version)
            look.total += 1
            if look.total % _PAUSE_AFTER == 0:
                time.sleep(_PAUSE_SECONDS)
            if look.total > MAX_RECORDINGS:
                raise InvalidInput(f"it finds more than {MAX_RECORDINGS:,} files; name fewer of them")
            if digest in self._known:
                known.add(digest)
            elif (scans := self._pending.get(digest, 0)) < self._scans:
                pending[digest] = scans + 1
            else:
                known.add(digest)
                look.new += 1
                if len(look.names) < MAX_NAMED:
                    look.names.append(name)
        if self._earlier is not None:
            known |= _unchanged(self._earlier, pending)
            pending = {digest: scans for digest, scans in pending.items() if digest not in known}
            self._earlier = None
        if look.new or len(known) != len(self._known):  # nothing else can have changed
            sums = _sums(known)
            look.cursor = base64.b64encode(zlib.compress(sums.tobytes())).decode()
            self._mark = f"{reduce(xor, sums):016x}"
        look.mark = self._mark
        self._known, self._pending = known, pending
        return look


def _digest(name: str, version: str) -> int:
    plain = f"{name}\0{version}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(plain, digest_size=_BYTES).digest())


def _sums(digests: Iterable[int]) -> array[int]:
    """Return the sum of the digests in each bucket, bit by bit."""
    sums = array("Q", bytes(_BYTES * _BUCKETS))
    for digest in digests:
        sums[digest % _BUCKETS] ^= digest
    return sums


def _unchanged(earlier: array[int], digests: Collection[int]) -> set[int]:
    """Return those in buckets whose sum is what it was."""
    now = _sums(digests)
    return {digest for digest in digests if now[digest % _BUCKETS] == earlier[digest % _BUCKETS]}


def _sums_from(cursor: str | None) -> array[int] | None:
    """Return the sums of an earlier process, None if they cannot be read: then all counts as new, which is harmless."""
    try:
        plain = zlib.decompressobj().decompress(base64.b64decode(cursor or ""), _BYTES * _BUCKETS)
    except (binascii.Error, ValueError, zlib.error):
        return None
    return array("Q", plain) if len(plain) == _BYTES * _BUCKETS else None
