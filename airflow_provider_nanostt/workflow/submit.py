"""The only way to a charge: approve, take a request slot, record the intent, send, record the job.

The slot comes before the intent: an intent that waits for its turn would be a charge that nobody made, and a killed
worker would leave as many of them as it has threads. What the service refuses for now is sent again in the same order,
a slot, an intent and a request each time: in the pause between, nothing is on its way, and the record says so.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.api.patience import until_accepted
from airflow_provider_nanostt.ledger import holding, keep_recording
from airflow_provider_nanostt.metrics import StatsMeter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_nanostt.api.models import Job, Submission
    from airflow_provider_nanostt.ledger import Claim, Ledger, RequestFingerprint
    from airflow_provider_nanostt.ledger.usage_snapshot import UsageSnapshot
    from airflow_provider_nanostt.workflow.attempt import Attempt
    from airflow_provider_nanostt.workflow.budget import Approval
    from airflow_provider_nanostt.workflow.pricing import Estimate


def submit(
    attempt: Attempt,
    ledger: Ledger,
    request: RequestFingerprint,
    submission: Submission,
    estimate: Estimate,
    *,
    source_version: Mapping[str, object] | None = None,
) -> Transcript | Job:
    """Submit a recording or a part of it, once.

    :param ledger: of the recording, or of the part.
    :param estimate: of the recording; what counts is the length of what is submitted, if that is known.
    :return: the transcript where the model answers at once, else the accepted job.
    :raises CostLimit: if it may not be paid for.
    :raises SubmittedElsewhere: if another attempt at it was quicker; nothing is submitted then.
    :raises LedgerError: if the intent cannot be recorded; nothing is submitted then.
    :raises AmbiguousSubmit: if no readable answer came and it may have been charged.
    """
    attempt.breaker.raise_if_open()
    if submission.actual_minutes is not None:  # what was made counts as it is
        estimate = replace(estimate, minutes=submission.actual_minutes)
    approval = attempt.budget.approve(attempt.number, estimate)
    if not ledger.is_kept:
        attempt.log.warning(
            "No ledger: a retry or clear of this task will pay again. Set output_path=, or use Airflow 3.3 or newer."
        )
    figures = attempt.uncertain.figures_before(attempt.budget.balance) if ledger.is_kept else (None, None)
    send = partial(
        _send, attempt, ledger, request, submission, approval, figures=figures, source_version=source_version
    )
    try:
        return until_accepted(send, attempt.breaker.raise_if_open)
    except errors.NanoGPTError as error:
        if error.charged == "no":
            if isinstance(error, errors.ApiError | errors.TransportError):
                attempt.log.error("The submit was not accepted, so nothing was charged")
            approval.settle(0.0)
        raise


def _send(
    attempt: Attempt,
    ledger: Ledger,
    request: RequestFingerprint,
    submission: Submission,
    approval: Approval,
    *,
    figures: tuple[float | None, UsageSnapshot | None],
    source_version: Mapping[str, object] | None,
) -> Transcript | Job:
    """Take a slot, record the intent, send once, and record what came of it."""
    attempt.service.acquire_slot()
    size = 0 if isinstance(submission.audio, str) else submission.audio.size
    with holding(attempt.holder, attempt.service.get_conn().config.longest_submit(size)) as claim:
        record_intent(attempt, ledger, request, approval, claim=claim, figures=figures, source_version=source_version)
        attempt.log.info("Submitting %s to NanoGPT, model %s", request.source, submission.model)
        try:
            answer = attempt.service.submit(submission)
        except errors.NanoGPTError as error:
            failure = record_refusal(attempt, ledger, error)
            if failure is error:
                raise
            raise failure from error
        record_answer(attempt, ledger, answer, approval)
        return answer


def record_intent(
    attempt: Attempt,
    ledger: Ledger,
    request: RequestFingerprint,
    approval: Approval,
    *,
    claim: Claim,
    figures: tuple[float | None, UsageSnapshot | None],
    source_version: Mapping[str, object] | None = None,
) -> None:
    """Record that a submit is about to be sent, which nobody may do without an approval.

    :param figures: USD in the account, None if unknown, and the usage of the key, if somebody will compare it.
    :param source_version: what identifies the recording, as ``audio`` describes it.
    :raises NanoGPTError: if the batch has stopped meanwhile.
    :raises SubmittedElsewhere: if another attempt has recorded something since the record was read.
    :raises LedgerError: if it cannot be recorded.
    """
    attempt.breaker.raise_if_open()
    ledger.record_intent(
        request,
        estimated_cost=approval.estimated_usd,
        balance=figures[0],
        usage=figures[1],
        owner=attempt.owner,
        forced=attempt.forced,
        source_version=source_version,
        claim=claim,
    )


def record_answer(
    attempt: Attempt, ledger: Ledger, answer: Transcript | Job, approval: Approval, *, source: str | None = None
) -> None:
    """Record what the service has answered, before anything else is done with it, and count its cost.

    :param source: a name for the recording that only the answer knows.
    """
    began = time.perf_counter()
    if isinstance(answer, Transcript):
        keep_recording(attempt.log.error, "the answer", partial(ledger.record_answer, answer, source=source))
    else:
        keep_recording(
            attempt.log.error,
            "the job",
            partial(ledger.record_job, answer),
            hint=partial(attempt.service.recovery_hint, answer),
        )
        attempt.log.info(
            "NanoGPT accepted run %s: model %s, %s minutes charged, %s; recorded in %s after %.1f ms",
            answer.run_id,
            answer.model,
            "unknown" if answer.charged_minutes is None else f"{answer.charged_minutes:g}",
            errors.usd(answer.cost),
            ledger.path,
            (time.perf_counter() - began) * 1000,
        )
        if not ledger.is_kept:
            attempt.log.info("%s", attempt.service.recovery_hint(answer))
    meter = StatsMeter()
    if answer.cost:
        meter.incr("cost_micro_usd", round(answer.cost * 1e6))
    if answer.charged_minutes:
        meter.incr("charged_seconds", round(answer.charged_minutes * 60))
    approval.settle(answer.cost)


def record_refusal(attempt: Attempt, ledger: Ledger, error: errors.NanoGPTError) -> errors.NanoGPTError:
    """Record what is known of the money when a submit has failed: an intent that charged nothing is taken back.

    :return: the error to raise: of a submit that may have been charged, one with what the record and the account say.
    """
    if isinstance(error, errors.TranscriptionFailed):
        keep_recording(attempt.log.error, "that the service gave up", ledger.record_failure)
        return error
    if error.charged == "no":
        record_not_charged(attempt, ledger)
        return error
    ambiguous = error if isinstance(error, errors.AmbiguousSubmit) else errors.AmbiguousSubmit(str(error))
    StatsMeter().incr("uncertain_submits")
    record = ledger.record
    if record is None or not ledger.is_kept:
        return ambiguous
    return ambiguous.replace(record=record.describe(), before=record.balance_before, now=balance_now(attempt))


def record_not_charged(attempt: Attempt, ledger: Ledger) -> None:
    """Take back in the record that something was about to be paid for."""
    keep_recording(attempt.log.error, "that nothing was charged", ledger.withdraw)


def balance_now(attempt: Attempt) -> float | None:
    """Return USD in the account where it only helps to say what happened, None if unknown."""
    try:
        return attempt.service.try_balance()
    except errors.AuthError:
        return None
