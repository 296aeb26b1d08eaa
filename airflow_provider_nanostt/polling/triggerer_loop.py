"""One polling loop per event loop and credential, shared by every trigger in it.

Triggers of a triggerer run in one event loop, so this is the only pooling there can be: one HTTP session, one request
budget, one schedule. Nothing is shared between credentials, and all of it is closed when the last one who waits leaves.
Whom to ask and when is decided in ``polling``; here is only the sleeping and sending. No Airflow in here.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import time
import weakref
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from airflow_provider_nanostt.api import endpoints, errors, transport
from airflow_provider_nanostt.polling import COMPLETED, JobMonitor, Outcome, RateLimiter, Schedule

if TYPE_CHECKING:
    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.api.http import Call
    from airflow_provider_nanostt.api.models import Job, JobStatus
    from airflow_provider_nanostt.metrics import StatsMeter

    End = tuple[Outcome, bytes | None]
    """How a wait ended, and the service's answer if the job is completed."""

log = logging.getLogger(__name__)

_CONNECTIONS = 20
_LONGEST_SLEEP = 30.0
_METER_EVERY = 10.0


class Log(Protocol):
    """A log, be it of ``logging`` or of Airflow."""

    def log(self, level: int, msg: str, /) -> object:
        """Log a line."""


@dataclass(slots=True, eq=False)
class _Wait:
    """One wait for one job, with the trigger's context, by which Airflow finds where lines of its log go.

    There are thousands, so it holds no more than it must.
    """

    monitor: JobMonitor
    call: Call[JobStatus]
    end: asyncio.Future[End]
    log: Log
    context: contextvars.Context

    def fail(self, error: BaseException) -> None:
        """Raise an error where the end is waited for."""
        if not self.end.done():
            self.end.set_exception(error)


class Poller:
    """Asks for all the jobs of one credential in one event loop; the last to leave it closes everything."""

    def __init__(self, config: Config, meter: StatsMeter | None = None) -> None:
        self._users = 0
        self.limiter = RateLimiter(config.requests_per_second)
        self._client = transport.AsyncClient(config, connections=_CONNECTIONS)
        self._schedule = Schedule(self.limiter)
        self._waits: dict[str, _Wait] = {}
        self._names = itertools.count()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Tasks and timers serve everybody: they must not keep alive, nor log as, the trigger that happened to be first.
        self._context = contextvars.Context()
        self._meter = meter
        self._counts: Counter[str] = Counter()
        self._metered_at = 0.0

    # No generator stands between a trigger and its poller: there are thousands of triggers.
    async def __aenter__(self) -> Self:
        self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if not self._users:
            del _pollers[asyncio.get_running_loop()][self._client.config]
            await self.close()

    async def open(self) -> None:
        """Do what takes long the first time."""
        await self._client.open()

    async def wait(self, job: Job, *, poll_interval: float, deadline: float, log: Log = log) -> End:
        """Ask for a job until its wait has ended; log what is out of the ordinary. See :class:`JobMonitor`."""
        await self.open()
        monitor = JobMonitor(job, poll_interval=poll_interval, deadline=deadline)
        end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        key = str(next(self._names))
        self._waits[key] = _Wait(monitor, endpoints.unread_status(job), end, log, contextvars.copy_context())
        self._schedule.add(key, job, poll_interval=poll_interval, deadline=deadline, now=time.time())
        self._wake(0.0)
        try:
            return await end
        finally:
            self._waits.pop(key, None)
            self._schedule.remove(key)

    async def close(self) -> None:
        """Stop asking, and close the connections."""
        if self._timer is not None:
            self._timer.cancel()
        for task in (tasks := list(self._asking.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()
        self._measure(float("inf"))

    def _wake(self, delay: float) -> None:
        """Come back after a delay, or earlier if that was already planned."""
        loop = asyncio.get_running_loop()
        when = loop.time() + min(max(delay, 0.0), _LONGEST_SLEEP)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._turn, context=self._context)

    def _turn(self) -> None:
        """Send what is due now, and plan the next turn."""
        self._timer = None
        try:
            now = time.time()
            for late in self._schedule.expired(now):
                self._end(late, self._waits[late].monitor.timed_out("no answer came in time"))
            key, pause = self._schedule.next(now)
            while key is not None:
                # It leaves by itself: a callback for that would be one more turn of the event loop.
                self._asking[key] = asyncio.get_running_loop().create_task(self._ask(key), context=self._context)
                key, pause = self._schedule.next(now)
            self._measure(now)
            if self._waits:
                self._wake(min(pause, self._schedule.next_end() - now))
        except Exception as error:  # noqa: BLE001  nobody may be left waiting for an answer that never comes
            log.error("The polling loop cannot go on: %s", errors.format_traceback(error))
            for wait in self._waits.values():
                wait.fail(error)

    async def _ask(self, key: str) -> None:
        wait = self._waits.get(key)
        if wait is None:
            del self._asking[key]
            return
        sent_at = time.time()
        self._counts["polls"] += 1
        try:
            answer: JobStatus | errors.NanoGPTError = await self._client.send(wait.call, retry=transport.ONCE)
        except errors.NanoGPTError as error:
            answer = error
        except Exception as error:  # noqa: BLE001  fails this wait, not all of them
            wait.fail(error)
            return
        finally:
            del self._asking[key]
        if key in self._waits:
            self._take_answer(key, wait, answer, sent_at)

    def _take_answer(self, key: str, wait: _Wait, answer: JobStatus | errors.NanoGPTError, sent_at: float) -> None:
        now = time.time()
        if isinstance(answer, errors.RateLimited):
            # About the key, not about the job: everybody slows down, and this one is asked again in its turn.
            self._counts["refusals"] += 1
            if self.limiter.on_rejected(sent_at, now, answer.retry_after):
                log.info("NanoGPT refused a request (429); asking %.1f times a second now", self.limiter.rate)
            self._schedule.postpone(key, now)
            self._wake(0.0)
            return
        step = wait.monitor.on_response(answer, now)
        if line := wait.monitor.log_line:
            asyncio.get_running_loop().call_soon(wait.log.log, *line, context=wait.context)
        if isinstance(step, Outcome):
            self._end(key, step, None if isinstance(answer, errors.NanoGPTError) else answer.answer)
            return
        # No turn now: what else is due was seen to in the last one, and the next is planned.
        due = self._schedule.running(key, now) if step is None else self._schedule.postpone(key, step)
        self._wake(due - now)

    def _end(self, key: str, outcome: Outcome, answer: bytes | None = None) -> None:
        if outcome.kind == COMPLETED:
            gap = self._schedule.finished(key, time.time())
            if gap is not None and self._meter is not None:
                self._meter.timing("noticed_within", gap)
        self._schedule.remove(key)
        end = self._waits.pop(key).end
        if not end.done():
            end.set_result((outcome, answer))

    def _measure(self, now: float) -> None:
        if self._meter is None or now - self._metered_at < _METER_EVERY:
            return
        self._metered_at = now
        self._meter.gauge("jobs_waiting", len(self._waits))
        self._meter.gauge("requests_per_second", self.limiter.rate)
        for name, count in self._counts.items():
            self._meter.incr(name, count)
        self._counts.clear()


_pollers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Config, Poller]] = weakref.WeakKeyDictionary()


def shared_poller(config: Config, meter: StatsMeter | None = None) -> Poller:
    """Return the poller of those who use this credential in the running event loop, to be entered at once."""
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    if config not in pollers:
        pollers[config] = Poller(config, meter)
    return pollers[config]
