"""The rarely needed arguments, in groups: frozen dataclasses that a dict or JSON text may stand for.

Fields may hold templates, so they are read when the task runs, before anything is paid for (``_arguments``). Another
task's output can be in a dict only: Airflow does not look for dependencies in other objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from airflow_provider_nanostt.common.reprs import redacted_repr

if TYPE_CHECKING:
    from datetime import timedelta

    Flag = bool | str
    Number = float | str


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

    __repr__ = redacted_repr

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
    :param chunks: how ``chunks`` are cut, by the names in
        :class:`~airflow_provider_nanostt.outputs.settings.ChunkRules`.
    :param estimated_captions: guess the times of captions if the model gives none.
    :param xcom_limit: bytes of JSON that may go to XCom without ``output_path``.
    :param page_audio_url: a web address at which a browser finds the recording, for the ``html`` page to play. It is
        written into the page as it is, with its signature if it has one.
    :param review_below: mark what the model was less sure of, such as 0.6: on the page, and in result and manifest.
    :param transform: the path of a function, such as ``my_package.redact``, that every text goes through before it is
        written: text of a segment in, text out. The service's raw answer is then left out of the JSON file.
    :param keep_raw: keep the raw answer all the same.
    """

    __repr__ = redacted_repr

    speaker_names: Mapping[str, str] | str | None = None
    captions: Mapping[str, object] | str | None = None
    chunks: Mapping[str, object] | str | None = None
    estimated_captions: Flag = False
    xcom_limit: int | str | None = None
    page_audio_url: str | None = None
    review_below: Number | None = None
    transform: str | None = None
    keep_raw: Flag = False


@dataclass(frozen=True, slots=True)
class RecoveryPolicy(_Options):
    """What to do about an earlier attempt. All fields are templated.

    :param on_changed_input: if recording, model or options are not those submitted before.
    :param on_ambiguous_submit: if nobody knows whether the last submit was charged: ``fail``, ``resubmit``, or
        ``verify``, which submits again only if balance and usage both show that nothing was charged, once they have
        settled: minutes, in the worker.
    :param on_lost_job: if the service no longer knows the job.
    """

    on_changed_input: Literal["submit", "fail"] | str = "submit"
    on_ambiguous_submit: Literal["fail", "resubmit", "verify"] | str = "fail"
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


@dataclass(frozen=True, slots=True)
class ApprovalOptions(_Options):
    """How a person is asked if a batch would cost more than ``approve_above``. All fields are templated.

    :param assigned_users: who may answer: ids, or mappings with ``id`` and ``name``; None for everybody whom Airflow
        allows to answer for the DAG.
    :param response_timeout: seconds, or a timedelta, after which no answer counts as a rejection; None waits on.
    :param on_reject: what the task does without an approval: ``fail``, without retry, or ``skip``.
    """

    __repr__ = redacted_repr

    assigned_users: Sequence[str | Mapping[str, str]] | str | None = None
    response_timeout: Number | timedelta | None = None
    on_reject: Literal["fail", "skip"] | str = "fail"


GROUPS: Mapping[str, type[AudioPreparation | OutputOptions | RecoveryPolicy | CostLimits | ApprovalOptions]] = {
    "audio_preparation": AudioPreparation,
    "output_options": OutputOptions,
    "recovery_policy": RecoveryPolicy,
    "cost_limits": CostLimits,
    "approval_options": ApprovalOptions,
}
"""The arguments that are groups."""
