"""Signals that end a command in good order: what is being sent is recorded first, and a second one ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Stop:
    """The signal that has ended a block; 0 if none has."""

    signal: int = 0


@contextmanager
def stopping(at_first: Callable[[], object], at_once: Callable[[], object]) -> Iterator[Stop]:
    """End a block by a KeyboardInterrupt at the first signal, and the process at the second.

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
