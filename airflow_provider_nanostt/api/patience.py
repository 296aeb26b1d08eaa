"""Sending what costs money again while the service only says "later", for minutes: no recording is left behind."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_nanostt.api.http import is_refused_for_now
from airflow_provider_nanostt.api.transport import Retry

T = TypeVar("T")

PATIENCE_SECONDS = 600.0
"""How long refusals (429, 503) of one request are waited out, in all; a day's limit is never waited for."""

_RETRY = Retry(patience=PATIENCE_SECONDS)
_LOOK_SECONDS = 1.0


def until_accepted(send: Callable[[], T], check: Callable[[], None] | None = None) -> T:
    """Return what ``send`` returns, and call it again after each refusal that is certainly not charged.

    A 429 or 503 is waited out for :data:`PATIENCE_SECONDS`; where no connection is made, it is tried six times.

    :param send: takes a slot, records the intent, sends, and takes the intent back where nothing was charged, so that
        nothing is on its way during a pause.
    :param check: raises if nothing more may be begun; asked every second of a pause.
    :raises NanoGPTError: the last refusal, or any other error of ``send``.
    """
    import tenacity

    def pause(seconds: float) -> None:
        count = math.ceil(seconds / _LOOK_SECONDS)
        for _ in range(count):
            if check is not None:
                check()
            time.sleep(seconds / count)

    answer: T = _RETRY.loop(tenacity.Retrying, pause, is_refused_for_now)(send)
    return answer
