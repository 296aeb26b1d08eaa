"""How results are to be written: the user's wishes as one checked value, known before anything is paid for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.outputs.naming import PATTERN, check_pattern
from airflow_provider_nanostt.outputs.style import CaptionStyle

FORMATS = ("json", "txt", "srt", "vtt", "html")
"""What a transcript can be written as."""

CAPTION_FORMATS = ("srt", "vtt")
XCOM_LIMIT = 48_000


def check_formats(formats: Sequence[str] | str) -> tuple[str, ...]:
    """Return the formats to write, each once, in a steady order; ``json`` is always among them.

    The JSON file tells whose the others are, and they can be made from it again.

    :param formats: names, or one text with commas between them.
    :raises InvalidInput: for a name that is none.
    """
    given = formats.split(",") if isinstance(formats, str) else formats
    try:
        wanted = {str(name).strip().lower() for name in given}
    except TypeError:
        raise InvalidInput(f"formats={formats!r} is no list of formats; there are {', '.join(FORMATS)}") from None
    unknown = sorted(wanted - {*FORMATS, ""})
    if unknown:
        raise InvalidInput(f"formats has {unknown[0]!r}; there are {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name == "json" or name in wanted)


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """How results are written.

    :param formats: as :func:`check_formats` takes them.
    :param speaker_names: from the service's names of speakers to those they shall have.
    :param captions: the reading rules.
    :param estimated_captions: guess times for captions where a model has given none.
    :param xcom_limit: bytes of JSON that may go to XCom where there is no folder.
    :param page_audio_url: where a browser finds the recording, for the page to play; it is written into the page.
    :param name: pattern of the files' names, see :data:`~.naming.FIELDS`.
    :raises InvalidInput: for anything that could not be done.
    """

    formats: Sequence[str] = ("json",)
    speaker_names: Mapping[str, str] = field(default_factory=dict)
    captions: CaptionStyle = field(default_factory=CaptionStyle)
    estimated_captions: bool = False
    xcom_limit: int = XCOM_LIMIT
    name: str = PATTERN
    page_audio_url: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "formats", check_formats(self.formats))
        check_pattern(self.name)
        if self.xcom_limit < 0:
            raise InvalidInput(f"xcom_limit={self.xcom_limit!r} is not a number of bytes")
        names = self.speaker_names
        if not isinstance(names, Mapping) or not all(isinstance(one, str) for pair in names.items() for one in pair):
            raise InvalidInput("speaker_names is not a mapping from names to names")
        if not all(name.strip() for name in names.values()):
            raise InvalidInput("speaker_names has an empty name")

    @property
    def digest(self) -> str:
        """What tells these settings from others that would write other files."""
        told = {**asdict(self), "xcom_limit": None}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    def check_model(self, model: str) -> None:
        """Refuse captions from a model that is known to give no times.

        :raises InvalidInput: naming the ways out.
        """
        facts = KNOWN_MODELS.get(model)
        wanted = [name for name in CAPTION_FORMATS if name in self.formats]
        if facts is None or facts.gives_times or self.estimated_captions or not wanted:
            return
        able = ", ".join(repr(one.id) for one in KNOWN_MODELS.values() if one.gives_times)
        raise InvalidInput(
            f"model={model!r} gives no times, so there can be no {' and '.join(wanted)}. Take {able}; or set "
            "estimated_captions=True for captions with guessed times; or leave them out of formats"
        )
