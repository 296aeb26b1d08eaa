"""The arguments of a task, read once, before anything is asked or paid for: one table, and one checked value.

The table says which argument, field of a group or option of an item is of which sort, for every operator and sensor.
What a mistake costs is an :class:`~airflow_provider_nanostt.api.errors.InvalidInput` that names the argument.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from airflow_provider_nanostt._compat import conf
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.api.patience import PATIENCE_SECONDS
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules
from airflow_provider_nanostt.common.numbers import from_text, number
from airflow_provider_nanostt.common.parsing import (
    DAY_SECONDS,
    is_null,
    parse_bool,
    parse_choice,
    parse_mapping,
    parse_number,
    parse_seconds,
    parse_text,
    parse_whole,
    parse_word,
    parse_words,
)
from airflow_provider_nanostt.common.reprs import Private
from airflow_provider_nanostt.ledger import RecoveryRules
from airflow_provider_nanostt.operators.options import GROUPS
from airflow_provider_nanostt.outputs import CaptionStyle, ChunkRules, OutputSettings
from airflow_provider_nanostt.outputs.tables import check_tables
from airflow_provider_nanostt.workflow.pricing import UNKNOWN_LENGTH, ApprovalRules, CostRules

_PRESIGN_MARGIN_SECONDS = 300.0 + PATIENCE_SECONDS
"""An address that is signed for the service is good for so much longer: the submit may be refused for a while."""

_NEVER_EMPTY = ("model", "language")
_TIMEOUT_SECONDS = 6 * 3600.0


def _parse_manifest_formats(name: str, value: object) -> tuple[str, ...]:
    from airflow_provider_nanostt.workflow.batch import manifest

    return manifest.check_formats(parse_words(name, value))


def _parse_confidence(name: str, value: object) -> float:
    read = number(value)
    if read is None:
        raise errors.InvalidInput(f"{name} must be a confidence above 0 and up to 1, got {value!r}")
    return read


def _parse_users(name: str, value: object) -> tuple[tuple[str, str], ...]:
    """Read users as (id, name): ids, or mappings as Airflow has them."""
    read = from_text(value)
    given = read.split(",") if isinstance(read, str) else [read] if isinstance(read, Mapping) else read
    if not isinstance(given, list | tuple):
        raise errors.InvalidInput(f"{name} must be a list of users, got {type(value).__name__}")
    users = []
    for one in given:
        user_id = str(one.get("id") if isinstance(one, Mapping) else one).strip()
        if is_null(user_id):
            raise errors.InvalidInput(f"{name} has a user without an id")
        users.append((user_id, str(one.get("name") or user_id) if isinstance(one, Mapping) else user_id))
    return tuple(users)


PARSERS: Mapping[str, Callable[[str, object], object]] = {
    "model": parse_word,
    "language": parse_word,
    "diarize": parse_bool,
    "tag_audio_events": parse_bool,
    "extra_parameters": lambda name, value: parse_mapping(name, value.value if isinstance(value, Private) else value),
    "actual_duration": partial(parse_number, unit="minutes", may_be_zero=False),
    "nanogpt_conn_id": parse_text,
    "output_path": parse_text,
    "deferrable": parse_bool,
    "wait_for_completion": parse_bool,
    "poll_interval": partial(parse_seconds, most=DAY_SECONDS),
    "timeout": parse_seconds,
    "max_worker_wait": partial(parse_seconds, most=DAY_SECONDS, may_be_zero=True),
    # OutputSettings
    "formats": parse_words,
    "filename": parse_text,
    "speaker_names": parse_mapping,
    "captions": lambda _, value: CaptionStyle.of(value),
    "chunks": lambda _, value: ChunkRules.of(value),
    "estimated_captions": parse_bool,
    "xcom_limit": partial(parse_whole, least=0, most=1_000_000_000),
    "page_audio_url": parse_text,
    "review_below": _parse_confidence,
    "transform": parse_text,
    "keep_raw": parse_bool,
    # RecoveryRules
    "force": parse_bool,
    "on_changed_input": parse_word,
    "on_ambiguous_submit": parse_word,
    "on_lost_job": parse_word,
    # CostRules
    "max_cost_usd": partial(parse_number, unit="USD"),
    "unknown_length": partial(parse_choice, words=UNKNOWN_LENGTH),
    "check_balance_above": partial(parse_number, unit="USD"),
    # ApprovalRules
    "approve_above": partial(parse_number, unit="USD"),
    "assigned_users": _parse_users,
    "response_timeout": parse_seconds,
    "on_reject": partial(parse_choice, words=("fail", "skip")),
    # PreparationRules
    "oversize": parse_words,
    "staging_path": parse_text,
    "codec": parse_word,
    "split_diarized": parse_bool,
    "presign_for": partial(parse_seconds, may_be_zero=True),
    # batches
    "manifest": parse_text,
    "manifest_formats": _parse_manifest_formats,
    "tables": check_tables,
    "on_item_error": partial(parse_choice, words=("fail", "continue")),
    "on_no_match": partial(parse_choice, words=("warn", "fail")),
    "skip_existing": parse_bool,
    "settle": partial(parse_seconds, most=600.0, may_be_zero=True),
    "max_parallel": partial(parse_whole, least=1, most=64),
}
"""Which argument, field of a group or option of an item is of which sort."""


@dataclass(frozen=True, slots=True)
class JobArguments:
    """What a job is to be: the arguments that an item of a batch may have for itself, too."""

    model: str = DEFAULT_MODEL
    language: str = "auto"
    diarize: bool = False
    tag_audio_events: bool = False
    extra_parameters: Mapping[str, object] = field(default_factory=dict, repr=False)
    actual_duration: float | None = None

    def with_own(self, own: Mapping[str, object]) -> JobArguments:
        """Return the arguments with what an item says for itself; other options of it are passed over."""
        names = {one.name for one in fields(self)}
        return replace(self, **_parsed({name: value for name, value in own.items() if name in names}))


@dataclass(frozen=True, slots=True)
class Arguments:
    """Every argument of an operator but the recording, checked; what it does not have, or leaves out, has its default.

    :param presign_seconds: how long an address that is signed for the service is good for.
    :param poll_interval: seconds between two questions.
    :param timeout: seconds from now.
    :param settle: seconds between two looks at what patterns find; 0 looks once.
    :param max_worker_wait: the longest expected rest, seconds, for which the worker waits itself; 0 never does.
    """

    job: JobArguments
    settings: OutputSettings
    rules: RecoveryRules
    costs: CostRules
    approval: ApprovalRules
    preparation: PreparationRules
    presign_seconds: float
    nanogpt_conn_id: str = "nanogpt_default"
    output_path: str | None = None
    deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False)
    wait_for_completion: bool = True
    poll_interval: float = 5.0
    timeout: float = _TIMEOUT_SECONDS
    max_worker_wait: float = 5.0
    manifest: str = "manifest"
    manifest_formats: tuple[str, ...] = ("jsonl",)
    tables: tuple[str, ...] = ()
    on_item_error: str = "fail"
    on_no_match: str = "warn"
    skip_existing: bool = False
    settle: float = 0.0
    max_parallel: int | None = None

    def short_wait(self, deadline: float) -> tuple[float, float]:
        """Return until when, epoch seconds, and how often, seconds, a worker asks for jobs that are expected soon."""
        longest = self.max_worker_wait
        return min(deadline, time.time() + 2.0 * longest), min(self.poll_interval, longest / 4.0)


_VALUES = {
    "job": JobArguments,
    "settings": OutputSettings,
    "rules": RecoveryRules,
    "costs": CostRules,
    "approval": ApprovalRules,
    "preparation": PreparationRules,
}
"""The checked values that arguments are gathered in, by their names in :class:`Arguments`."""


def read_arguments(operator: object) -> Arguments:
    """Read every argument that an operator has.

    :raises InvalidInput: for the first that cannot be read, or that means nothing.
    """
    given = {name: getattr(operator, name) for name in PARSERS if hasattr(operator, name)}
    for group, kind in GROUPS.items():
        known = [one.name for one in fields(kind)]
        own = parse_mapping(group, getattr(operator, group, None))
        if unknown := sorted(set(map(str, own)) - set(known)):
            raise errors.InvalidInput(f"{group} has no {unknown[0]!r}; its fields are {', '.join(known)}")
        given |= own
    read = _parsed(given)
    presign_for = read.pop("presign_for", 0.0) or read.get("timeout", _TIMEOUT_SECONDS)
    for name, value in _VALUES.items():
        own_fields = [one.name for one in fields(value) if one.name in read]
        read[name] = value(**{one: read.pop(one) for one in own_fields})
    return Arguments(**read, presign_seconds=presign_for + _PRESIGN_MARGIN_SECONDS)


def _parsed(given: Mapping[str, object]) -> dict[str, Any]:
    """Read values; nothing, such as a parameter that was not filled in, leaves an argument at its default."""
    # An empty model or language is a mistake that has a message of its own.
    read: dict[str, Any] = {
        name: PARSERS[name](name, value)
        for name, value in given.items()
        if not is_null(value) or (name in _NEVER_EMPTY and isinstance(value, str) and not value.strip())
    }
    if is_null(given.get("check_balance_above", 0)):
        read["check_balance_above"] = None  # the one for which nothing has a meaning of its own: never ask
    return read
