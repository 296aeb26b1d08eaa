"""Reading arguments that may have come through a template: text where a number, a flag or a mapping is meant. Pure.

There is one parser for each sort of argument, and one table that says which argument is of which sort, for every
operator, sensor and item of a batch. A value that cannot be read is an
:class:`~airflow_provider_nanostt.api.errors.InvalidInput` that names the argument.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.numbers import number
from airflow_provider_nanostt.operators._templates import as_template
from airflow_provider_nanostt.operators.options import GROUPS

if TYPE_CHECKING:
    from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules
    from airflow_provider_nanostt.ledger import RecoveryRules
    from airflow_provider_nanostt.outputs import CaptionStyle, OutputSettings
    from airflow_provider_nanostt.workflow.pricing import CostRules

T = TypeVar("T")
Parser = Callable[[str, object], object]

_PRESIGN_MARGIN_SECONDS = 300.0
_TRUE = ("true", "1", "yes", "on", "t", "y")
_FALSE = ("false", "0", "no", "off", "f", "n", "", "none", "null")


def none_if_blank(value: object) -> object:
    """Return None for what a template renders from nothing."""
    return None if value in ("", "None") else value


def parse_text(name: str, value: object) -> str | None:  # noqa: ARG001  any value can be read as text
    """Read text, None for what a template renders from nothing."""
    given = none_if_blank(value)
    return None if given is None else str(given)


def parse_word(name: str, value: object) -> str:  # noqa: ARG001  which words there are is checked where they are obeyed
    """Read a word, without the spaces around it."""
    return str(value).strip()


def parse_number(name: str, value: object, unit: str) -> float | None:
    """Read a number that a template may have turned into text; None stays None.

    :raises InvalidInput: if it is not a number.
    """
    if none_if_blank(value) is None:
        return None
    read = number(value)
    if read is None:
        raise errors.InvalidInput(f"{name} must be a number of {unit}, got {value!r}")
    return read


def parse_whole(name: str, value: object, *, least: int, most: int) -> int:
    """Read a whole number in a range.

    :raises InvalidInput: if it is anything else.
    """
    read = number(value)
    if read is None or read != int(read) or not least <= read <= most:
        raise errors.InvalidInput(f"{name} must be a whole number from {least} to {most}, got {value!r}")
    return int(read)


def parse_mapping(name: str, value: object) -> Mapping[str, object]:
    """Read a mapping that a template may have turned into JSON text; nothing is an empty one.

    :raises InvalidInput: if it is not a mapping.
    """
    if isinstance(value, str) and none_if_blank(value) is not None:
        try:
            value = json.loads(value)
        except ValueError as error:
            raise errors.InvalidInput(f"{name} is neither a mapping nor JSON; use the filter tojson") from error
    value = {} if none_if_blank(value) is None else value
    if not isinstance(value, Mapping):
        raise errors.InvalidInput(f"{name} must be a mapping, got {type(value).__name__}")
    return value


def parse_bool(name: str, value: object) -> bool:
    """Read a flag that a template may have turned into text.

    :raises InvalidInput: if it is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise errors.InvalidInput(f"{name} must be true or false, got {value!r}")


def parse_choice(name: str, value: object, *words: str) -> str:
    """Read one of several words.

    :raises InvalidInput: if it is another.
    """
    word = str(value).strip()
    if word not in words:
        raise errors.InvalidInput(f"{name} must be one of {', '.join(words)}; got {value!r}")
    return word


def parse_words(name: str, value: object) -> tuple[str, ...]:
    """Read a list of words, which may be one text with commas between them.

    :raises InvalidInput: if it is anything else.
    """
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise errors.InvalidInput(f"{name} must be a list of words, got {value!r}")
    return tuple(word for one in given if (word := str(one).strip()))


def parse_seconds(name: str, value: object, *, optional: bool = False) -> float:
    """Read a length of time given as a number, as text, or as a timedelta.

    :param optional: whether nothing, or 0, may be given, too.
    :raises InvalidInput: if it is not a positive length.
    """
    if optional and none_if_blank(value) in (None, 0, "0"):
        return 0.0
    seconds = value.total_seconds() if isinstance(value, timedelta) else number(value)
    if seconds is None or seconds <= 0:
        raise errors.InvalidInput(f"{name} must be a positive number of seconds, got {value!r}")
    return seconds


def _parse_captions(name: str, value: object) -> CaptionStyle:
    from airflow_provider_nanostt.outputs import CaptionStyle

    return CaptionStyle.of(parse_mapping(name, value))


def _parse_xcom_limit(name: str, value: object) -> int:
    from airflow_provider_nanostt.outputs.settings import XCOM_LIMIT

    limit = parse_number(name, value, "bytes")
    return XCOM_LIMIT if limit is None else int(limit)


def _parse_manifest_formats(_: str, value: object) -> tuple[str, ...]:
    from airflow_provider_nanostt.workflow.batch import manifest

    return manifest.check_formats(value)  # type: ignore[arg-type]  # checked there


_usd = partial(parse_number, unit="USD")

PARSERS: Mapping[str, Parser] = {
    "model": lambda _, value: str(value),
    "language": lambda _, value: str(value),
    "diarize": parse_bool,
    "tag_audio_events": parse_bool,
    "actual_duration": partial(parse_number, unit="minutes"),
    "nanogpt_conn_id": lambda _, value: str(value),
    "output_path": parse_text,
    "deferrable": parse_bool,
    "wait_for_completion": parse_bool,
    "poll_interval": parse_seconds,
    "timeout": parse_seconds,
    "max_worker_wait": partial(parse_seconds, optional=True),
    # OutputSettings
    "formats": lambda _, value: value,  # checked there
    "filename": lambda name, value: parse_text(name, value) or "{name}",
    "speaker_names": parse_mapping,
    "captions": _parse_captions,
    "estimated_captions": parse_bool,
    "xcom_limit": _parse_xcom_limit,
    "page_audio_url": parse_text,
    # RecoveryRules
    "force": parse_bool,
    "on_changed_input": parse_word,
    "on_ambiguous_submit": parse_word,
    "on_lost_job": parse_word,
    # CostRules
    "max_cost_usd": _usd,
    "unknown_length": parse_word,
    "check_balance_above": _usd,
    # PreparationRules
    "oversize": parse_words,
    "staging_path": parse_text,
    "codec": parse_word,
    "split_diarized": parse_bool,
    "presign_for": partial(parse_seconds, optional=True),
    # batches
    "manifest": lambda _, value: str(value),
    "manifest_formats": _parse_manifest_formats,
    "on_item_error": lambda name, value: parse_choice(name, value, "fail", "continue"),
    "skip_existing": parse_bool,
    "max_parallel": partial(parse_whole, least=1, most=64),
}
"""Which argument, field of a group or option of an item is of which sort."""


@dataclass(frozen=True, slots=True)
class JobArguments:
    """What a job is to be: the arguments that an item of a batch may have for itself, too."""

    model: str = ""
    language: str = "auto"
    diarize: bool = False
    tag_audio_events: bool = False
    actual_duration: float | None = None

    def with_own(self, own: Mapping[str, object]) -> JobArguments:
        """Return the arguments with what an item says for itself; other options of it are passed over."""
        known = {one.name for one in fields(self)} & set(own)
        read: dict[str, Any] = {name: PARSERS[name](name, own[name]) for name in known}
        return replace(self, **read)


@dataclass(frozen=True, slots=True)
class Arguments:
    """Every argument of an operator but the recording, checked; what the operator does not have has its default.

    :param presign_seconds: how long an address that is signed for the service is good for.
    :param poll_interval: seconds between two questions.
    :param timeout: seconds from now.
    :param max_worker_wait: the longest expected rest, seconds, for which the worker waits itself; 0 never does.
    """

    nanogpt_conn_id: str
    job: JobArguments
    settings: OutputSettings
    rules: RecoveryRules
    costs: CostRules
    preparation: PreparationRules
    presign_seconds: float
    output_path: str | None = None
    deferrable: bool = False
    wait_for_completion: bool = True
    poll_interval: float = 1.0
    timeout: float = 1.0
    max_worker_wait: float = 0.0
    manifest: str = "manifest"
    manifest_formats: tuple[str, ...] = ("jsonl",)
    on_item_error: str = "fail"
    skip_existing: bool = False
    max_parallel: int = 1


def read_arguments(operator: object) -> Arguments:
    """Read every argument that an operator has.

    :raises InvalidInput: for the first that cannot be read, or that means nothing.
    """
    from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules
    from airflow_provider_nanostt.ledger import RecoveryRules
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.pricing import CostRules

    given = {name: getattr(operator, name) for name in PARSERS if hasattr(operator, name)}
    for name in GROUPS:
        given |= _read_group(name, getattr(operator, name, None))
    values: dict[str, Any] = {name: PARSERS[name](name, value) for name, value in given.items()}
    presign_for = values.pop("presign_for") or values.get("timeout", 1.0)
    groups = {
        "job": _take(JobArguments, values),
        "settings": _take(OutputSettings, values),
        "rules": _take(RecoveryRules, values),
        "costs": _take(CostRules, values),
        "preparation": _take(PreparationRules, values),
    }
    read: dict[str, Any] = {**values, **groups, "presign_seconds": presign_for + _PRESIGN_MARGIN_SECONDS}
    return Arguments(**read)


def _read_group(name: str, value: object) -> dict[str, object]:
    """Return every field of a group of options, from a dict, JSON text, or None.

    :raises InvalidInput: for a field that there is not.
    """
    known = {field.name: field.default for field in fields(GROUPS[name])}
    given = parse_mapping(name, as_template(value))
    if unknown := sorted(set(map(str, given)) - set(known)):
        raise errors.InvalidInput(f"{name} has no {unknown[0]!r}; its fields are {', '.join(known)}")
    return {**known, **given}


def _take(kind: type[T], values: dict[str, Any]) -> T:
    """Take the fields of a dataclass out of the values, and return it."""
    return kind(**{one.name: values.pop(one.name) for one in fields(kind) if one.name in values})  # type: ignore[arg-type]
