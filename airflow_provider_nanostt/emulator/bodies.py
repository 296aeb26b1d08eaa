"""Reading request bodies: JSON or multipart becomes one :class:`Body`, whatever the client sent.

Reads and nothing more: whether the values make sense is decided in `submissions` and `server`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web


class Refused(Exception):  # a refusal is an answer, not an error of ours
    """The request is answered with an error.

    :param status: HTTP status.
    :param message: the text.
    :param code: given, the body is ``{"error": {"message", "type", "code", "param"}}``.
    :param extra: more fields of the body.
    :param headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        extra: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.extra = extra or {}
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a multipart body; `content_type` is without parameters."""

    file_name: str
    content_type: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carried.

    :param form: whether it was multipart, where every value is text.
    :param problem: why it cannot be read, if so.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)
    form: bool = False
    problem: Refused | None = None

    def subject(self) -> str:
        """Return what a fault's `match` is looked for in: file names, URLs and run id."""
        parts = [self.fields.get("audioUrl"), self.fields.get("runId"), self.fields.get("urls")]
        return " ".join([*map(str, filter(None, parts)), *(file.file_name for file in self.files.values())])

    def shown(self) -> dict[str, Any]:
        """Return the fields for the request log, files by their name and size."""
        if not self.files:
            return self.fields
        files = {
            name: {"file_name": file.file_name, "content_type": file.content_type, "size": len(file.data)}
            for name, file in self.files.items()
        }
        return {**self.fields, **files}


async def read(request: web.Request, limit: int) -> Body:
    """Read the body of `request`; more than `limit` bytes are a 413."""
    if request.content_type == "multipart/form-data":
        return await _multipart(request, limit)
    raw = await request.read() if request.can_read_body else b""
    if not raw:
        return Body()
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return Body(problem=Refused(400, "The request body is not valid JSON"))
    if not isinstance(fields, dict):
        return Body(problem=Refused(400, "The request body must be a JSON object"))
    return Body(fields)


async def _multipart(request: web.Request, limit: int) -> Body:
    fields: dict[str, Any] = {}
    files: dict[str, Upload] = {}
    size = 0
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            data = bytearray()
            while chunk := await part.read_chunk(65_536):
                size += len(chunk)
                if size <= limit:  # the rest is read and dropped, so that the client gets to read the answer
                    data += chunk
            if part.filename is not None:
                content_type = part.headers.get("Content-Type")
                files[part.name] = Upload(
                    part.filename, content_type and content_type.partition(";")[0].strip(), bytes(data)
                )
            else:
                fields[part.name] = data.decode("utf-8", "replace")
    except (ValueError, AssertionError) as error:
        return Body(form=True, problem=Refused(400, f"The multipart body cannot be read: {error}"))
    problem = (
        Refused(413, f"The upload exceeds the limit of {limit} bytes; use audioUrl for larger files")
        if size > limit
        else None
    )
    return Body(fields, files, True, problem)
