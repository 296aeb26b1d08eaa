"""The rarely needed arguments, in groups: frozen dataclasses that a dict or JSON text may stand for, and their reading.

Fields may hold templates, so they are checked when the task runs, before anything is paid for, by :func:`read_settings`
and the others. Another task's output can be in a dict only: Airflow does not look for dependencies in other objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.operators._arguments import (
    parse_bool,
    parse_mapping,
    parse_number,
    parse_seconds,
    text_or_none,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules
    from airflow_provider_nanostt.ledger import RecoveryRules
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.pricing import CostRules

    Flag = bool | str
    Number = float | str

T = TypeVar("T")

_PRESIGN_MARGIN_SECONDS = 300.0


class _Options:
    """What every group has: it refuses another task's output, which Airflow would not see in it."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]  # each of them is a dataclass
            if _has_output(getattr(self, field.name)):
                raise TypeError(
                    f"{type(self).__name__}({field.name}=...) has the output of another task, and Airflow would not "
                    "see that the task depends on it. Use a dict in its place"
                )


def _has_output(value: object) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return hasattr(value, "iter_references") or any(map(_has_output, inner))


@dataclass(frozen=True, slots=True)
class AudioPreparation(_Options):
    """How a recording may be made fit for the service. All fields are templated.

    :param oversize: what may be done with a recording that is too large for an upload (3 MB) and has no address that
        the service could fetch it from, in order: ``stage`` it in ``staging_path``, ``compress`` it, ``split`` it. The
        last two need the extra ``[audio]``.
    :param staging_path: a folder in object storage that can sign addresses; files put there are removed again.
    :param codec: what recordings are compressed to.
    :param split_diarized: split although speakers are told apart; their labels do not match across parts.
    :param presign_for: seconds, or a timedelta, that an address signed for the service is good for; None for as long as
        the job is waited for.
    """

    oversize: Sequence[Literal["stage", "compress", "split"]] | str = ("stage", "compress", "split")
    staging_path: str | None = None
    codec: Literal["opus", "mp3"] | str = "opus"
    split_diarized: Flag = False
    presign_for: Number | timedelta | None = None


@dataclass(frozen=True, slots=True)
class OutputOptions(_Options):
    """How results are written. All fields are templated.

    :param speaker_names: new names for speakers, as in ``{"Speaker 1": "Agent"}``.
    :param captions: the reading rules of ``srt`` and ``vtt``, by the names in
        :class:`~airflow_provider_nanostt.outputs.settings.CaptionStyle`.
    :param estimated_captions: guess the times of captions if the model gives none.
    :param xcom_limit: bytes of JSON that may go to XCom without ``output_path``.
    :param page_audio_url: a web address at which a browser finds the recording, for the ``html`` page to play. It is
        written into the page as it is, with its signature if it has one.
    """

    speaker_names: Mapping[str, str] | str | None = None
    captions: Mapping[str, object] | str | None = None
    estimated_captions: Flag = False
    xcom_limit: int | str | None = None
    page_audio_url: str | None = None


@dataclass(frozen=True, slots=True)
class RecoveryPolicy(_Options):
    """What to do about an earlier attempt. All fields are templated.

    :param on_changed_input: if recording, model or options are not those submitted before.
    :param on_ambiguous_submit: if nobody knows whether the last submit was charged.
    :param on_lost_job: if the service no longer knows the job.
    """

    on_changed_input: Literal["submit", "fail"] | str = "submit"
    on_ambiguous_submit: Literal["fail", "resubmit"] | str = "fail"
    on_lost_job: Literal["fail", "submit"] | str = "fail"


@dataclass(frozen=True, slots=True)
class CostLimits(_Options):
    """How costs are limited, beside ``max_cost_usd``. All fields are templated.

    :param unknown_length: for a recording of unknown length: ``worst`` takes the longest its size allows, ``fail``
        refuses, ``allow`` lets it pass.
    :param check_balance_above: USD of expected cost above which the account must hold as much; None never asks.
    """

    unknown_length: Literal["worst", "fail", "allow"] | str = "worst"
    check_balance_above: Number | None = 1.0


def as_template(options: object) -> object:
    """Return options in the form that Airflow renders templates in: a dict; anything else stays as it is."""
    if not is_dataclass(options) or isinstance(options, type):
        return options
    return {field.name: getattr(options, field.name) for field in fields(options)}


def read_group(name: str, kind: type[T], value: object) -> T:
    """Return options from a dict, JSON text, or None.

    :param name: of the argument.
    :raises InvalidInput: for a field that there is not.
    """
    given = parse_mapping(name, as_template(value))
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if unknown := sorted(set(map(str, given)) - set(known)):
        raise InvalidInput(f"{name} has no {unknown[0]!r}; its fields are {', '.join(known)}")
    return kind(**given)


def read_preparation(value: object, timeout: float) -> tuple[PreparationRules, float]:
    """Return the checked rules, and the seconds for which addresses are signed.

    :param timeout: seconds for which the job is waited for.
    """
    from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules

    given = read_group("audio_preparation", AudioPreparation, value)
    named = given.oversize
    ways = tuple(part.strip() for part in named.split(",") if part.strip()) if isinstance(named, str) else tuple(named)
    seconds = timeout if given.presign_for in (None, "", "None") else parse_seconds("presign_for", given.presign_for)
    rules = PreparationRules(
        oversize=ways,  # type: ignore[arg-type]  # checked there
        staging_path=text_or_none(given.staging_path),
        codec=given.codec,  # type: ignore[arg-type]  # checked there
        split_diarized=parse_bool("split_diarized", given.split_diarized),
    )
    return rules, seconds + _PRESIGN_MARGIN_SECONDS


def read_settings(value: object, *, formats: Sequence[str] | str, filename: object) -> OutputSettings:
    """Return the checked settings for writing results."""
    from airflow_provider_nanostt.outputs import CaptionStyle, OutputSettings

    given = read_group("output_options", OutputOptions, value)
    limit = parse_number("xcom_limit", given.xcom_limit, "bytes")
    return OutputSettings(
        formats=formats,
        speaker_names=parse_mapping("speaker_names", given.speaker_names),  # type: ignore[arg-type]  # checked there
        captions=CaptionStyle.of(parse_mapping("captions", given.captions)),
        estimated_captions=parse_bool("estimated_captions", given.estimated_captions),
        **({} if limit is None else {"xcom_limit": int(limit)}),
        filename=text_or_none(filename) or "{name}",
        page_audio_url=text_or_none(given.page_audio_url),
    )


def read_rules(value: object, *, force: object = False) -> RecoveryRules:
    """Return the checked rules about earlier attempts."""
    from airflow_provider_nanostt.ledger import RecoveryRules

    given = read_group("recovery_policy", RecoveryPolicy, value)
    return RecoveryRules(
        parse_bool("force", force), given.on_changed_input, given.on_ambiguous_submit, given.on_lost_job
    )


def read_costs(value: object, max_cost_usd: object) -> CostRules:
    """Return the checked limits of costs."""
    from airflow_provider_nanostt.workflow.pricing import CostRules

    given = read_group("cost_limits", CostLimits, value)
    return CostRules(
        parse_number("max_cost_usd", max_cost_usd, "USD"),
        given.unknown_length,
        parse_number("check_balance_above", given.check_balance_above, "USD"),
    )
