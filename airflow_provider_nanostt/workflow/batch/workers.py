"""Threads for the items of a batch: as many as it takes to use every request slot, or as many as the user allows.

An item waits for its storage and for the service, so how many have to be at work at once follows from how long those
take: at 20 requests a second, eight if an item takes 0.4 seconds, sixteen if it takes 0.8. FFmpeg has a limit of its
own.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_nanostt.polling import RateLimiter

T = TypeVar("T")
R = TypeVar("R")

FIRST_WIDTH, LAST_WIDTH = 8, 32
"""How many items are begun at once, and how many may be at work if slots stay unused."""

_MAX_STEP = 4
MAX_WIDTH = 64
"""The most that a user may ask for."""


@dataclass(slots=True)
class Width:
    """How many items may be at work at once: one more for each slot that nobody took since it was last asked.

    :param now: where it begins.
    """

    limiter: RateLimiter
    now: int = FIRST_WIDTH
    unused: float = 0.0  # seconds, as they were then

    def __post_init__(self) -> None:
        self.unused = self.limiter.unused_seconds

    def grown(self) -> int:
        """Return how many may be at work now; to be asked when one of them is done."""
        unused = self.limiter.unused_seconds
        if slots := int((unused - self.unused) * self.limiter.rate):
            self.now, self.unused = min(LAST_WIDTH, self.now + min(slots, _MAX_STEP)), unused
        return self.now


def in_threads(
    work: Callable[[T], R], things: Iterable[T], width: Callable[[], int], on_interrupt: Callable[[], object]
) -> list[R]:
    """Do something with each thing, several at once, begun in their order; return the results in the same order.

    :param width: says how many may be at work; asked at first and whenever one is done, so trouble that meets all of
        them shows before there are more.
    :param on_interrupt: called when the task is ended: nothing more is begun, and what is under way is waited for.
    """
    begun: list[Future[R]] = []
    running: set[Future[R]] = set()
    with ThreadPoolExecutor(MAX_WIDTH, thread_name_prefix="nanostt-batch") as pool:
        try:
            at_once = width()
            for thing in things:
                while len(running) >= at_once:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for one in done:
                        one.result()
                    at_once = width()
                begun.append(pool.submit(work, thing))
                running.add(begun[-1])
            return [one.result() for one in begun]
        except BaseException:
            on_interrupt()
            raise
