"""Airflow's Required actions in memory, and a person who answers: what a task may ask for while it runs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from tests.conftest import fire
from tests.outside import StateStore
from tests.workflow.batch.conftest import Batch

APPROVE, REJECT, NOBODY = "Approve", "Reject", "nobody"
ADA = {"id": "7", "name": "ada"}


@dataclass
class RequiredActions:
    """What Airflow keeps of questions: one for each task instance, whatever its try.

    :param refreshes: whether a later try's question replaces the text, as from Airflow 3.4 on.

    ``asked`` has every text that somebody had to answer.
    """

    refreshes: bool = True
    texts: dict[Any, Any] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)

    def send(self, msg: Any) -> Any:
        """Answer a task, as the supervisor does."""
        assert type(msg).__name__ == "CreateHITLDetailPayload"
        if self.refreshes or msg.ti_id not in self.texts:
            self.texts[msg.ti_id] = msg
        return self.texts[msg.ti_id]

    def answer(self, instance: uuid.UUID, word: str, who: dict[str, str]) -> dict[str, Any]:
        """Answer a question; return the event with which the task goes on."""
        self.asked.append(self.texts[instance])
        if word == NOBODY:
            return {"error": "The timeout has passed.", "error_type": "timeout"}
        at = datetime.now(UTC)
        return {"chosen_options": [word], "params_input": {}, "responded_at": at, "responded_by_user": who}


@dataclass
class Task:
    """One task instance of a batch, try after try, with a person who answers.

    :param before_answer: called when the task waits, before the answer.
    :param state: Airflow's task state, None before 3.3.
    :param clears: how often a task of the run was cleared.
    """

    batch: Batch
    actions: RequiredActions
    instance: uuid.UUID = field(default_factory=uuid.uuid4)
    before_answer: Callable[[], object] = lambda: None
    waits: list[Any] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    state: StateStore | None = None
    clears: int = 0

    def run(self, audio: Any, *words: str, who: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
        """Run one try to its end.

        :param words: the answers to its questions; there have to be as many.
        """
        method, given, left = "execute", {}, list(words)
        while True:
            try:
                made = self.batch.make(audio, **arguments)
                context = self.batch.memory.context(id=self.instance)
                context["dag_run"] = SimpleNamespace(clear_number=self.clears)
                if self.state is not None:
                    context["task_state_store"] = self.state
                result = getattr(made, method)(context, **given)
            except BaseException as leaving:
                trigger = getattr(leaving, "trigger", None)
                is_question = type(leaving).__name__ == "TaskAwaitingInput" or type(trigger).__name__ == "HITLTrigger"
                if not is_question and trigger is None:
                    assert not left
                    raise
                method = leaving.method_name  # type: ignore[attr-defined]
                if is_question:
                    self.waits.append(leaving)
                    self.before_answer()
                    given = {"event": self.actions.answer(self.instance, left.pop(0), who or ADA)}
                else:
                    self.deferred.append(type(trigger).__name__)
                    given = {"event": fire(trigger)}
            else:
                assert not left
                return dict(result)
