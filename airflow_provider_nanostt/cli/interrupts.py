"""Signals that end a command in good order: what is being sent is recorded first, and a second one ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Stop:
    """The signal that has come; 0 if none has."""

    signal: int = 0
    is_working: bool = False

    def work(self, what: Callable[[], object]) -> bool:
        """Do something until it is done or a signal comes, and return whether it is; after a signal, nothing is."""
        is_done = False
        try:
            self.is_working = True
            if not self.signal:
                what()
                is_done = True
            self.is_working = False  # in here, where an interrupt of the last moment is caught, too
        except KeyboardInterrupt:
            if not self.signal:
                raise
        finally:
            self.is_working = False
        return is_done


@contextmanager
def stopping(at_first: Callable[[], object], at_once: Callable[[], object]) -> Iterator[Stop]:
    """End work by a KeyboardInterrupt at the first signal, and the process at the second; elsewhere, note the first.

    A signal that is ignored, as ``nohup`` has it, stays so.

    :param at_first: called when the first comes; ``at_once`` before the process ends.
    """
    stop = Stop()

    def handle(number: int, _: FrameType | None) -> None:
        if stop.signal:
            at_once()
            os._exit(128 + number)
        stop.signal = number
        at_first()
        if stop.is_working:
            stop.is_working = False
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield stop
        return
    before = {one: signal.getsignal(one) for one in _SIGNALS}
    for one, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(one, handle)
    try:
        yield stop
    finally:
        for one, old in before.items():
            signal.signal(one, old)
