"""Asking a person, in Airflow's Required actions, whether a batch may cost what it would; and taking in the answer.

What the list would cost is handed in, and what was approved is kept in the ledger. Nothing is submitted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_nanostt._compat import (
    AirflowSkipException,
    ask_person,
    can_ask_people,
    wait_for_person,
)
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.ledger.approvals import APPROVED, REJECTED, TIMED_OUT, Approvals, SpendingRequest
from airflow_provider_nanostt.ledger.task_identity import task_identity_of, task_try_of
from airflow_provider_nanostt.workflow.batch.list_estimate import Allowance, ListEstimate

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context, ObjectStoragePath
    from airflow_provider_nanostt.ledger.stores import StateAccessor
    from airflow_provider_nanostt.operators._base import NanoGPTOperator
    from airflow_provider_nanostt.workflow.pricing import ApprovalRules

APPROVE, REJECT = "Approve", "Reject"
_NAME = "what was approved"


@dataclass(frozen=True, slots=True)
class Asking:
    """What one try of a task needs to ask a person.

    :param instance: Airflow's task instance.
    :param approvals: what was asked and answered before, which is read.
    :param declined: why nothing more may be submitted than what was approved before, if somebody has just declined.
    """

    operator: NanoGPTOperator
    instance: object
    rules: ApprovalRules
    approvals: Approvals
    declined: str = ""

    @classmethod
    def open(
        cls, operator: NanoGPTOperator, context: Context, rules: ApprovalRules, folder: ObjectStoragePath
    ) -> Asking:
        """Read what earlier tries have asked.

        :raises InvalidInput: if this Airflow has no Required actions.
        :raises LedgerError: if it cannot be read.
        """
        task = task_identity_of(context)
        if not can_ask_people() or task is None:
            raise errors.InvalidInput(
                "approve_above needs Airflow 3.1 or newer, whose Required actions ask a person. Nothing was submitted"
            )
        state: StateAccessor | None = context.get("task_state_store")  # type: ignore[assignment]  # Airflow >= 3.3
        approvals = Approvals(folder, task, state, may_have_lost_state=bool(task_try_of(context).clears))
        approvals.load()
        asking = cls(operator, context.get("ti"), rules, approvals)
        if approvals.problem is not None:
            operator.log.warning("%s counts as no approval: %s", approvals.path, approvals.problem)
        return asking

    def allow(self, found: ListEstimate) -> Allowance:
        """Return what may be spent on a list; leave the task until a person has answered, if one has to be asked.

        :raises NotApproved: if nobody can be asked.
        """
        above = self.rules.approve_above or 0.0
        approved = self.approvals.approved
        if approved is None and self.declined and found.costing:
            return self._only_paid(found, f"{self.declined}, so nothing was submitted. A clear of the task asks again")
        allowed = max(above, approved.usd if approved and approved.has(found.items) else 0.0)
        if not found.needs_approval(above):
            return Allowance(allowed, "approve_above" if allowed == above else _NAME)
        if approved is None or not approved.covers(found.due_usd, found.items, found.unlimited):
            if not self.declined:
                self._ask(found)
            approved = self.approvals.approved
            if approved is None:
                return self._only_paid(
                    found,
                    f"{found.subject} This cannot be asked: Airflow still shows the text of an earlier try of this "
                    "task, with other figures (before 3.4 it keeps that). Nothing was submitted. Start a new DAG run, "
                    f"or set approve_above to {found.limit_usd:g} or more",
                )
            self.operator.log.warning(
                "%s %s, so only what was approved before is submitted: %s",
                found.subject,
                "Nobody has approved that"
                if self.declined
                else "This cannot be asked, since Airflow still shows the text of the earlier question",
                approved.describe(),
            )
            return Allowance(approved.usd, _NAME, frozenset(approved.items))
        self.operator.log.info("Approved before: %s", approved.describe())
        return Allowance(max(above, approved.usd), _NAME)

    def _ask(self, found: ListEstimate) -> None:
        """Leave the task until a person has answered; return if what a person would see is something else."""
        is_shown = ask_person(
            self.instance,
            subject=found.subject,
            body=found.describe(),
            options=(APPROVE, REJECT),
            users=self.rules.assigned_users,
        )
        if not is_shown:
            return
        self.approvals.ask(SpendingRequest.of(found.limit_usd, found.due_usd, found.items, found.unlimited))
        self.operator.log.info("Waiting for an approval in Airflow's Required actions. %s", found.subject)
        wait_for_person(
            self.operator,
            self.instance,
            method="execute_answered",
            options=(APPROVE, REJECT),
            seconds=self.rules.response_timeout,
        )

    def take_answer(self, event: Mapping[str, object]) -> Asking:
        """Record what a person has answered, and return this with it.

        Whoever declines leaves what was approved or paid for before: that goes on.

        :param event: as Airflow hands it over.
        """
        if "error" in event:
            timed_out = event.get("error_type") == "timeout"
            self.approvals.answer(TIMED_OUT if timed_out else REJECTED)
            return self._decline("Nobody has answered in time" if timed_out else "Airflow could not take in the answer")
        user = event.get("responded_by_user")
        user_id, name = (str(user.get(key) or "") for key in ("id", "name")) if isinstance(user, Mapping) else ("", "")
        chosen = event.get("chosen_options")
        asked = {one for one, _ in self.rules.assigned_users}
        may_answer = bool(user_id) and (not asked or user_id in asked)  # before 3.4 Airflow keeps who was asked first
        is_approved = isinstance(chosen, list | tuple) and list(chosen) == [APPROVE] and may_answer
        done = self.approvals.answer(APPROVED if is_approved else REJECTED, user_id=user_id, user_name=name)
        if not is_approved:
            who = name or user_id or "Somebody"
            return self._decline(f"{who} has rejected the cost" if may_answer else f"{who} is not one of those to ask")
        if done is not None:
            self.operator.log.info("Approved: %s; recorded in %s", done.describe(), self.approvals.path)
        return self

    def _decline(self, reason: str) -> Asking:
        self.operator.log.warning("%s", reason)
        return replace(self, declined=reason)

    def _only_paid(self, found: ListEstimate, reason: str) -> Allowance:
        """Submit nothing; go on if something is paid for that has no transcript yet.

        :raises NotApproved: if there is nothing of that kind; AirflowSkipException, if the user wants that.
        """
        if found.waiting:
            self.operator.log.warning("%s. What is paid for already is waited for", reason)
            return Allowance(found.earlier_usd, _NAME, frozenset())
        if self.declined and self.rules.on_reject == "skip":
            raise AirflowSkipException(reason)
        raise errors.NotApproved(reason)
