"""Audio that is sent as a file: checked when it is named, read once when it is sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_nanostt.common.errors import FileChanged, InvalidInput, describe_exception

MAX_UPLOAD_BYTES = 3_000_000
"""Largest direct upload. The documentation says 3 MB; this is the smaller reading of it."""

REMEDY = "A retry looks at the file again; let the process that writes it finish before the task starts"
"""What to do about a file that changed."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Audio to send as a file; ``size`` is its length in bytes when it was named.

    :param name: with the suffix of its format.
    :param content_type: of its format.
    :param data: its bytes, or the path of a file that stays as it is until it was sent; at most
        :data:`MAX_UPLOAD_BYTES`.
    :param sha256: the digest of its bytes, in hexadecimal, if it was taken before; bytes with another are never sent.
    :raises InvalidInput: if it is empty or too large.
    :raises OSError: if the file cannot be read.
    """

    name: str
    content_type: str
    data: bytes | Path = field(repr=False)
    sha256: str | None = field(default=None, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = self.data.stat().st_size if isinstance(self.data, Path) else len(self.data)
        object.__setattr__(self, "size", size)
        if not size:
            raise InvalidInput(f"{self.name!r} is empty; there is nothing to transcribe")
        if size > MAX_UPLOAD_BYTES:
            raise InvalidInput(
                f"{self.name!r} has {size:,} bytes; direct uploads end at {MAX_UPLOAD_BYTES:,}. "
                "Put the file where the service can fetch it and pass audio_url (up to 500 MB)"
            )

    def read(self) -> bytes:
        """Return its bytes, as they are to be sent.

        :raises FileChanged: if the file cannot be read any more, or is not what it was when its digest was taken.
        """
        try:
            if isinstance(self.data, bytes):
                data = self.data
            else:
                with self.data.open("rb") as file:
                    data = file.read(MAX_UPLOAD_BYTES + 1)
        except OSError as error:
            problem = f"{self.name!r} cannot be read any more ({describe_exception(error)})"
            raise FileChanged(f"{problem}; nothing was sent. {REMEDY}") from error
        is_same = len(data) == self.size and self.sha256 in (None, hashlib.sha256(data).hexdigest())
        if not is_same:
            raise FileChanged(f"{self.name!r} has changed since it was looked at; nothing was sent. {REMEDY}")
        return data
