"""The settings of outputs as one value, checked before anything is paid for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import ClassVar, Self

from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.common.parsing import parse_mapping
from airflow_provider_nanostt.common.reprs import redacted_repr
from airflow_provider_nanostt.outputs.formats.registry import FORMATS, REGISTRY
from airflow_provider_nanostt.outputs.naming import PATTERN, check_pattern

XCOM_LIMIT = 48_000


def check_formats(formats: Sequence[str] | str) -> tuple[str, ...]:
    """Return the formats to write, each once, in a fixed order; ``json`` is always among them.

    The JSON file says which task wrote the others, and they can be made from it again.

    :param formats: names, or one text with commas between them.
    :raises InvalidInput: for an unknown format.
    """
    given = formats.split(",") if isinstance(formats, str) else formats
    try:
        wanted = {str(name).strip().lower() for name in given}
    except TypeError:
        raise InvalidInput(f"formats must be a list of {', '.join(FORMATS)}, got {formats!r}") from None
    unknown = sorted(wanted - {*FORMATS, ""})
    if unknown:
        raise InvalidInput(f"formats: unknown format {unknown[0]!r}; allowed: {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name == "json" or name in wanted)


class _Rules:
    """What groups of numbers have in common: each is in its range, and a mapping may stand for them."""

    __slots__ = ()

    argument: ClassVar[str]

    def _ranges(self) -> Mapping[str, tuple[float, float]]:
        """Return the least and the most that each rule may be."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        for name, (least, most) in self._ranges().items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidInput(f"{self.argument}: {name} must be between {least} and {most}, got {value!r}")

    @classmethod
    def of(cls, given: object) -> Self:
        """Read the rules from a mapping, or from what a template may have made of one; its numbers may be text.

        :raises InvalidInput: for what is not a mapping, an unknown rule, and a value that is not a number.
        """
        kinds = {rule.name: rule.type for rule in fields(cls)}  # type: ignore[arg-type]  # each of them is a dataclass
        values: dict[str, int | float] = {}
        for name, value in parse_mapping(cls.argument, given).items():
            if name not in kinds:
                raise InvalidInput(f"{cls.argument}: unknown rule {name!r}; allowed: {', '.join(kinds)}")
            read, is_whole = number(value), kinds[name] == "int"
            if read is None or (is_whole and read != int(read)):
                raise InvalidInput(f"{cls.argument}: {name} must be a {'whole ' * is_whole}number, got {value!r}")
            values[name] = int(read) if is_whole else read
        return cls(**values)


@dataclass(frozen=True, slots=True)
class CaptionStyle(_Rules):
    """The reading rules of captions.

    :param max_lines: lines of one caption.
    :param line_width: columns of one line; a wide East Asian character takes two.
    :param min_seconds: how long a caption stays at least, if the next one leaves it the time.
    :param max_seconds: how long a caption stays at most.
    :param chars_per_second: columns that are read in a second; a caption stays longer for it, if there is silence.
    :param gap_seconds: between two captions; two frames of 25 a second.
    :param pause_seconds: a silence this long begins a new caption.
    :raises InvalidInput: if a value is outside of its range.
    """

    argument: ClassVar[str] = "captions"

    max_lines: int = 2
    line_width: int = 42
    min_seconds: float = 1.0
    max_seconds: float = 7.0
    chars_per_second: float = 20.0
    gap_seconds: float = 0.08
    pause_seconds: float = 0.7

    def _ranges(self) -> Mapping[str, tuple[float, float]]:
        return {
            "max_lines": (1, 10),
            "line_width": (12, 1000),
            "min_seconds": (0.2, 60.0),
            "max_seconds": (self.min_seconds, 600.0),
            "chars_per_second": (1.0, 1000.0),
            "gap_seconds": (0.0, 5.0),
            "pause_seconds": (0.05, 600.0),
        }


@dataclass(frozen=True, slots=True)
class ChunkRules(_Rules):
    """How a transcript is cut into chunks: whole sentences, and never across a speaker's turn.

    :param size: characters of a chunk at most; 0 leaves a turn whole.
    :param overlap: characters at most, in whole sentences, that a chunk repeats of the one before in the same turn.
    :param seconds: how long a chunk is at most; 0 for any length.
    :raises InvalidInput: if a value is outside of its range.
    """

    argument: ClassVar[str] = "chunks"

    size: int = 1200
    overlap: int = 0
    seconds: float = 0.0

    def _ranges(self) -> Mapping[str, tuple[float, float]]:
        return {"size": (0, 1_000_000), "overlap": (0, self.size // 2 or 1_000_000), "seconds": (0.0, 86_400.0)}


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """How results are written.

    :param formats: as :func:`check_formats` takes them.
    :param speaker_names: new names of speakers, by the service's names.
    :param captions: the reading rules.
    :param chunks: how a transcript is cut for search.
    :param estimated_captions: estimate the times of captions where a model has given none.
    :param xcom_limit: bytes of JSON that may go to XCom where there is no folder.
    :param page_audio_url: where a browser finds the recording, for the page to play; it is written into the page.
    :param filename: pattern of the files' names, see :data:`~.naming.FIELDS`.
    :raises InvalidInput: for anything that could not be followed.
    """

    __repr__ = redacted_repr

    formats: Sequence[str] = ("json",)
    speaker_names: Mapping[str, str] = field(default_factory=dict)
    captions: CaptionStyle = field(default_factory=CaptionStyle)
    chunks: ChunkRules = field(default_factory=ChunkRules)
    estimated_captions: bool = False
    xcom_limit: int = XCOM_LIMIT
    filename: str = PATTERN
    page_audio_url: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "formats", check_formats(self.formats))
        check_pattern(self.filename)
        if self.xcom_limit < 0:
            raise InvalidInput(f"xcom_limit must be a non-negative number of bytes, got {self.xcom_limit!r}")
        names = self.speaker_names
        if not isinstance(names, Mapping) or not all(isinstance(one, str) for pair in names.items() for one in pair):
            raise InvalidInput("speaker_names must be a mapping from names to names")
        if not all(name.strip() for name in names.values()):
            raise InvalidInput("speaker_names: a new name must not be empty")

    @property
    def digest(self) -> str:
        """A short hash that differs for settings that would write other files."""
        relevant = {**asdict(self), "xcom_limit": None}
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def timed_formats(self) -> list[str]:
        """The formats to write that say when something was said, if times may not be estimated."""
        return [name for name in self.formats if REGISTRY[name].needs_times and not self.estimated_captions]

    def check_model(self, model: str) -> None:
        """Refuse formats with times from a model that is known to give no times.

        :raises InvalidInput: with the possible ways out.
        """
        facts = KNOWN_MODELS.get(model)
        if facts is None or facts.gives_times or not self.timed_formats:
            return
        able = ", ".join(repr(one.id) for one in KNOWN_MODELS.values() if one.gives_times)
        raise InvalidInput(
            f"model={model!r} gives no times, which {' and '.join(self.timed_formats)} need. Use {able}; or set "
            "estimated_captions=True for captions with estimated times; or remove them from formats"
        )
