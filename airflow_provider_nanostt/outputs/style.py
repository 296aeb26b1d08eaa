"""The reading rules of captions, as the user sets them; how they are applied is in ``captions.layout``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import number


@dataclass(frozen=True, slots=True)
class CaptionStyle:
    """The reading rules.

    :param max_lines: lines of one caption.
    :param line_width: columns of one line; a wide East Asian character takes two.
    :param min_seconds: how long a caption stays at least, if the next one leaves it the time.
    :param max_seconds: how long a caption stays at most.
    :param chars_per_second: columns that are read in a second; a caption stays longer for it, if there is silence.
    :param gap_seconds: between two captions; two frames of 25 a second.
    :param pause_seconds: a silence this long begins a new caption.
    :raises InvalidInput: if a value is outside of its range.
    """

    max_lines: int = 2
    line_width: int = 42
    min_seconds: float = 1.0
    max_seconds: float = 7.0
    chars_per_second: float = 20.0
    gap_seconds: float = 0.08
    pause_seconds: float = 0.7

    def __post_init__(self) -> None:
        ranges = {
            "max_lines": (1, 10),
            "line_width": (12, 1000),
            "min_seconds": (0.2, 60.0),
            "max_seconds": (self.min_seconds, 600.0),
            "chars_per_second": (1.0, 1000.0),
            "gap_seconds": (0.0, 5.0),
            "pause_seconds": (0.05, 600.0),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidInput(f"captions: {name} must be between {least} and {most}, got {value!r}")

    @classmethod
    def of(cls, given: Mapping[str, object]) -> CaptionStyle:
        """Read the rules from a mapping; its numbers may be text.

        :raises InvalidInput: for an unknown rule, and for a value that is not a number.
        """
        kinds = {field.name: field.type for field in fields(cls)}
        values: dict[str, int | float] = {}
        for name, value in given.items():
            if name not in kinds:
                raise InvalidInput(f"captions: unknown rule {name!r}; allowed: {', '.join(kinds)}")
            read, is_whole = number(value), kinds[name] == "int"
            if read is None or (is_whole and read != int(read)):
                raise InvalidInput(f"captions: {name} must be a {'whole ' * is_whole}number, got {value!r}")
            values[name] = int(read) if is_whole else read
        return cls(**values)  # type: ignore[arg-type]  # whole numbers where the fields are whole
