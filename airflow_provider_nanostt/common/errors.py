"""The root of all errors, what an error means for money, retries and batches, and the errors that need no answer.

What the service answers is in ``api.errors``, which has all of these too and draws the whole tree. No I/O, and nothing
that knows a job or a request.
"""

from __future__ import annotations

import copy
import traceback
from dataclasses import dataclass, field
from typing import Literal, Self, TypedDict, Unpack

Charged = Literal["no", "maybe", "yes"]
"""What happened to the money: ``no`` is certain, ``maybe`` is not known, ``yes`` is paid for."""

RetryWorth = Literal["yes", "ledger", "no"]
"""Whether another try of the task is worth it; ``ledger``: only if a record of what is paid for is kept."""

Scope = Literal["item", "run", "repeated"]
"""Whether it stops the other items of a batch: never, at once, or when it comes several times in a row."""


def describe_exception(error: BaseException) -> str:
    """Return the class and the text of any exception on one line; nothing that is secret in an address is in it."""
    from airflow_provider_nanostt.common.urls import redact  # its patterns take long to compile, in every DAG file

    text = redact(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def without_secrets(error: BaseException) -> Exception:
    """Return what may be the cause of an error of ours: class and text of any exception, nothing that is secret."""
    return ForeignError(describe_exception(error)).with_traceback(error.__traceback__)


def shows_secrets(error: BaseException | None) -> bool:
    """Whether the text of an exception, or of one behind it, has something secret in it."""
    from airflow_provider_nanostt.common.urls import redact

    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if redact(str(error)) != str(error):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


def format_traceback(error: BaseException) -> str:
    """Return the traceback of an exception and of those behind it for a log, without anything that is secret."""
    from airflow_provider_nanostt.common.urls import redact

    return redact("".join(traceback.format_exception(error)))


def format_duration(seconds: float) -> str:
    """Show a length of time for people."""
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 7200.0 else f"{seconds / 3600.0:.1f} h"


def usd(amount: float | None) -> str:
    """Show an amount of US dollars for a message: ``$0.0123``, or ``an unknown amount``."""
    if amount is None:
        return "an unknown amount"
    return f"${amount:.6f}".rstrip("0").rstrip(".") if amount < 1 else f"${amount:.2f}"


class ForeignError(Exception):
    """What another library has raised: its class and its text, without secrets."""


class Traits(TypedDict, total=False):
    """What a class of errors says of all its errors, as in ``class FileChanged(NanoGPTError, retry="yes")``."""

    charged: Charged
    retry: RetryWorth
    scope: Scope


class NanoGPTError(Exception):
    """Root of every error of this package.

    ``charged``, ``retry`` and ``scope`` are what every other part decides by: operators, the retry policy, batches and
    the client. A class says what holds for all of its errors, an instance may know better.
    """

    charged: Charged = "maybe"
    retry: RetryWorth = "no"
    scope: Scope = "item"

    def __init_subclass__(cls, **traits: Unpack[Traits]) -> None:
        for name, value in traits.items():
            setattr(cls, name, value)

    def of_free_call(self) -> Self:
        """Return the same error for a request that costs nothing, whatever became of it."""
        return self if self.charged == "no" else self.replace(charged="no")

    def replace(self, **changes: object) -> Self:
        """Return the same error with these attributes changed, which its text shows; this one stays as it is."""
        other = copy.copy(self)
        vars(other).update(changes)
        other.__cause__, other.__suppress_context__ = self.__cause__, self.__suppress_context__
        return other.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[object, ...]:
        # Between processes an exception travels as its class and arguments, which here are mostly keywords.
        return _revive, (type(self), self.args), self.__dict__


def _revive(kind: type[NanoGPTError], args: tuple[object, ...]) -> NanoGPTError:
    return kind.__new__(kind, *args)


class InvalidInput(NanoGPTError, ValueError, charged="no"):
    """The request would be wrong; nothing was sent and nothing was spent."""


class CostLimit(InvalidInput):
    """It would cost more than the user allows, or than the account has; nothing was submitted."""


class NotApproved(InvalidInput):
    """A person was to approve the cost and did not; nothing was submitted."""


class SubmittedElsewhere(NanoGPTError, charged="no", retry="yes"):
    """Another attempt is submitting the same recording right now; this one has submitted nothing.

    :param until: epoch seconds at which it is known what became of that, None if unknown.
    """

    def __init__(self, message: str, *, until: float | None = None) -> None:
        super().__init__(message)
        self.until = until


class StorageUnavailable(NanoGPTError, charged="no", retry="yes", scope="repeated"):
    """The storage that has a recording, or the staging folder, did not answer as it should; nothing was submitted."""


class FileChanged(NanoGPTError, charged="no", retry="yes"):
    """A file changed or vanished after it was looked at; nothing was sent, and another try looks at it again."""


class InputChanged(NanoGPTError, charged="no"):
    """The recording, model or options are not those on record, and ``on_changed_input`` is ``fail``.

    :param record: the record of the earlier submit, for people.
    """

    def __init__(self, record: str) -> None:
        super().__init__(
            f"The audio, model or options are not those submitted before ({record}), and on_changed_input is 'fail'. "
            "Nothing was submitted. Clear the task with force=True, or set on_changed_input='submit', to pay for the "
            "new input."
        )


class LedgerError(NanoGPTError, charged="no", retry="yes", scope="run"):
    """What has been paid for cannot be read or recorded; so nothing is submitted.

    :param problem: names the record and what is wrong with it.
    :param damaged: whether the storage did its work and the record itself cannot be understood; that is a matter of one
        item, and ``force`` may replace the record.
    """

    def __init__(self, problem: str, *, damaged: bool = False) -> None:
        super().__init__(
            f"The ledger of what has been paid for: {problem}. Nothing more is submitted while that is so."
        )
        self.damaged = damaged
        if damaged:
            self.scope = "item"

    @classmethod
    def of(cls, problem: str, cause: Exception) -> LedgerError:
        """Return the error for what was raised while a record was read or written."""
        damaged = isinstance(cause, ValueError | TypeError | LookupError)
        return LedgerError(f"{problem} ({describe_exception(cause)})", damaged=damaged)


class LedgerMissing(LedgerError, charged="yes", retry="no", scope="item"):
    """A record that was made when the jobs were submitted is gone: a retry would pay for all of them again.

    :param record: where the record was.
    """

    def __init__(self, record: str) -> None:
        super().__init__(
            f"{record} is not there any more. If output_path is a disk, every worker has to have the same one. The "
            "jobs stay paid for; a retry that does not find them would pay again, so there is none"
        )


class BatchIncomplete(NanoGPTError, retry="yes"):
    """Some items of a batch have no transcript; those that have are written, and are not paid for again.

    :param missing: number of items without a transcript.
    :param total: number of items in the batch.
    :param listing: the names and errors of the missing items, for people.
    :param manifest: URI of the manifest.
    :param retry: ``yes`` if another try may fix one of them, else ``no``.
    """

    def __init__(self, missing: int, total: int, listing: str, *, manifest: str, retry: RetryWorth) -> None:
        self.missing, self.total, self.retry = missing, total, retry
        helps = retry != "no"
        hint = "A retry does only what is missing" if helps else "A retry would not help; a clear does what is missing"
        rest = "The others are written and are not paid for again. " if missing < total else ""
        super().__init__(
            f"{missing} of {total} recordings have no transcript:\n{listing}\n{rest}{hint}. The whole list: {manifest}"
        )


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class ResultTooLarge(NanoGPTError, charged="yes"):
    """There is a transcript, paid for, that is too large for XCom."""

    size: int = field(kw_only=False)  # bytes of JSON
    limit: int = field(kw_only=False)  # bytes that ``xcom_limit`` allows
    run_id: str | None  # the job, which can be asked for the transcript again; None for an answer that came at once
    cost: float | None  # USD, None if unknown
    way_out: str = "Set output_path to a folder."

    def __str__(self) -> str:
        there = "" if self.run_id is None else f" It is still there at the service, as run {self.run_id}."
        return (
            f"The transcript has {self.size:,} bytes, and xcom_limit allows {self.limit:,} in XCom. It is paid for "
            f"({usd(self.cost)}).{there} {self.way_out}"
        )


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class TransformFailed(NanoGPTError, charged="yes", retry="ledger"):
    """There is a transcript, paid for, and the function given as ``transform`` does not work; nothing is written.

    Neither the text nor what the function says of it is in the error.
    """

    path: str = field(kw_only=False)  # of the function
    problem: str = field(kw_only=False)  # the class of what it raised, and where
    run_id: str | None  # the job, which can be asked for the transcript again; None for an answer that came at once
    cost: float | None  # USD, None if unknown
    way_out: str = "Correct the function."

    def __str__(self) -> str:
        there = "an answer that came at once" if self.run_id is None else f"run {self.run_id}"
        return (
            f"transform={self.path!r} does not work: {self.problem}. Nothing was written. The transcript is paid for "
            f"({there}, {usd(self.cost)}). {self.way_out}"
        )
