"""One attempt at a batch: find or submit every item, several at once; write results one after the other.

One item's trouble stops no other; trouble with the key, the account or the service stops the rest of them, since it
would meet each of them. What an item needs (its request, how its result is written) is handed in. What was submitted is
taken in by ``collect``.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from dataclasses import InitVar, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Transcript
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.s3_puts import send_small_files_at_once
from airflow_provider_nanostt.common.urls import redact
from airflow_provider_nanostt.outputs.merge import RUN_ID_SEPARATOR
from airflow_provider_nanostt.workflow import transcribe
from airflow_provider_nanostt.workflow.attempt import Target, open_attempt
from airflow_provider_nanostt.workflow.batch.item import (
    ItemLog,
    Pending,
    is_own,
    list_once,
    records_of,
    spent_so_far,
)
from airflow_provider_nanostt.workflow.batch.items import own_names
from airflow_provider_nanostt.workflow.batch.list_estimate import Allowance, ListEstimate
from airflow_provider_nanostt.workflow.batch.manifest_row import (
    DUPLICATE,
    ELSEWHERE,
    FAILED,
    NO_MATCH,
    NOT_STARTED,
    SKIPPED,
    WAITING,
    WRITTEN,
    ManifestRow,
)
from airflow_provider_nanostt.workflow.batch.workers import FIRST_WIDTH, LAST_WIDTH, Width, in_threads
from airflow_provider_nanostt.workflow.budget import Budget
from airflow_provider_nanostt.workflow.circuit_breaker import CircuitBreaker
from airflow_provider_nanostt.workflow.recovery import ReusedResult
from airflow_provider_nanostt.workflow.transcribe import ToSubmit
from airflow_provider_nanostt.workflow.uncertain import UncertainSubmits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import RecoveryRules
    from airflow_provider_nanostt.outputs import OutputSettings
    from airflow_provider_nanostt.workflow.attempt import Attempt, Log
    from airflow_provider_nanostt.workflow.batch.items import Item
    from airflow_provider_nanostt.workflow.batch.manifest import Checkpoint
    from airflow_provider_nanostt.workflow.batch.tables import BatchTables
    from airflow_provider_nanostt.workflow.pricing import CostRules
    from airflow_provider_nanostt.workflow.recovery import Part
    from airflow_provider_nanostt.workflow.request import TranscriptionRequest

T = TypeVar("T")
R = TypeVar("R")

Stage = ToSubmit | Literal["sending"] | Pending | ManifestRow
"""How a recording stands: measured and not paid for, being prepared and submitted, waited for, ended."""

_LISTING_PAYS_FROM = 10
"""Items from which one listing of the folder is quicker than to look at each file by itself."""


@dataclass(kw_only=True)
class BatchRun:
    """One attempt at a batch; ``rows`` has one row for each input.

    :param folder: for results and records.
    :param request: makes the request for an item.
    :param settings: how results are written; an item's own are laid over them.
    :param tables: the files in which the rows of all results are written.
    :param is_retryable: whether an error may be gone the next time.
    :param skip_existing: leave alone what any run has written in this folder.
    :param max_parallel: how many items are at work at once; None for as many as use every request slot, within bounds.
    :param on_no_match: ``warn`` or ``fail``, for what finds no recording.
    :param allow: asked once before the first submit, with what the whole list would cost; None asks nobody.
    :param on_stage: called with the number of an item and how it stands; in any thread, so it must neither raise nor
        wait.
    """

    service: NanoGPTHook
    context: Mapping[str, object]
    log: Log
    folder: ObjectStoragePath
    checkpoint: Checkpoint
    rules: RecoveryRules
    costs: InitVar[CostRules]
    request: Callable[[Item], TranscriptionRequest]
    settings: OutputSettings
    tables: BatchTables
    is_retryable: Callable[[errors.NanoGPTError], bool]
    staging_path: str | None
    skip_existing: bool
    max_parallel: int | None
    on_no_match: str
    allow: Callable[[ListEstimate], Allowance] | None = None
    on_stage: Callable[[int, Stage], object] = lambda _number, _stage: None

    def __post_init__(self, costs: CostRules) -> None:
        self.rows: list[ManifestRow] = []
        self.breaker = CircuitBreaker()
        self.budget = Budget(costs, lambda: self._account)
        self._uncertain = UncertainSubmits(self.service, self.folder, self.rules, self.log.info)
        self._account: float | None = None
        self._writing: Sequence[Mapping[str, object]] = ()
        self._write_lock = threading.Lock()
        self._listing = list_once(self.folder)

    def submit_all(self, items: Sequence[Item]) -> list[Pending]:
        """Find or submit every item, and write what is there at once.

        :return: those to wait for, in order.
        """
        attempts = self.open_all(items, distinct_names=not self.skip_existing)
        most = self.max_parallel
        at_first = FIRST_WIDTH if object_storage.is_local(self.folder) else 2 * FIRST_WIDTH
        width = Width(self.service.get_limiter(), now=at_first).grown if most is None else lambda: most
        if self.allow is None or self.breaker.error is not None:  # a batch that has stopped asks nobody
            begun = self._in_threads(lambda one: self._begin(one, items[one.number]), attempts.values(), width)
            return [one for one in begun if one is not None]
        found = self._in_threads(lambda one: self._find(one, items[one.number]), attempts.values(), width)
        left = {number: one for number, one in zip(attempts, found, strict=True) if isinstance(one, ToSubmit)}
        self._ask(self.allow, attempts, left)
        begun = self._in_threads(lambda number: self._submit(attempts[number], left[number]), list(left), width)
        return sorted([one for one in (*found, *begun) if isinstance(one, Pending)], key=lambda one: one.number)

    def _ask(
        self,
        allow: Callable[[ListEstimate], Allowance],
        attempts: Mapping[int, Attempt],
        left: dict[int, ToSubmit],
    ) -> None:
        """Ask for what may be spent, and take out of ``left`` what may not be submitted."""
        names = {WRITTEN: "done", WAITING: "done", SKIPPED: "done"}
        others = Counter(names.get(row.status, row.status) for row in self.rows if row.number not in left)
        keys = {number: self.rows[number].key for number in attempts}
        costing = tuple((self.rows[number].audio, one.estimate) for number, one in left.items())
        if self.breaker.error is not None:  # then nothing more can be submitted, and nobody is asked
            refused, problem = list(left), self.breaker.error
        else:
            rules, earlier = self.budget.rules, self.budget.earlier
            waiting = sum(row.status == WAITING for row in self.rows)
            allowed = allow(ListEstimate(costing, frozenset(keys.values()), others, rules, earlier, waiting))
            self.budget.allow_only(allowed.usd, allowed.name)
            refused = [one for one in left if allowed.items is not None and keys[one] not in allowed.items]
            problem = errors.CostLimit(f"It came after {allowed.name}" if allowed.items else "Nobody has approved it")
        for number in refused:
            del left[number]
            self.record_error(number, problem, attempts[number])
            self.budget.passed(number)

    def open_all(self, items: Sequence[Item], *, distinct_names: bool) -> dict[int, Attempt]:
        """Make a row for each item, and count what earlier attempts have cost.

        :return: by number, the attempts at all but duplicates and those that cannot be opened.
        """
        self._writing = own_names(items, self.settings.filename, distinct_names=distinct_names)
        first: dict[str, int] = {}
        for number, item in enumerate(items):
            status = NOT_STARTED if first.setdefault(item.key, number) == number else DUPLICATE
            self.rows.append(ManifestRow(number, item.shown, name=item.name or "", key=item.key, status=status))
            if status == NOT_STARTED and item.problem is not None:
                if item.is_no_match and self.on_no_match == "warn":
                    self._set(self.rows[number].with_error(item.problem, NO_MATCH))
                    self.log.warning("%s", item.problem)
                else:
                    self.record_error(number, item.problem)
        if all(item.problem for item in items):
            return {}
        self._warm_up(items)
        wanted = (number for number in first.values() if items[number].problem is None)
        attempts = {one.number: one for one in self.open_items(wanted)}
        for number in set(range(len(items))) - set(attempts):
            self.budget.passed(number)
        # All have to be read before the first begins: a late read would overwrite what was recorded meanwhile.
        readers = self.max_parallel or (FIRST_WIDTH if object_storage.is_local(self.folder) else LAST_WIDTH)
        self.budget.add_earlier(sum(self._in_threads(spent_so_far, attempts.values(), lambda: readers)))
        self._uncertain.compare_all(lambda: (record for one in attempts.values() for record in records_of(one)))
        return attempts

    def _warm_up(self, items: Iterable[Item]) -> None:
        """Open shared clients before starting threads, and ask for the account: a refused key stops all submits."""
        try:
            self._account = self.service.try_balance()
            self.service.known_models()
        except errors.AuthError as error:
            self.breaker.record_failure(error)
            self.log.error("%s. Nothing is submitted", str(error).rstrip("."))
        with contextlib.suppress(Exception):
            send_small_files_at_once(self.folder)
        for uri in {item.bucket for item in items} - {""}:
            # Airflow 3.0 answers one thread at a time that asks for a connection; a failure is the item's matter.
            with contextlib.suppress(Exception):
                _ = object_storage.resolve(uri).fs

    def open_items(self, numbers: Iterable[int]) -> Iterator[Attempt]:
        """Yield attempts at items, whose records are not read yet."""
        for number in numbers:
            try:
                attempt = self._open(self.rows[number], self._writing[number])
            except Exception as error:  # noqa: BLE001  such as names that are not a mapping
                self.record_error(number, error)
            else:
                yield attempt

    def _open(self, row: ManifestRow, own: Mapping[str, object]) -> Attempt:
        settings = replace(self.settings, **own)  # type: ignore[arg-type]  # checked by the settings
        listing = self._listing if len(self.rows) >= _LISTING_PAYS_FROM else None
        return open_attempt(
            self.service,
            self.context,
            self.budget,
            Target(self.folder, settings, listing, partial(self.tables.collect, row)),
            rules=self.rules,
            log=ItemLog(self.log, row.audio),
            uncertain=self._uncertain,
            breaker=self.breaker,
            spool=self.checkpoint.spool,
            staging_path=self.staging_path,
            item=row.key,
            number=row.number,
            shared=self.skip_existing,
        )

    def _in_threads(self, work: Callable[[T], R], things: Iterable[T], width: Callable[[], int]) -> list[R]:
        stopped = errors.NanoGPTError("The task was ended before this")
        return in_threads(work, things, width, partial(self.breaker.stop, stopped))

    def _begin(self, attempt: Attempt, item: Item) -> Pending | None:
        found = self._find(attempt, item)
        return self._submit(attempt, found) if isinstance(found, ToSubmit) else found

    def _find(self, attempt: Attempt, item: Item) -> Pending | ToSubmit | None:
        """Take in what is paid for; return what has to be waited for, or submitted."""
        left: Pending | ToSubmit | None = None
        try:
            with self.recording_errors(attempt):
                if isinstance(self.breaker.error, errors.LedgerError):
                    self.breaker.raise_if_open()
                found = transcribe.find(attempt, self.request(item))
                if isinstance(found, ToSubmit):
                    left = found
                    self.on_stage(attempt.number, found)
                else:
                    left = self.accept(attempt, found)
                    self.breaker.record_success()
        finally:
            if not isinstance(left, ToSubmit):
                self.budget.passed(attempt.number)
        return left

    def _submit(self, attempt: Attempt, found: ToSubmit) -> Pending | None:
        pending = None
        try:
            with self.recording_errors(attempt):
                self.on_stage(attempt.number, "sending")
                pending = self.accept(attempt, transcribe.submit(attempt, found))
                self.breaker.record_success()
        finally:
            self.budget.passed(attempt.number)
        return pending

    def accept(self, attempt: Attempt, found: ReusedResult | list[Part]) -> Pending | None:
        """Write what is there; return what has to be waited for."""
        if isinstance(found, ReusedResult):
            self._record_result(attempt, WRITTEN if is_own(attempt) else SKIPPED, found.result)
            return None
        pending = Pending(attempt, found)
        jobs = pending.jobs
        if not jobs:
            self.write(pending)
            return None
        known = {
            "run_id": RUN_ID_SEPARATOR.join(job.run_id for job in jobs),
            "model": jobs[0].model,
            "cost_usd": sum(job.cost or 0.0 for job in jobs),
        }
        self._record_result(attempt, WAITING, known)
        self.on_stage(attempt.number, pending)
        return pending

    def hand_over(self) -> dict[str, str] | None:
        """Save how the batch stands; return where the triggerer may leave transcripts, None for nowhere."""
        self.checkpoint.save(self.rows, self._writing)
        return self.checkpoint.spool.open()

    def resume(self) -> None:
        """Go on from the checkpoint."""
        self.rows, self._writing = self.checkpoint.load()

    def write(self, pending: Pending) -> None:
        """Write an item's transcript; one at a time, since an hour of words is large in memory."""
        done = [(start, found) for start, found in pending.parts if isinstance(found, Transcript)]
        with self._write_lock:
            result = transcribe.finish(pending.attempt, done)
        pending.parts.clear()  # nor does it stay in memory
        self._record_result(pending.attempt, WRITTEN, result)

    def _record_result(self, attempt: Attempt, status: str, result: Mapping[str, object]) -> None:
        """Take a result into the row; what another task has paid for costs this one nothing."""
        row, record = self.rows[attempt.number].with_result(status, result), attempt.ledger.record
        row = replace(row, tables=dict(record.tables or {}) if record else {})
        self._set(row if is_own(attempt) else replace(row, cost_usd=0.0, charged_minutes=0.0))

    def _set(self, row: ManifestRow) -> None:
        self.rows[row.number] = row
        if row.status != WAITING:
            self.on_stage(row.number, row)

    @contextlib.contextmanager
    def recording_errors(self, attempt: Attempt) -> Iterator[None]:
        """Take an error in the block into the item's row: one bad item never stops the others."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  see above
            self.record_error(attempt.number, error, attempt)

    def record_error(self, number: int, error: BaseException, attempt: Attempt | None = None) -> None:
        """Take an error into the row, and stop the batch if the others would meet it, too."""
        row, text = self.rows[number], redact(str(error))
        if isinstance(error, errors.TranscriptionFailed) and attempt is not None:
            transcribe.clear_staging(attempt)
        stops = self.breaker.record_failure(error)
        not_started = isinstance(error, errors.CostLimit) or self.breaker.caused(error)
        if stops:
            self.log.error("%s: %s. Nothing more is submitted", row.audio, text.rstrip("."))
        elif error is self.breaker.error:
            text = f"The batch stopped before this: {text}"
        elif not not_started:
            self.log.error("%s: %s: %s", row.audio, type(error).__name__, text)
        record = attempt.ledger.record if attempt is not None else None
        if record is not None and record.job is not None and row.run_id is None:
            row = replace(row, run_id=record.job.run_id, model=record.model)
        retry = not isinstance(error, errors.NanoGPTError) or self.is_retryable(error)
        status = NOT_STARTED if not_started and row.status == NOT_STARTED else FAILED
        status = ELSEWHERE if isinstance(error, errors.SubmittedElsewhere) else status
        self._set(replace(row.with_error(error, status), error=text, retry=retry))
