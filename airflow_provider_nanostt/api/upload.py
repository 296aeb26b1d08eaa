"""Audio that is sent as a file, and the form it travels in: read from disk as it goes out, never whole into memory.

A submit may have to be sent again and must then be the same, so each sending opens the file anew, and its length is
known beforehand. What makes a recording the same one is the digest of its bytes; should they have changed by the time
they are sent, the form is not completed, and the service has nothing that it could accept or charge for.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_nanostt.api.errors import FileChanged, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_UPLOAD_BYTES = 3_000_000
"""Largest direct upload. The documentation says 3 MB; this is the smaller reading of it."""

REMEDY = "A retry looks at the file anew; let whatever writes it finish before the task starts"
"""What to do about a file that changed."""


@dataclass(frozen=True)
class Upload:
    """Audio to send as a file.

    :param name: with the suffix of what it is.
    :param content_type: of what it is.
    :param data: its bytes, or the path of a file that stays as it is until it was sent; at most
        :data:`MAX_UPLOAD_BYTES`.
    :param sha256: what the digest of its bytes has to be, if it was taken before.
    :raises InvalidInput: if it is empty or too large.
    :raises OSError: if the file cannot be read.
    """

    name: str
    content_type: str
    data: bytes | Path = field(repr=False)
    sha256: str | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.size:
            raise InvalidInput(f"{self.name!r} is empty; there is nothing to transcribe")
        if self.size > MAX_UPLOAD_BYTES:
            raise InvalidInput(
                f"{self.name!r} has {self.size:,} bytes; direct uploads end at {MAX_UPLOAD_BYTES:,}. "
                "Put the file where the service can fetch it and pass audio_url (up to 500 MB)"
            )

    @cached_property
    def size(self) -> int:
        """How many bytes it has, or had when this was first asked."""
        return self.data.stat().st_size if isinstance(self.data, Path) else len(self.data)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its bytes, in hexadecimal; what is sent later has the same.

        :raises OSError: if the file cannot be read.
        """
        if self.sha256 is not None:
            return self.sha256
        with self.open() as file:
            return hashlib.file_digest(cast("Any", file), "sha256").hexdigest()

    def open(self) -> BinaryIO:
        """Open it for reading, from the start."""
        return self.data.open("rb") if isinstance(self.data, Path) else io.BytesIO(self.data)


class Form:
    """A form of texts and one file, as ``multipart/form-data``; each :meth:`open` begins it again.

    :param fields: names and texts.
    :param field: the file's field.
    :param name: the file's name, without anything that ends a header.
    :param upload: the file.
    """

    def __init__(self, fields: Mapping[str, str], field: str, name: str, upload: Upload) -> None:
        from urllib3.filepost import encode_multipart_formdata

        gap = uuid.uuid4().bytes  # the library writes the form around this, and the file goes where it stands
        parts: dict[str, Any] = {key: text.encode("utf-8", "replace") for key, text in fields.items()}
        whole, self.content_type = encode_multipart_formdata({**parts, field: (name, gap, upload.content_type)})
        self.upload = upload
        self.head, self.tail = whole.split(gap)

    def __len__(self) -> int:
        """Bytes in all."""
        return len(self.head) + self.upload.size + len(self.tail)

    def open(self) -> FormReader:
        """Return the form as a file to read from."""
        return FormReader(self)


class FormReader(io.RawIOBase):
    """A form on its way out; ``failure`` is why it was broken off, if it was."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.failure: FileChanged | None = None
        self._form = form
        self._file: BinaryIO | None = None
        self._seen = hashlib.sha256()
        self._left = form.upload.size
        self._position = 0
        self._stages = iter((io.BytesIO(form.head).read, self._of_file, io.BytesIO(form.tail).read))
        self._read = next(self._stages, None)

    def __len__(self) -> int:
        """Bytes in all, for libraries that ask a body for its length."""
        return len(self._form)

    def readable(self) -> bool:
        """Return that it can be read from."""
        return True

    def tell(self) -> int:
        """Return how much of it has been read: requests takes this from the length."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes.

        :raises FileChanged: where the file is not what it was.
        """
        view = memoryview(buffer).cast("B")
        while self._read is not None and len(view):
            if piece := self._read(len(view)):
                view[: len(piece)] = piece
                self._position += len(piece)
                return len(piece)
            self._read = next(self._stages, None)
        return 0

    def _of_file(self, most: int) -> bytes:
        upload = self._form.upload
        try:
            expected = upload.digest
            self._file = self._file or upload.open()
            piece = self._file.read(min(most, self._left))
        except OSError as error:
            raise self._broken(f"{upload.name!r} cannot be read any more ({error})") from error
        self._seen.update(piece)
        self._left -= len(piece)
        if (self._left and not piece) or (not self._left and self._seen.hexdigest() != expected):
            raise self._broken(f"{upload.name!r} changed while it was sent")
        return piece

    def _broken(self, why: str) -> FileChanged:
        self.failure = FileChanged(f"{why}; the request was broken off, and nothing is paid for. {REMEDY}")
        return self.failure

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        super().close()


@contextmanager
def sending(body: bytes | Form | None) -> Iterator[BinaryIO]:
    """Give the body of a request that is paid for to whatever sends it, as a file.

    :raises FileChanged: in place of whatever else goes wrong then, where a form was broken off.
    """
    if not isinstance(body, Form):
        yield io.BytesIO(body or b"")
        return
    with body.open() as reader:
        try:
            yield cast("BinaryIO", reader)
        except Exception as error:
            if reader.failure is None or reader.failure is error:
                raise
            raise reader.failure from error
