"""``@task.transcribe``: a function that returns what to transcribe becomes a task that does. Thin, as operators are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import DecoratedOperator, determine_kwargs, task_decorator_factory
from airflow_provider_nanostt.common.errors import InvalidInput
from airflow_provider_nanostt.common.parsing import is_null
from airflow_provider_nanostt.common.urls import redact
from airflow_provider_nanostt.operators._base import TaskResult, mask_addresses
from airflow_provider_nanostt.operators.batch import TranscribeBatchOperator

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context, TaskDecorator

_MAX_SHOWN = 200


class TranscribeDecoratedOperator(DecoratedOperator, TranscribeBatchOperator):
    """The task behind ``@task.transcribe``: one recording, or a batch if the function returns a list.

    Its arguments are those of the batch operator; ``audio`` is what the function returns.
    """

    custom_operator_name = "@task.transcribe"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in TranscribeBatchOperator.template_fields if name != "audio"),
    )
    # Airflow 3.0 passes this on to a method that does not use it, but its own base class does not have it.
    xcom_push: Any = None

    def __init__(self, *, python_callable: Callable[..., Any], output_path: str | None = None, **kwargs: Any) -> None:
        for name in ("audio", "audio_path", "audio_url", "wait_for_completion"):
            if name in kwargs:
                raise TypeError(f"@task.transcribe has no argument {name!r}: the function returns the recording")
        super().__init__(
            python_callable=python_callable,
            kwargs_to_upstream={"audio": None, "output_path": output_path},
            **kwargs,
        )

    def run_task(self, context: Context, event: Mapping[str, object] | None = None) -> TaskResult:
        """Call the function, and transcribe what it returns."""
        from airflow_provider_nanostt.operators._batch import run_batch
        from airflow_provider_nanostt.operators._single import run_single

        given = {**context, **self.op_kwargs}
        named = determine_kwargs(self.python_callable, self.op_args, given)
        audio = self.python_callable(*self.op_args, **named)
        mask_addresses(audio)
        if isinstance(audio, Sequence) and not isinstance(audio, str | bytes):
            return run_batch(self, context, audio, event=event)
        if not audio or not (isinstance(audio, str | Path) or hasattr(audio, "protocol")):
            raise InvalidInput(
                f"{self.python_callable.__name__}() must return a recording or a list, got "
                f"{redact(repr(audio))[:_MAX_SHOWN]}"
            )
        if self.approve_above is not None and not is_null(self.approve_above):
            raise InvalidInput("approve_above asks for a list; let the function return one, even of one recording")
        return TaskResult(run_single(self, context, audio), [audio])

    def estimate_task(self, context: Context) -> None:  # noqa: ARG002  the function is not called for it
        """Log that only a run knows what the function returns."""
        self.log.info("What the function returns is known when it runs, so there is no estimate")

    def resume_task(self, context: Context, event: Mapping[str, object]) -> TaskResult:
        """Write the transcripts, or begin after a pause."""
        from airflow_provider_nanostt.operators._single import resume_single

        if isinstance(event, Mapping) and not {"batch", "paused_until"}.isdisjoint(event):
            return super().resume_task(context, event)
        return TaskResult(resume_single(self, context, event))


def transcribe_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a task of a function that returns what to transcribe.

    :param python_callable: returns a path, URI or web address, or a list as ``TranscribeBatchOperator`` takes it; its
        arguments are passed as for every ``@task``.
    :param kwargs: arguments of :class:`~airflow_provider_nanostt.operators.TranscribeBatchOperator`, except ``audio``.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=TranscribeDecoratedOperator, **kwargs
    )
