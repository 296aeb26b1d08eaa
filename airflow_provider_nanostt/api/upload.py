"""Audio that is sent as a file: checked when it is named, read once when it is sent."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_nanostt.common.errors import FileChanged, InvalidInput, describe_exception
from airflow_provider_nanostt.common.reprs import redacted_repr

MAX_UPLOAD_BYTES = 3_000_000
"""Largest direct upload. The documentation says 3 MB; this is the smaller reading of it."""

REMEDY = "A retry looks at the file again; let the process that writes it finish before the task starts"
"""What to do about a file that changed."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Audio to send as a file.

    :raises InvalidInput: if it is empty, or has more than :data:`MAX_UPLOAD_BYTES`.
    :raises OSError: if the file cannot be read.
    """

    __repr__ = redacted_repr

    name: str  # with the suffix of its format
    content_type: str
    data: bytes | Path = field(repr=False)  # or a file that stays as it is until it was sent
    sha256: str | None = field(default=None, repr=False, compare=False)  # in hexadecimal; other bytes are never sent
    size: int = field(init=False, repr=False, compare=False)  # bytes, when it was named

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
            with io.BytesIO(self.data) if isinstance(self.data, bytes) else self.data.open("rb") as file:
                data = file.read(MAX_UPLOAD_BYTES + 1)
        except OSError as error:
            problem = f"{self.name!r} cannot be read any more ({describe_exception(error)})"
            raise FileChanged(f"{problem}; nothing was sent. {REMEDY}") from error
        if len(data) != self.size or self.sha256 not in (None, hashlib.sha256(data).hexdigest()):
            raise FileChanged(f"{self.name!r} has changed since it was looked at; nothing was sent. {REMEDY}")
        return data
