"""When a batch goes no further: after trouble that would meet every other item too, or that comes again and again."""

from __future__ import annotations

import threading

from airflow_provider_nanostt.api import errors

_STOPPING = (
    errors.AuthError,
    errors.PaymentRequired,
    errors.DailyLimitReached,
    errors.ConnectError,
    errors.RateLimited,
)
"""What would meet the next item as well."""

_REPEATING = (errors.TransportError, errors.ServiceUnavailable, errors.StorageUnavailable, errors.AmbiguousSubmit)
_ENOUGH = 5
_LONG_SOUGHT = 3
"""Trouble of the second kind stops a batch when it has come this often in a row; a transcript that was asked for over
minutes in vain counts as much as three."""


class CircuitBreaker:
    """Remembers what stopped a batch. Threads share it.

    ``error`` is what did, None while it goes on; ``status_unavailable`` tells that the service did not answer questions.
    """

    def __init__(self) -> None:
        self.error: errors.NanoGPTError | None = None
        self.status_unavailable = False
        self._in_a_row = 0
        self._turn = threading.Lock()

    @property
    def may_ask(self) -> bool:
        """Whether questions about what is paid for are worth it: they need a key and a service, but no money."""
        return not self.status_unavailable and (self.error is None or isinstance(self.error, errors.PaymentRequired))

    def record_success(self) -> None:
        """Take note that an item met no trouble."""
        with self._turn:
            self._in_a_row = 0

    def met(self, error: BaseException) -> bool:
        """Take note of an item's trouble.

        :return: whether this is what stops the batch.
        """
        cause = error.__cause__ if isinstance(error, errors.JobError) else error
        if not isinstance(error, errors.NanoGPTError) or not isinstance(cause, errors.NanoGPTError):
            return False
        with self._turn:
            if isinstance(cause, _REPEATING) and not isinstance(cause, errors.OrphanedSubmit):
                self._in_a_row += _LONG_SOUGHT if isinstance(error, errors.JobError) else 1
            if self.error is None and (_is_everywhere(cause) or self._in_a_row >= _ENOUGH):
                self.error = error
                return True
            return False

    def caused(self, error: BaseException) -> bool:
        """Whether an item came to nothing because the batch had to stop, itself or in another thread."""
        alike = isinstance(error, errors.NanoGPTError) and _is_everywhere(error)
        return self.error is not None and (error is self.error or alike)

    def check(self) -> None:
        """Go no further if the batch has stopped.

        :raises NanoGPTError: what stopped it.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)  # or each raise would hold on to the one before

    def stop(self, error: errors.NanoGPTError) -> None:
        """Begin nothing more."""
        with self._turn:
            self.error = self.error or error


def _is_everywhere(error: errors.NanoGPTError) -> bool:
    """Whether it would meet every other item; a damaged record is the matter of one."""
    if isinstance(error, errors.LedgerError):
        return error.__cause__ is not None and not isinstance(error.__cause__, ValueError | TypeError | LookupError)
    return isinstance(error, _STOPPING)
