"""``@task.transcribe``: a function that says what to transcribe becomes a task that does. Thin, as operators are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import DecoratedOperator, determine_kwargs, task_decorator_factory
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.common.urls import hidden
from airflow_provider_nanostt.operators.batch import TranscribeBatchOperator

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_nanostt._compat import Context, TaskDecorator


_MOST_SHOWN = 200


class TranscribeDecoratedOperator(DecoratedOperator, TranscribeBatchOperator):
    """The task behind ``@task.transcribe``: one recording, or a batch if the function returns a list."""

    custom_operator_name = "@task.transcribe"
    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *TranscribeBatchOperator.template_fields)
    _not_here = ("audio", "audio_path", "audio_url", "wait")
    # Airflow 3.0 passes this on to a method that does not use it, but its own base class does not have it.
    xcom_push: Any = None

    def __init__(self, *, python_callable: Callable[..., Any], output: str | None = None, **kwargs: Any) -> None:
        super().__init__(
            python_callable=python_callable, kwargs_to_upstream={"audio": None, "output": output}, **kwargs
        )

    def _execute(self, context: Context) -> dict[str, Any]:
        given = {**context, **self.op_kwargs}
        named = determine_kwargs(self.python_callable, self.op_args, given)
        self.audio = self.python_callable(*self.op_args, **named)
        self._mask(self.audio)
        if isinstance(self.audio, Sequence) and not isinstance(self.audio, str | bytes):
            return super()._execute(context)
        if not self.audio or not (isinstance(self.audio, str | Path) or hasattr(self.audio, "protocol")):
            raise InvalidInput(
                f"{self.python_callable.__name__}() has returned {hidden(repr(self.audio))[:_MOST_SHOWN]}; it returns "
                "a recording, or a list"
            )
        return super(TranscribeBatchOperator, self)._execute(context)

    def _inputs(self) -> list[object]:
        return super()._inputs() or [self.audio]

    def _resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        if isinstance(event, dict) and "batch" in event:
            return super()._resume(context, event)
        return super(TranscribeBatchOperator, self)._resume(context, event)


def transcribe_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a task of a function that returns what to transcribe.

    :param python_callable: returns a path, URI or web address, or a list as ``TranscribeBatchOperator`` takes it; its
        arguments are passed as for every ``@task``.
    :param kwargs: arguments of :class:`~airflow_provider_nanostt.operators.TranscribeOperator`, and, for lists, of
        :class:`~airflow_provider_nanostt.operators.TranscribeBatchOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=TranscribeDecoratedOperator, **kwargs
    )
