"""The reading rules of captions, as the user sets them, and nothing that follows from them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.models import number

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    :raises InvalidInput: if a rule cannot be kept by anything.
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
                raise InvalidInput(f"captions: {name}={value!r} is not between {least} and {most}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> CaptionStyle:
        """Read the rules from a mapping, whose numbers may be text.

        :raises InvalidInput: for a rule that does not exist, and for what is no number.
        """
        kinds = {field.name: field.type for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            read = number(value)
            if name not in kinds:
                raise InvalidInput(f"captions has no {name!r}; there are {', '.join(kinds)}")
            if read is None or (kinds[name] == "int" and read != int(read)):
                raise InvalidInput(f"captions: {name}={value!r} is not a{' whole' * (kinds[name] == 'int')} number")
            values[name] = int(read) if kinds[name] == "int" else read
        return cls(**values)
