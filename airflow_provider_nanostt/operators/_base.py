"""What every task that waits for a job shares: how it defers, ends, fails and is killed. Nothing about audio or money.

A base for operators and sensors, without arguments of its own. What a status means is decided in ``polling``, what has
been paid for in ``workflow``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from inspect import getfullargspec
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_nanostt._compat import (
    NEVER_EXPIRE,
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    mask_secret,
    without_loggers,
)
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.numbers import total
from airflow_provider_nanostt.common.parsing import is_null, parse_bool, parse_mapping, parse_word
from airflow_provider_nanostt.common.reprs import Private
from airflow_provider_nanostt.links import TranscriptLink

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.api.models import Job
    from airflow_provider_nanostt.lineage import LineageRecord
    from airflow_provider_nanostt.operators._arguments import Arguments

DRY_RUN = "NANOSTT_DRY_RUN"
"""The environment variable that turns every run into a dry run; Airflow 3 has no command for one."""

_BACKSTOP = timedelta(minutes=1)
_SHOWN = 100
"""Texts of a field that Airflow could show, of which it keeps 4,096 characters; thousands of values take it long."""
_AFTER_RETRYABLE = (
    "Nothing by hand: the next try goes on from here, and submits anew only what failed at the service. After the last "
    "try, clear the task."
)
_AFTER_FINAL = "Fix the cause that the log names, then clear the task; with a ledger, what is paid for is found again."


class TaskFailed(AirflowFailException):
    """The task fails without retry.

    :param error: the reason, with the job if there is one.
    """

    def __init__(self, error: errors.NanoGPTError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a task returns, and the recordings that it has read, for lineage."""

    result: dict[str, object]
    inputs: Sequence[object] = field(default=(), repr=False)


def arguments_of(init: Callable[..., None]) -> tuple[str, ...]:
    """Return the names of an operator's own arguments, each of which is an attribute and a template field, too."""
    return tuple(getfullargspec(init).kwonlyargs)


class NanoGPTOperator(BaseOperator):
    """The waiting half of an operator; see the module."""

    nanogpt_conn_id: str
    output_path: str | None
    recovery_policy: object = None
    operator_extra_links = (TranscriptLink(),)
    reported: Mapping[str, object] = {}
    """What is known of the task in this process: what :func:`push` was given."""
    _lineage: LineageRecord | None = None

    def run_task(self, context: Context) -> TaskResult:
        """Do the work of the task up to its end, or defer."""
        raise NotImplementedError

    def resume_task(self, context: Context, event: Mapping[str, object]) -> TaskResult:
        """Go on after the trigger's event."""
        raise NotImplementedError

    def estimate_task(self, context: Context) -> None:  # noqa: ARG002  others need it
        """Log what :meth:`run_task` would submit and what that would cost; nothing is sent or written."""
        self.log.info("There is no estimate for this kind of task; `nanostt estimate` has one for its recordings")

    def is_retryable(self, error: errors.NanoGPTError, context: Context) -> bool:
        """Return whether another try is worth it, and pays for nothing twice."""
        if type(error) is errors.AmbiguousSubmit:
            policy = parse_mapping("recovery_policy", self.recovery_policy)
            return error.may_be_retried(parse_word("on_ambiguous_submit", policy.get("on_ambiguous_submit")))
        return error.retry == "yes" or (error.retry == "ledger" and self._has_ledger(context))

    def _has_ledger(self, context: Context) -> bool:
        """Return whether the next try finds what this one has paid for."""
        return not is_null(self.output_path) or context.get("task_state_store") is not None

    def execute(self, context: Context) -> dict[str, object]:
        """Find or submit, then wait: not at all for an answer that is there, else in the triggerer or here."""
        is_dry = os.environ.get(DRY_RUN)
        done = self._run(context, partial(self.run_or_estimate, self.run_task) if is_dry else self.run_task)
        if isinstance(done, Exception):
            raise done
        return done

    def run_or_estimate(self, step: Callable[[Context], TaskResult], context: Context) -> TaskResult:
        """Do a step that may submit, or in a dry run only say what it would cost."""
        if parse_bool(DRY_RUN, os.environ.get(DRY_RUN) or "false"):
            self.dry_run(context)
            raise AirflowSkipException(f"{DRY_RUN} is set, so nothing was submitted")
        return step(context)

    def dry_run(self, context: Context | None = None) -> None:
        """Log what would be submitted and what it would cost; nothing is sent or written.

        :param context: of the task instance, for what it has paid for already.
        """
        try:
            self.estimate_task({} if context is None else context)
        except errors.NanoGPTError as error:
            self.log.error("This would fail, and submit nothing: %s", error)
        self.log.info("Dry run: nothing was submitted")

    def execute_complete(self, context: Context, event: Mapping[str, object]) -> dict[str, object]:
        """Take in what the trigger reports, and fetch the transcript."""
        done = self._run(context, partial(self.resume_task, event=event))
        if isinstance(done, Exception):
            raise done
        return done

    def _run(self, context: Context, step: Callable[[Context], TaskResult]) -> dict[str, object] | Exception:
        """Return the result of a step, or the failure that Airflow is to see."""
        try:
            done = step(context)
        except errors.NanoGPTError as error:
            return self.as_failure(context, error)
        except AirflowException:
            raise
        except Exception as error:  # whatever a storage raises is shown by Airflow
            self.report_failure(context, None, is_retryable=self._has_ledger(context))
            if not errors.shows_secrets(error):
                raise
            self.log.error("%s", errors.format_traceback(error))
            raise errors.without_secrets(error) from None
        self.emit_lineage(context, done)
        return done.result

    def as_failure(self, context: Context, error: errors.NanoGPTError) -> Exception:
        """Return the exception for Airflow: without retry where a retry would not help, or would pay again.

        It has no traceback of the provider's internals: the message says all there is to know. They are in the log at
        debug level.
        """
        self.log.debug("The traceback of the failure that follows: %s", errors.format_traceback(error))
        is_retryable = self.is_retryable(error, context)
        self.report_failure(context, getattr(error, "job", None), is_retryable=is_retryable)
        if not is_retryable:
            return TaskFailed(error)
        cause = error.__cause__ if isinstance(error, errors.BatchIncomplete) else None  # the retry policy looks at it
        error.__cause__ = cause and cause.with_traceback(None)
        error.__suppress_context__ = True
        return error.with_traceback(None)

    def report_failure(self, context: Context, job: Job | None, *, is_retryable: bool) -> None:
        """Log what is to be done next; put that into XCom, too, with what a failed task has paid for."""
        next_step = _AFTER_RETRYABLE if is_retryable else _AFTER_FINAL
        self.log.info("Next step: %s", next_step)
        push(self, context, [job], next_step=next_step)

    def emit_lineage(self, context: Context, done: TaskResult) -> None:
        """Emit what was written: asset events, and facets for OpenLineage."""
        from airflow_provider_nanostt.lineage import LineageRecord, emit_asset_events

        try:
            self._lineage = LineageRecord.of(done.inputs, done.result)
            emit_asset_events(context, self.outlets or (), self._lineage)
        except Exception as error:  # noqa: BLE001  the transcript is written, and is worth more than its events
            self.log.error("Could not emit asset or lineage events: %s", errors.format_traceback(error))
        files = done.result.get("files")
        for uri in files.values() if isinstance(files, Mapping) else ():
            self.log.info("Wrote %s", uri)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002  Airflow's name for it
        """Return the facets of the finished task for OpenLineage."""
        from airflow_provider_nanostt.lineage import facets

        return facets(self._lineage) if self._lineage is not None else None

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:  # noqa: ARG002  Airflow's name for it
        """Return for OpenLineage what is known of the money of a task that has failed, and the next step."""
        from airflow_provider_nanostt.lineage import LineageRecord, facets

        return facets(self._lineage or LineageRecord.of((), self.reported))

    def on_kill(self) -> None:
        """Destroy nothing: a job cannot be cancelled, and is still billed."""
        self.log.warning(
            "The task was killed. A NanoGPT job cannot be cancelled and is still billed. %s",
            "The next try of this task looks for it before it submits anything."
            if not is_null(self.output_path) or NEVER_EXPIRE is not None
            else "No ledger is configured, so a retry will submit and pay again.",
        )

    def defer_to(self, trigger: Callable[..., BaseTrigger], arguments: Arguments, deadline: float) -> NoReturn:
        """Defer to a trigger, with the deadline, epoch seconds, in its arguments.

        :param trigger: makes it, when it is given how to wait.
        :param arguments: of this operator, as they were read.
        """
        from airflow_provider_nanostt.triggers import EARLIEST_EVENT

        now = time.time()
        self.defer(
            trigger=trigger(
                nanogpt_conn_id=arguments.nanogpt_conn_id,
                poll_interval=arguments.poll_interval,
                deadline=deadline,
                not_before=now + EARLIEST_EVENT,
            ),
            method_name="execute_complete",
            # The trigger keeps the deadline; Airflow's own timeout only stands behind it.
            timeout=timedelta(seconds=max(0.0, deadline - now) + EARLIEST_EVENT) + _BACKSTOP,
        )

    def __getstate__(self) -> dict[str, Any]:
        return without_loggers(super().__getstate__())  # type: ignore[no-untyped-call]

    def _do_render_template_fields(self, parent: Any, *arguments: Any, **named: Any) -> None:
        # Also what a mapped task is rendered through. Airflow stores rendered fields, after masking what it knows.
        super()._do_render_template_fields(parent, *arguments, **named)
        if parent is not self:
            return
        mask_addresses([getattr(self, name, None) for name in self.template_fields])
        given = getattr(self, "extra_parameters", None)
        if not is_null(given) and not isinstance(given, Private):  # Airflow stores no value: it may be someone's name
            self.extra_parameters: Any = Private(given)


def push(operator: NanoGPTOperator, context: Context | None, paid: Sequence[object] = (), **values: object) -> None:
    """Put values into XCom, each under its name, where Airflow allows it; a failed task leaves them, too.

    The operator keeps them for whoever asks it when the task has failed.

    :param context: None if they are in XCom already.
    :param paid: jobs and transcripts, whose ids and costs are put there.
    """
    from airflow_provider_nanostt.api.models import Job, Transcript

    instance: Any = context and context.get("ti")
    found = [one for one in paid if isinstance(one, Job | Transcript)]
    if found:
        values["run_id"] = ", ".join(one.run_id for one in found if one.run_id) or None
        values["cost_usd"] = total(one.cost for one in found)
        values["charged_minutes"] = total(one.charged_minutes for one in found)
    known = {key: value for key, value in values.items() if value is not None}
    operator.reported = {**operator.reported, **known}
    try:
        for key, value in known.items() if operator.do_xcom_push and instance is not None else ():
            instance.xcom_push(key=key, value=value)
    except Exception:  # noqa: BLE001, S110  they only help to see what happened
        pass


def mask_addresses(value: object) -> None:
    """Have Airflow mask what is secret in the addresses in a value."""
    from airflow_provider_nanostt.common import known_secrets
    from airflow_provider_nanostt.common.urls import parts_to_mask

    known_secrets.remember(parts_to_mask(value))
    for secret in parts_to_mask(value, first=_SHOWN):
        mask_secret(secret)
