"""An order: one recording that somebody wants transcribed, with all that decides how, and what it may cost.

Known before anything is made, sent or paid for; a retry that finds the work paid for goes no further than its
fingerprint. What is submitted is made when it is first asked for.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare import upload_plan
from airflow_provider_nanostt.audio.prepare.prepare import Piece, PrepareOptions, made
from airflow_provider_nanostt.audio.prepare.staging import Staging
from airflow_provider_nanostt.audio.prepare.upload_plan import AudioPreparation, Plan, decide
from airflow_provider_nanostt.lazily import cached_property
from airflow_provider_nanostt.ledger import RequestFingerprint
from airflow_provider_nanostt.workflow import pricing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from airflow_provider_nanostt.api.models import Options, Submission
    from airflow_provider_nanostt.audio.sources import LocalFile, StoredObject, WebAddress
    from airflow_provider_nanostt.workflow.pricing import Estimate, Price

_SIGNED_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What a recording may cost.

    :param max_cost: USD, with what earlier attempts have cost; None for no limit.
    :param unknown: ``worst``, ``fail`` or ``allow`` for a recording of unknown length.
    :param check_balance_above: USD of expected cost above which the account must have them; None never asks.
    :raises InvalidInput: for any other word, or an amount that is none.
    """

    max_cost: float | None = None
    unknown: str = "worst"
    check_balance_above: float | None = 1.0

    def __post_init__(self) -> None:
        pricing.check_budget(self.max_cost, self.unknown, self.check_balance_above)


@dataclass(frozen=True)
class Order:
    """One recording, and how it is to be transcribed.

    :param source: where it lies.
    :param minutes: its length as the user states it; None to measure it.
    :param means: what may be done to get it to the service.
    :param signed_seconds: how long an address that is signed for the service is good for.
    :param progress: called with the seconds of sound done by long work.
    :raises InvalidInput: if the length is none.
    """

    source: LocalFile | StoredObject | WebAddress
    options: Options
    minutes: float | None = None
    means: AudioPreparation = field(default_factory=AudioPreparation)
    budget: Budget = field(default_factory=Budget)
    signed_seconds: float = _SIGNED_SECONDS
    progress: Callable[[float], object] | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise InvalidInput(f"actual_duration={self.minutes!r} minutes is not a positive length")

    @cached_property
    def wanted(self) -> RequestFingerprint:
        """What the ledger knows it by."""
        return RequestFingerprint.by(self.source.key, self.source.name, self.options)

    @cached_property
    def plan(self) -> Plan:
        """What is to be done with it.

        :raises InvalidInput: if there is no way to get it to the service.
        """
        return decide(self.source, model=self.options.model, diarize=self.options.diarize, means=self.means)

    @property
    def length(self) -> tuple[float | None, str]:
        """Minutes, None if unknown, and how they are known."""
        if self.minutes is not None:
            return self.minutes, "stated"
        return self.source.length.minutes, self.source.length.source

    def estimate(self, price: Price) -> Estimate:
        """Return what it is expected to cost."""
        minutes, source = self.length
        return pricing.Estimate(self.options.model, minutes, price, self.source.size, length_source=source)

    def making(self, owner: str) -> Making:
        """Return a block in which its pieces can be made.

        :param owner: in whose name something may be staged; see :class:`~.audio.staging.Staging`.
        """
        return Making(self, owner)

    @property
    def may_be_parts(self) -> bool:
        """Whether it becomes several submissions."""
        return self.plan.way == upload_plan.SPLIT


class Making:
    """The pieces of an order, made when they are first asked for; their files are gone after the block."""

    def __init__(self, order: Order, owner: str) -> None:
        self._order = order
        self._owner = owner
        self._stack = ExitStack()
        self._pieces: list[Piece] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def pieces(self, cuts: Sequence[float] | None = None) -> list[Piece]:
        """Return them in order.

        :param cuts: where the recording was cut before; None finds out where to.
        """
        if self._pieces is None:
            order = self._order
            plan = order.plan
            if cuts and plan.way != upload_plan.SPLIT:  # settings have changed since; what is half paid for is finished
                plan = Plan(upload_plan.SPLIT, "it was split before", None)
            staging = Staging(order.means.staging, self._owner) if order.means.staging else None
            bench = PrepareOptions(order.means, staging, order.signed_seconds, order.progress)
            self._pieces = self._stack.enter_context(made(order.source, plan, bench, cuts))
        return self._pieces

    def submission(self, number: int, cuts: Sequence[float] | None = None) -> Submission:
        """Return what is submitted of one piece, from 0."""
        pieces = self.pieces(cuts)
        piece = pieces[number]
        minutes = None if piece.seconds is None else piece.seconds / 60
        if len(pieces) == 1 and self._order.minutes is not None:
            minutes = self._order.minutes
        return self._order.options.submission(piece.audio, minutes)
