"""The arguments of a task, read once, before anything is asked or paid for: one table, and one checked value.

The table says which argument, field of a group or option of an item is of which sort, for every operator and sensor.
What a mistake costs is an :class:`~airflow_provider_nanostt.api.errors.InvalidInput` that names the argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules
from airflow_provider_nanostt.common.parsing import (
    parse_bool,
    parse_choice,
    parse_mapping,
    parse_number,
    parse_optional_text,
    parse_seconds,
    parse_text,
    parse_whole,
    parse_word,
    parse_words,
)
from airflow_provider_nanostt.ledger import RecoveryRules
from airflow_provider_nanostt.operators.options import GROUPS
from airflow_provider_nanostt.outputs import CaptionStyle, OutputSettings
from airflow_provider_nanostt.outputs.naming import PATTERN
from airflow_provider_nanostt.outputs.settings import XCOM_LIMIT
from airflow_provider_nanostt.workflow.pricing import UNKNOWN_LENGTH, CostRules

_PRESIGN_MARGIN_SECONDS = 300.0


def _parse_manifest_formats(_: str, value: object) -> tuple[str, ...]:
    from airflow_provider_nanostt.workflow.batch import manifest

    return manifest.check_formats(value)  # type: ignore[arg-type]  # checked there


PARSERS: Mapping[str, Callable[[str, object], object]] = {
    "model": parse_text,
    "language": parse_text,
    "diarize": parse_bool,
    "tag_audio_events": parse_bool,
    "actual_duration": partial(parse_number, unit="minutes", may_be_zero=False),
    "nanogpt_conn_id": parse_text,
    "output_path": parse_optional_text,
    "deferrable": parse_bool,
    "wait_for_completion": parse_bool,
    "poll_interval": parse_seconds,
    "timeout": parse_seconds,
    "max_worker_wait": partial(parse_seconds, optional=True),
    # OutputSettings
    "formats": parse_words,
    "filename": partial(parse_text, default=PATTERN),
    "speaker_names": parse_mapping,
    "captions": lambda _, value: CaptionStyle.of(value),
    "estimated_captions": parse_bool,
    "xcom_limit": partial(parse_whole, least=0, most=1_000_000_000, default=XCOM_LIMIT),
    "page_audio_url": parse_optional_text,
    # RecoveryRules
    "force": parse_bool,
    "on_changed_input": parse_word,
    "on_ambiguous_submit": parse_word,
    "on_lost_job": parse_word,
    # CostRules
    "max_cost_usd": partial(parse_number, unit="USD"),
    "unknown_length": partial(parse_choice, words=UNKNOWN_LENGTH),
    "check_balance_above": partial(parse_number, unit="USD"),
    # PreparationRules
    "oversize": parse_words,
    "staging_path": parse_optional_text,
    "codec": parse_word,
    "split_diarized": parse_bool,
    "presign_for": partial(parse_seconds, optional=True),
    # batches
    "manifest": parse_text,
    "manifest_formats": _parse_manifest_formats,
    "on_item_error": partial(parse_choice, words=("fail", "continue")),
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


_VALUES = {
    "job": JobArguments,
    "settings": OutputSettings,
    "rules": RecoveryRules,
    "costs": CostRules,
    "preparation": PreparationRules,
}
"""The checked values that arguments are gathered in, by their names in :class:`Arguments`."""


def read_arguments(operator: object) -> Arguments:
    """Read every argument that an operator has.

    :raises InvalidInput: for the first that cannot be read, or that means nothing.
    """
    given = {name: getattr(operator, name) for name in PARSERS if hasattr(operator, name)}
    for group, kind in GROUPS.items():
        known = {field.name: field.default for field in fields(kind)}
        own = parse_mapping(group, getattr(operator, group, None))
        if unknown := sorted(set(map(str, own)) - set(known)):
            raise errors.InvalidInput(f"{group} has no {unknown[0]!r}; its fields are {', '.join(known)}")
        given |= {**known, **own}
    read: dict[str, Any] = {name: PARSERS[name](name, value) for name, value in given.items()}
    presign_for = read.pop("presign_for") or read.get("timeout", 1.0)
    for name, value in _VALUES.items():
        own_fields = [field.name for field in fields(value) if field.name in read]
        read[name] = value(**{field: read.pop(field) for field in own_fields})
    return Arguments(**read, presign_seconds=presign_for + _PRESIGN_MARGIN_SECONDS)
