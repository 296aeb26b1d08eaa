"""When a batch goes no further: after trouble that would meet every other item too, or that comes again and again.

A recording on its own has one that nothing opens.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from airflow_provider_nanostt.api import errors

_MAX_IN_A_ROW = 5
_WEIGHT_OF_A_WAIT = 3
"""Trouble of scope "repeated" stops a batch when it has come this often in a row; a transcript that was asked for over
minutes in vain counts as much as three."""


@dataclass(eq=False)
class CircuitBreaker:
    """Remembers what stopped a batch. Threads share it.

    ``error`` is None while the batch goes on; ``status_unavailable`` says that the service does not answer questions.
    """

    error: errors.NanoGPTError | None = None
    status_unavailable: bool = False
    _in_a_row: int = field(default=0, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def may_ask(self) -> bool:
        """Whether questions about what is paid for are worth it: they need a key, but no money."""
        return self.error is None or isinstance(self.error, errors.PaymentRequired)

    def record_success(self) -> None:
        """Take note that an item met no trouble."""
        with self._turn:
            self._in_a_row = 0

    def record_failure(self, error: BaseException) -> bool:
        """Take note of an item's trouble; return whether this stops the batch."""
        waited = isinstance(error, errors.JobError)
        cause = error.__cause__ if waited else error
        if not isinstance(error, errors.NanoGPTError) or not isinstance(cause, errors.NanoGPTError):
            return False
        with self._turn:
            if cause.scope == "repeated":
                self._in_a_row += _WEIGHT_OF_A_WAIT if waited else 1
            if self.error is None and (cause.scope == "run" or self._in_a_row >= _MAX_IN_A_ROW):
                self.error = error
                return True
            return False

    def caused(self, error: BaseException) -> bool:
        """Return whether an item came to nothing because the batch had to stop, in this thread or in another."""
        alike = isinstance(error, errors.NanoGPTError) and error.scope == "run"
        return self.error is not None and (error is self.error or alike)

    def raise_if_open(self) -> None:
        """Raise the error that stopped the batch, if it has stopped."""
        if self.error is not None:
            raise self.error.with_traceback(None)  # or each raise would hold on to the one before

    def stop(self, error: errors.NanoGPTError) -> None:
        """Begin nothing more."""
        with self._turn:
            self.error = self.error or error
