"""The body of an answer while it arrives: decompressed here, and never more of it kept than is allowed.

The libraries would decompress whole pieces, each of which may be a thousand times as large as on the wire.
"""

from __future__ import annotations

import zlib

from airflow_provider_nanostt.api import errors, http
from airflow_provider_nanostt.api.http import Call

_STEP_BYTES = 64 * 1024
_COMPRESSED = ("gzip", "x-gzip", "deflate")
_DETECT_HEADER = 32 + zlib.MAX_WBITS  # of gzip or of zlib
_GZIP = b"\x1f\x8b\x08"  # its mark, and the only way to compress that it knows
_MAX_MEMBERS = 10_000


class Incoming:
    """Takes an answer piece by piece.

    :param encoding: the header ``Content-Encoding``.
    :raises ReadError: for one that was not asked for.
    """

    def __init__(self, call: Call[object], status: int, encoding: str | None) -> None:
        self._call, self._status = call, status
        self._body = bytearray()
        self._received = 0
        named = (encoding or "identity").strip().lower()
        if named not in (*_COMPRESSED, "identity", ""):
            raise errors.ReadError("the answer is compressed in a way that was not asked for")
        self._unpack = zlib.decompressobj(_DETECT_HEADER) if named in _COMPRESSED else None
        self._members = 1
        self._behind = bytearray()  # the first bytes behind a member of gzip

    def take(self, piece: bytes) -> bool:
        """Add a piece; return whether more may come.

        :raises ReadError: if it cannot be decompressed.
        """
        self._received += len(piece)
        if self._unpack is None:
            self._body += piece
            piece = b""
        try:
            for at in range(0, len(piece), _STEP_BYTES):  # in short steps: the rest of each is copied again and again
                self._take_packed(piece[at : at + _STEP_BYTES])
        except zlib.error as error:
            raise errors.ReadError("the answer cannot be decompressed") from error
        return self._may_grow() and self._received <= http.MAX_RESPONSE_BYTES

    def _take_packed(self, piece: bytes) -> None:
        while self._unpack and piece and self._may_grow():
            if self._unpack.eof:
                piece = self._next_member(piece)
            else:
                self._body += self._unpack.decompress(piece, _STEP_BYTES)
                piece = self._unpack.unconsumed_tail or self._unpack.unused_data

    def _next_member(self, piece: bytes) -> bytes:
        """Begin another member, of which gzip may have any number; return its bytes, or nothing if there is none."""
        self._behind += piece
        if self._behind.startswith(_GZIP) and self._members < _MAX_MEMBERS:
            self._members += 1
            self._unpack = zlib.decompressobj(_DETECT_HEADER)
            found, self._behind = bytes(self._behind), bytearray()
            return found
        del self._behind[len(_GZIP) :]
        return b""

    def _may_grow(self) -> bool:
        return len(self._body) <= http.limit_for(self._call, self._status, self._body)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self._body)

    def body(self) -> bytes:
        """Return all of it; one over the limit is a little longer than that."""
        return bytes(self._body)
