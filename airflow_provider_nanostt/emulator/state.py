"""Everything the emulator knows at a moment, and the handles by which tests look at it and steer it.

Any thread may use the public methods. No HTTP here: `server` answers requests from this, `control` offers the same
methods to other processes.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
import uuid
from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.emulator.faults import Fault, FaultBook
from airflow_provider_nanostt.emulator.limits import DayLimit, SlidingWindow
from airflow_provider_nanostt.emulator.records import Charge, JobRecord, Ledger, RequestRecord
from airflow_provider_nanostt.emulator.settings import Books, Model
from airflow_provider_nanostt.emulator.transcript import Script, ScriptBook
from airflow_provider_nanostt.emulator.usage import unshown

if TYPE_CHECKING:
    from airflow_provider_nanostt.emulator.jobs import Job
    from airflow_provider_nanostt.emulator.settings import Settings


class Account:
    """One API key: its money and its limits. `number` is its id in the usage answer."""

    def __init__(self, key: str, number: int, settings: Settings, **limits: Any) -> None:
        self.key = key
        self.number = number
        self.balance = float(limits.get("balance", settings.balance))
        self.window = SlidingWindow(limits.get("requests_per_second", settings.requests_per_second), 1.0)
        self.youtube_window = SlidingWindow(settings.youtube_per_minute, 60.0)
        self.day = DayLimit(
            limits.get("daily_requests", settings.daily_requests), limits.get("daily_usd", settings.daily_usd)
        )
        self.limits = limits


class State:
    """The emulator's memory.

    :param settings: how it behaves.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._ledger = Ledger(settings.ledger)
        self._faults = FaultBook(settings.seed)
        self._lock = threading.RLock()
        self._accounts: dict[str, Account] = {}
        self._start()
        for key in settings.keys or (None,):
            self.add_key(key)

    def _start(self) -> None:
        settings = self.settings
        self.models: dict[str, Model] = settings.models()
        self.books = settings.books
        self._rng = random.Random(settings.seed)  # noqa: S311  # simulation, not secrets
        self._jobs: dict[str, Job] = {}
        self._requests: deque[RequestRecord] = deque(maxlen=settings.request_log)
        self._counts: Counter[str] = Counter()
        self._scripts = ScriptBook(settings.default_script)
        given = settings.processing_seconds
        self._processing: deque[float] = deque()
        if given is not None and not isinstance(given, int | float):
            self._processing.extend(given)

    # What happened

    @property
    def api_key(self) -> str:
        """The first key."""
        return next(iter(self._accounts))

    @property
    def charges(self) -> list[Charge]:
        """All charges, in order: one exactly for each accepted job."""
        return self._ledger.charges

    @property
    def jobs(self) -> list[JobRecord]:
        """All async jobs as they stand, in order of acceptance."""
        now = time.monotonic()
        with self._lock:
            jobs = list(self._jobs.values())
        return [job.record(now) for job in jobs]

    @property
    def requests(self) -> list[RequestRecord]:
        """The latest requests, oldest first (as many as `Settings.request_log`)."""
        with self._lock:
            return list(self._requests)

    @property
    def counts(self) -> dict[str, int]:
        """How many requests were answered how since the start, as ``"/transcribe/status 200"``: never forgets any."""
        with self._lock:
            return dict(self._counts)

    @property
    def balances(self) -> dict[str, float]:
        """USD left, by key."""
        return {key: account.balance for key, account in list(self._accounts.items())}

    @property
    def faults(self) -> list[Fault]:
        """Faults not yet used up."""
        return self._faults.pending

    def totals(self) -> dict[str, int]:
        """Return how many jobs, charges and requests there are."""
        return {"jobs": len(self._jobs), "charges": len(self.charges), "requests": sum(self._counts.values())}

    # What shall happen

    def fail(self, endpoint: str, fault: Fault | None = None, **fields: Any) -> Fault:
        """Script a fault.

        :param endpoint: as in :class:`Fault`; the leading slash may be left out.
        :param fault: a ready one, whose own endpoint is replaced; else `fields` make it.
        :return: the fault.
        """
        endpoint = endpoint if endpoint == "*" else "/" + endpoint.strip("/")
        values = {name: getattr(fault, name) for name in Fault.__slots__} if fault else {}
        made = Fault(**{**values, **fields, "endpoint": endpoint})
        self._faults.add(made)
        return made

    def clear_faults(self, endpoint: str | None = None) -> None:
        """Forget the faults of one endpoint, or all."""
        self._faults.clear(endpoint if endpoint is None or endpoint == "*" else "/" + endpoint.strip("/"))

    def script(self, name: str, **fields: Any) -> Script:
        """Tell the transcript of a file name or URL in advance; fields as in :class:`Script`."""
        made = Script(name, **fields)
        with self._lock:
            self._scripts.add(made)
        return made

    def clear_scripts(self) -> None:
        """Forget all scripts but the default one."""
        with self._lock:
            self._scripts = ScriptBook(self.settings.default_script)

    def add_key(self, key: str | None = None, **limits: Any) -> str:
        """Make a key known.

        :param key: None makes one up.
        :param limits: `balance` (USD), `requests_per_second`, `daily_requests`, `daily_usd`, instead of the settings'.
        :return: the key.
        """
        unknown = set(limits) - {"balance", "requests_per_second", "daily_requests", "daily_usd"}
        if unknown:
            raise TypeError(f"unknown limits: {', '.join(sorted(unknown))}")
        with self._lock:
            key = key or f"sk-nano-{uuid.uuid4()}"
            known = self._accounts.get(key)
            number = known.number if known else len(self._accounts) + 1
            self._accounts[key] = Account(key, number, self.settings, **limits)
        return key

    def set_balance(self, balance: float, key: str | None = None) -> None:
        """Set the USD of one key, or of all.

        :raises KeyError: unknown key.
        """
        with self._lock:
            for account in [self._accounts[key]] if key else self._accounts.values():
                account.balance = float(balance)

    def keep_books(self, **fields: Any) -> Books:
        """Let usage and balance show something else from now on.

        :param fields: of :class:`Books`; those left out have their defaults again.
        """
        self.books = Books(**fields)
        return self.books

    def set_model(self, model_id: str, **fields: Any) -> Model:
        """Change a model of the catalogue, or add one.

        :param fields: of :class:`Model`; those left out stay as they are, or have their defaults in a new one.
        """
        with self._lock:
            known = self.models.get(model_id)
            made = replace(known, **fields) if known else Model(model_id, **fields)
            self.models = {**self.models, model_id: made}
        return made

    def drop_model(self, model_id: str) -> None:
        """Make a model unknown: it is not in the catalogue, and a submit for it is refused.

        :raises KeyError: unknown model.
        """
        with self._lock:
            left = dict(self.models)
            del left[model_id]
            self.models = left

    def reset(self) -> None:
        """Forget charges, jobs, requests, faults, scripts, changes of models; keys stay, with their first balance."""
        with self._lock:
            self._ledger.clear()
            self._faults.clear()
            self._start()
            for key, account in self._accounts.items():
                self._accounts[key] = Account(key, account.number, self.settings, **account.limits)

    # For the server

    def account(self, key: str | None) -> Account | None:
        """Return the account of a key."""
        return self._accounts.get(key) if key else None

    def shown_balance(self, account: Account, now: float) -> float:
        """Return the USD that the balance shows at a time in epoch seconds."""
        books, charges = self.books, [charge for charge in self.charges if charge.key == account.key]
        late = unshown(charges, books.balance_delay, books.balance_hides, now)
        return account.balance + books.balance_off + sum(charge.cost - charge.refunded for charge in late)

    def shown_charges(self, account: Account, now: float) -> list[Charge]:
        """Return the charges that the usage shows."""
        charges = [charge for charge in self.charges if charge.key == account.key]
        late = set(unshown(charges, self.books.usage_delay, self.books.usage_hides, now))
        return [charge for charge in charges if charge not in late]

    def remember(self, record: RequestRecord) -> None:
        """Keep a request for `requests`."""
        with self._lock:
            self._requests.append(record)

    def count(self, endpoint: str, status: int) -> None:
        """Count an answer for `counts`."""
        with self._lock:
            self._counts[f"{endpoint} {status}"] += 1

    def take_fault(self, endpoint: str, subject: str) -> Fault | None:
        """Return the fault to play on a request."""
        return self._faults.take(endpoint, subject)

    def put_back_fault(self, fault: Fault) -> None:
        """Undo `take_fault`: the request was refused before the fault had its turn."""
        self._faults.put_back(fault)

    def script_for(self, source: str) -> Script | None:
        """Return the transcript told for a file name or URL."""
        return self._scripts.find(source)

    def job(self, run_id: str) -> Job | None:
        """Return a job."""
        return self._jobs.get(run_id)

    def keep_job(self, job: Job) -> None:
        """Make a job known to status requests."""
        with self._lock:
            self._jobs[job.run_id] = job

    def charge(self, account: Account, charge: Charge) -> None:
        """Take the money and write it down."""
        account.balance -= charge.cost
        account.day.spend(charge.cost, dt.datetime.now(dt.UTC))
        self._ledger.charge(charge)

    def refund(self, run_id: str) -> None:
        """Give back what a failed job cost."""
        charge = self._ledger.refund(run_id)
        account = self.account(charge.key) if charge else None
        if charge and account:
            account.balance += charge.cost

    def draw_times(self, seconds: float, script: Script | None, *, sync: bool) -> tuple[float, float]:
        """Return (seconds until it leaves the queue, seconds until it is done) for the next job.

        :param seconds: length of its audio.
        """
        settings = self.settings
        fixed = script.processing_seconds if script is not None else None
        if fixed is None and isinstance(settings.processing_seconds, int | float):
            fixed = settings.processing_seconds
        if fixed is None and self._processing:
            fixed = self._processing.popleft()
        if fixed is not None:
            return fixed / 4, fixed
        if sync:
            return 0.0, settings.timing.sync(seconds, self._rng) / settings.speed
        queue, total = settings.timing.job(seconds, self._rng)
        return queue / settings.speed, total / settings.speed
