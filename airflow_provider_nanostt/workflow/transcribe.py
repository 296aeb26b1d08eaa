"""One attempt at one recording, which may become several submissions: parts with a record, a ticket and a charge each.

The record of the whole says where it was cut, so that every attempt cuts in the same places; what each part has come to
stands in the part's own record. Merging their transcripts is ``audio.merge``'s business, waiting for them the face's.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Transcript
from airflow_provider_nanostt.audio.prepare.staging import Staging
from airflow_provider_nanostt.ledger import RESUME_PARTS, REUSE, RequestFingerprint
from airflow_provider_nanostt.outputs.merge import merge
from airflow_provider_nanostt.workflow import pricing
from airflow_provider_nanostt.workflow.recovery import Landed
from airflow_provider_nanostt.workflow.submit import Attempt, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_nanostt.api.models import Submission
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import Entry, RecoveryPolicy
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.pricing import Price
    from airflow_provider_nanostt.workflow.request import Making, Order


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a recording that was split: where it begins, seconds, and its transcript or ticket."""

    start: float
    found: Transcript | Job


class RecordingAttempt(Attempt):
    """One attempt at one recording, whole or in parts; arguments as for :class:`Attempt`.

    :param staging: URI of the folder in which recordings are staged, None without one.
    """

    def __init__(
        self,
        hook: NanoGPTHook,
        context: Mapping[str, Any],
        *,
        output: str | None,
        rules: RecoveryPolicy,
        log: Any,
        staging: str | None = None,
        settings: OutputSettings | None = None,
        item: str = "",
        of_any_run: bool = False,
    ) -> None:
        super().__init__(
            hook, context, output=output, rules=rules, log=log, settings=settings, item=item, of_any_run=of_any_run
        )
        self._of_part: Callable[[int], Attempt] = lambda part: Attempt(
            hook, context, output=output, rules=rules, log=log, part=part, item=item, of_any_run=of_any_run
        )
        self._owner = self._identity.digest if self._identity else secrets.token_hex(6)
        self._staging = staging

    def start(self, order: Order, *, whole: bool = False) -> Landed | Transcript | Job | list[Part]:
        """Find what an earlier attempt has left, or submit; raises as :meth:`Attempt.begin`.

        :param whole: refuse to split.
        :return: an earlier result, a transcript, a ticket, or the parts of a recording that was split.
        :raises CostLimit: if it would cost more than the user allows, or has.
        """
        wanted = self._wanted(order)
        with order.making(self._owner) as making:
            work = Work(wanted, order.options, lambda: making.submission(0), lambda entry: self._approve(order, entry))
            entry, decision = self.decide(wanted)
            found = self.follow(entry, decision, order.options)
            if found is not None:
                return found
            if entry is not None and entry.cuts and decision.action in (RESUME_PARTS, REUSE):
                return self._parts(order, wanted, entry.cuts, making)
            cuts = self._cuts(order, entry, making)
            if not cuts:
                return self.submit(work)
            if whole:
                raise errors.InvalidInput(
                    f"{order.source.name!r} has to be split into {len(cuts) + 1} parts, each with a ticket of its own; "
                    "wait=False can return only one"
                )
            self.ledger.intend(wanted, cuts=cuts, owner=self._owner_digest, forced_generation=self._forced_in)
            self._log.info(
                "%s goes in %d parts, cut at %s s", order.source.name, len(cuts) + 1, [round(c, 1) for c in cuts]
            )
            return self._parts(order, wanted, cuts, making)

    def land_parts(self, parts: Sequence[tuple[float, Transcript]]) -> dict[str, Any]:
        """Put the transcripts of all parts together, and land the result.

        :param parts: (where the part begins, seconds; its transcript), in order.
        """
        attempts = [self._of_part(number) for number in range(1, len(parts) + 1)]
        for attempt in attempts:
            attempt.resume()
        before = sum(attempt.ledger.entry.spent_before for attempt in attempts if attempt.ledger.entry)
        result = self.land(merge(parts), None, spent_before=before)
        for attempt in attempts:
            attempt.close()
        return result

    def land(self, transcript: Transcript, job: Job | None, *, spent_before: float = 0.0) -> dict[str, Any]:
        """Land the result; what was staged for it is no longer needed."""
        self.clear_staging()
        return super().land(transcript, job, spent_before=spent_before)

    def clear_staging(self) -> None:
        """Remove what was staged for this recording; whatever goes wrong is told in the log only."""
        if self._staging:
            try:
                Staging(self._staging, self._owner).clear()
            except errors.InvalidInput as error:
                self._log.warning("%s", error)

    def submit(self, work: Work) -> Transcript | Job:
        """Submit; what was staged for it is removed unless there is a job that may still fetch it."""
        try:
            answer = super().submit(work)
        except BaseException:  # also when the task is killed
            if self.ledger.entry is None or self.ledger.entry.job is None:
                self.clear_staging()
            raise
        if isinstance(answer, Transcript):
            self.clear_staging()
        return answer

    def _wanted(self, order: Order) -> RequestFingerprint:
        """Return what is wanted; of a recording that can no longer be read, what the record says was wanted.

        A retry may run where the file is not, or after it was moved; what was paid for is worth having all the same.
        """
        try:
            return order.wanted
        except (errors.InvalidInput, errors.StorageUnavailable) as error:
            entry = self.ledger.find()
            named = entry is not None and (entry.source, entry.model) == (order.source.name, order.options.model)
            if entry is None or not named or self._rules.force:
                raise
            self._log.warning("%s; going by the record of it: %s", error, entry.describe())
            return RequestFingerprint(entry.fingerprint, entry.source, entry.model)

    def _cuts(self, order: Order, entry: Entry | None, making: Making) -> list[float]:
        """Return where the recording has to be cut, after it has been approved; empty if it goes in one piece."""
        if not order.may_be_parts:
            return []
        self._approve(order, entry)
        return [piece.start for piece in making.pieces()[1:]]

    def _parts(self, order: Order, wanted: RequestFingerprint, cuts: Sequence[float], making: Making) -> list[Part]:
        """Begin every part; what is paid for is found, what is not is submitted."""
        count, price = len(cuts) + 1, self._hook.price(order.options.model)
        found = []
        for number, start in enumerate([0.0, *cuts], 1):
            part, make = wanted.part(number, count), partial(making.submission, number - 1, cuts)
            begun = self._of_part(number).begin(Work(part, order.options, make, partial(_likely, make, price)))
            if isinstance(begun, Landed):  # a part has no result of its own
                raise errors.LedgerError(f"the record of {part.source} is not that of a part")
            found.append(Part(start, begun))
        return found

    def _approve(self, order: Order, entry: Entry | None) -> float | None:
        """Refuse what costs more than the user allows or has; return USD it will likely cost, None if unknown."""
        estimate = order.estimate(self._hook.price(order.options.model))
        minutes, how = order.length
        self._log.info(
            "%s: %s (%s). Expected cost: %s",
            order.source.name,
            "length unknown" if minutes is None else f"{minutes:.2f} minutes",
            how,
            estimate.describe(),
        )
        self._log.info(
            "It goes to NanoGPT by way of %r%s", order.plan.way, f": {order.plan.why}" if order.plan.why else ""
        )
        budget, spent = order.budget, _spent(entry)
        pricing.check_limit(estimate, max_cost=budget.max_cost, unknown=budget.unknown, spent=spent)
        above = budget.check_balance_above
        if above is not None and estimate.usd is not None and estimate.usd > above:
            pricing.check_balance(estimate, self._hook.try_balance())
        return estimate.usd


def _spent(entry: Entry | None) -> float:
    """Return USD that this task instance has spent already, as far as that is known."""
    return 0.0 if entry is None else entry.spent_before + (entry.cost or 0.0)


def _likely(make: Callable[[], Submission], price: Price, _: Entry | None) -> float | None:
    minutes = make().actual_minutes
    return None if minutes is None or price.per_minute is None else minutes * price.per_minute
