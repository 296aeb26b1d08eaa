"""Jobs in flight at the emulator: what they are like, how they are waited for, and how late each end was noticed.

The emulator runs in a process of its own and enforces the limit; every way of waiting runs in another, submits the jobs
and starts to wait for each as soon as it is accepted. While they are submitted the limit is off, since here it is the
waiting that is measured. How late an end was noticed is the emulator's own account: the time between the end of a job
and the first answer that told of it.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contestants import KEY, connect, drain, silence

if TYPE_CHECKING:
    import aiohttp

RICH = 1e9
SLOW_DAY = 1.6
EXPECTED_SPREAD = 0.8
NOISE = 0.3
RATE, RATE_SPREAD = 11.6, 0.45  # of the published formula: times real time
QUEUE, QUEUE_SPREAD = 2.0, 0.9  # seconds
MANY = 2000  # draws that stand for a distribution


@dataclass(frozen=True, slots=True)
class Planned:
    """A job to be: minutes of audio, seconds it takes."""

    minutes: float
    seconds: float


def minutes_for(seconds: float) -> float:
    """Minutes of audio for which the published formula expects a job of some seconds."""
    from airflow_provider_nanostt.polling import expected_seconds

    low, high = 0.0, 1e5
    for _ in range(60):
        middle = (low + high) / 2
        if expected_seconds(middle) < seconds:
            low = middle
        else:
            high = middle
    return round(high, 4)


def ratio(rng: random.Random) -> float:
    """How many times as long as expected a job takes: a slow day nobody told the scheduler of, and noise."""
    return SLOW_DAY * rng.lognormvariate(0.0, NOISE)


def by_formula(minutes: float, rng: random.Random) -> float:
    """Seconds by the published formula with its own noise, on a slow day."""
    queue = rng.lognormvariate(math.log(QUEUE), QUEUE_SPREAD)
    if rng.random() < 0.02:
        queue += rng.uniform(20.0, 180.0)
    rate = rng.lognormvariate(math.log(RATE / SLOW_DAY), RATE_SPREAD)
    audio = minutes * 60
    return queue + 1.3 + audio / (rate * min(4, max(1, math.ceil(audio / 480))))


def scenario(count: int, *, longest: float, seed: int, median: float = 37.5, formula: bool = False) -> list[Planned]:
    """Jobs whose expected times are log-normal around a median of seconds; those that would take too long are redrawn.

    :param longest: seconds.
    :param formula: with the published formula's noise instead of :func:`ratio`'s.
    """
    rng = random.Random(seed)
    jobs: list[Planned] = []
    while len(jobs) < count:
        expected = max(3.31, rng.lognormvariate(math.log(median), EXPECTED_SPREAD))
        minutes = minutes_for(expected)
        seconds = by_formula(minutes, rng) if formula else expected * ratio(rng)
        if seconds <= longest:
            jobs.append(Planned(minutes, seconds))
    return jobs


@dataclass(slots=True)
class Flight:
    """How a set of jobs is waited for.

    :param how: ``ours``, ``fixed`` (each asked every ``interval``), or ``limiter`` (the same behind an even limiter).
    :param rate: requests per second: the limiter's, or the connection's extra.
    :param limit: requests per second the emulator takes.
    :param at_once: jobs in flight at any time; the next is submitted when one is noticed. 0 takes all.
    """

    how: str
    jobs: list[Planned]
    interval: float = 5.0
    rate: float = 20.0
    limit: int = 25
    at_once: int = 0


@dataclass(slots=True)
class Landed:
    """What came of it; lags in seconds, ascending."""

    requests: int
    refusals: int
    unnoticed: int
    lags: list[float] = field(repr=False)
    rates: str = ""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.lags)

    @property
    def p95(self) -> float:
        return self.lags[min(len(self.lags) - 1, int(0.95 * len(self.lags)))]

    def __str__(self) -> str:
        lost = f", {self.unnoticed} never noticed" if self.unnoticed else ""
        return (
            f"{self.refusals} refusals, mean {self.mean:.1f} s, p95 {self.p95:.1f} s{lost} ({self.requests} requests)"
        )


class Emulator:
    """The emulator in a process of its own, without a limit until it is given one."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> str:
        ready = Path(self._folder.name) / "ready.json"
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "airflow_provider_nanostt.emulator", "--requests-per-second", "0", "--key", KEY,
                "--balance", str(RICH), "--recogniser", "none", "--ready-file", str(ready),
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 60.0
        while not ready.exists():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError("the emulator did not start")
            time.sleep(0.05)
        return json.loads(ready.read_text())["url"]

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._folder.cleanup()


def fly(flight: Flight) -> Landed:
    """Let a flight take place, in fresh processes."""
    with Emulator() as url, tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        plan.write_text(json.dumps({"url": url, **asdict(flight)}))
        done = subprocess.run(
            [sys.executable, __file__, str(plan)], stdout=subprocess.PIPE, text=True, timeout=3600, check=True
        )
    return Landed(**json.loads(done.stdout.splitlines()[-1]))


def fly_together(flights: list[Flight]) -> list[Landed]:
    """Let flights take place at the same time, each with an emulator and a waiting process of its own."""
    with ThreadPoolExecutor(len(flights)) as pool:
        return list(pool.map(fly, flights))


class Limiter:
    """Evenly spaced turns, first come, first served."""

    def __init__(self, rate: float) -> None:
        self._spacing = 1.0 / rate
        self._free_at = 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at + self._spacing, now)
        await asyncio.sleep(self._free_at - now)


async def _submit(session: aiohttp.ClientSession, url: str, number: int) -> dict[str, Any]:
    asked = {
        "audioUrl": f"http://127.0.0.1/{number}.wav",
        "model": "Elevenlabs-STT",
        "language": "auto",
        "diarize": False,
        "tagAudioEvents": False,
    }
    while True:
        async with session.post(f"{url}/transcribe", json=asked, headers={"x-api-key": KEY}) as answer:
            body = await answer.json()
            if answer.status == 202:
                return body
            if answer.status != 429:
                raise RuntimeError(f"the emulator did not accept a job: {answer.status} {body}")
        await asyncio.sleep(1.0)


async def _wait_plainly(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], interval: float, limiter: Limiter | None
) -> None:
    """Ask every so often; one that is refused asks again at its next interval."""
    echoed = {name: value for name, value in body.items() if name not in ("status", "model")}
    while True:
        if limiter:
            await limiter.turn()
        async with session.post(f"{url}/transcribe/status", json=echoed, headers={"x-api-key": KEY}) as answer:
            if (await answer.json()).get("status") == "completed":
                return
        await asyncio.sleep(interval)


async def _wait_with_trigger(body: dict[str, Any], submitted_at: float, interval: float) -> None:
    from airflow_provider_nanostt.triggers import TranscriptionTrigger

    job = {
        "run_id": body["runId"],
        "model": body["model"],
        "submitted_at": submitted_at,
        "cost": body["cost"],
        "charged_minutes": body["chargedDuration"],
        "body": body,
    }
    await drain(
        TranscriptionTrigger(
            job=job, nanogpt_conn_id="nanogpt_default", poll_interval=interval, deadline=submitted_at + 86_400
        )
    )


async def _wait_for_all(flight: Flight, url: str) -> None:
    import aiohttp

    from airflow_provider_nanostt.emulator import EmulatorControl

    control = EmulatorControl(url, timeout=60.0)
    limiter = Limiter(flight.rate) if flight.how == "limiter" else None
    numbers = iter(range(len(flight.jobs)))
    at_once = asyncio.Semaphore(flight.at_once or len(flight.jobs))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:

        async def one(number: int) -> None:
            try:
                submitted_at = time.time()
                body = await _submit(session, url, number)
                accepted.append(number)
                if flight.how == "ours":
                    await _wait_with_trigger(body, submitted_at, flight.interval)
                else:
                    await _wait_plainly(session, url, body, flight.interval, limiter)
            finally:
                at_once.release()

        accepted: list[int] = []
        tasks = []
        if flight.at_once:
            control.add_key(KEY, balance=RICH, requests_per_second=flight.limit)
        for number in numbers:
            await at_once.acquire()
            tasks.append(asyncio.create_task(one(number)))
            await asyncio.sleep(0)
        if not flight.at_once:
            while len(accepted) < len(flight.jobs) and not any(task.done() and task.exception() for task in tasks):
                await asyncio.sleep(0.02)
            control.add_key(KEY, balance=RICH, requests_per_second=flight.limit)
        await asyncio.gather(*tasks)


def _account(url: str) -> Landed:
    from airflow_provider_nanostt.emulator import EmulatorControl

    control = EmulatorControl(url, timeout=60.0)
    jobs, counts = control.jobs, control.counts
    asked = {name.split()[1]: count for name, count in counts.items() if name.startswith("/transcribe/status")}
    return Landed(
        requests=sum(asked.values()),
        refusals=asked.get("429", 0),
        unnoticed=sum(job.seen is None for job in jobs),
        lags=sorted(job.seen - job.finished for job in jobs if job.seen is not None and job.finished is not None),
    )


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    url = plan.pop("url")
    jobs = [Planned(**job) for job in plan.pop("jobs")]
    flight = Flight(jobs=jobs, **plan)
    from airflow_provider_nanostt.emulator import EmulatorControl

    control = EmulatorControl(url, timeout=60.0)
    for number, job in enumerate(jobs):
        control.script(f"{number}.wav", text="ok", duration=job.minutes * 60, processing_seconds=job.seconds)
    silence()
    connect(url.removesuffix("/api"), flight.rate)
    asyncio.run(_wait_for_all(flight, url))
    landed = _account(url)
    if len(landed.lags) + landed.unnoticed != len(jobs):
        raise RuntimeError(f"{len(jobs)} jobs were planned, {len(landed.lags)} ended")
    print(json.dumps(asdict(landed)))


if __name__ == "__main__":
    main()
