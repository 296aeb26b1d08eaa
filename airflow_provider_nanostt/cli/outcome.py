"""What a command has come to: one word and one exit code for all recordings, the next step, and how that is shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TextIO

from airflow_provider_nanostt.cli.output import as_given, printing, write_json
from airflow_provider_nanostt.cli.wording import counted
from airflow_provider_nanostt.common.errors import usd
from airflow_provider_nanostt.common.urls import escaped
from airflow_provider_nanostt.workflow.batch.manifest_row import WAITING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_nanostt.workflow.batch import ManifestRow

_NOT_IN_TIME = "TranscriptionTimeout"
_AGAIN = "Run the same command again: it goes on from here, and pays for nothing twice."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command has come to.

    :param word: for programs.
    :param code: the exit code.
    :param next_step: what to do about it; empty if there is nothing to do.
    """

    word: str
    code: int
    next_step: str = ""

    def after_force(self) -> Outcome:
        """Return it for a command with ``--force``, which would pay once more if it were given again."""
        return replace(self, next_step=self.next_step.replace("command again", "command again, without --force"))


DONE = Outcome("done", 0)
FAILED = Outcome(
    "failed", 1, f"Some recordings have no transcript. Once that is fixed: {_AGAIN[0].lower()}{_AGAIN[1:]}"
)
BAD_INPUT = Outcome("bad_input", 2)
REFUSED = Outcome("refused_for_cost", 3, "--yes-up-to allows more; what is paid for already is not paid for again.")
UNCERTAIN = Outcome(
    "uncertain_charge",
    4,
    "A submit may have been charged, and nobody knows. Add --on-ambiguous-submit verify, which submits again if the "
    "account shows no charge, or --on-ambiguous-submit resubmit, which pays again at worst.",
)
UNFINISHED = Outcome("unfinished", 5, _AGAIN)


def interrupted_by(signal_number: int) -> Outcome:
    """Return the outcome of a command that a signal has ended."""
    return Outcome("interrupted", 128 + signal_number, _AGAIN)


_BY_ERROR = {
    "AmbiguousSubmit": UNCERTAIN,
    "OrphanedSubmit": UNCERTAIN,
    "AuthError": BAD_INPUT,
    "CostLimit": REFUSED,
    "NotApproved": REFUSED,
    "PaymentRequired": REFUSED,
    "DailyLimitReached": UNFINISHED,
    "SubmittedElsewhere": UNFINISHED,
    _NOT_IN_TIME: UNFINISHED,
}
_WORST_FIRST = (UNCERTAIN, BAD_INPUT, FAILED, REFUSED, UNFINISHED)


def outcome_of(rows: Sequence[ManifestRow]) -> Outcome:
    """Return what the rows of a batch come to: that of the recording that is worst off."""
    found = [_BY_ERROR.get(row.error_type or "", FAILED) for row in rows if row.is_missing]
    return next((one for one in _WORST_FIRST if one in found), DONE)


@dataclass(frozen=True, slots=True)
class Found:
    """All that a command has to say at its end.

    :param problem: why nothing was begun; empty if something was.
    :param spent: USD of this command.
    :param tables: the URIs of the files that were written, by table.
    """

    outcome: Outcome
    problem: str = ""
    rows: Sequence[ManifestRow] = ()
    spent: float = 0.0
    tables: Mapping[str, str] = field(default_factory=dict)


def show(stream: TextIO, found: Found) -> None:
    """Print a line for each recording, and what they come to."""
    with printing(stream) as console:
        for row in found.rows:
            console.print(f"{as_given(row.audio)}: {_line(row)}", soft_wrap=True)
        for name, uri in found.tables.items():
            console.print(f"{name}: {as_given(uri)}", soft_wrap=True)
        counts = Counter(row.status for row in found.rows)
        each = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.items())
        total = f"{counted(len(found.rows), 'recording')}{each and ': '}{each}"
        console.print(f"{total}. This command has spent {usd(found.spent)}.", soft_wrap=True)
        if found.outcome.next_step:
            console.print(found.outcome.next_step, soft_wrap=True)


def _line(row: ManifestRow) -> str:
    status = row.status.replace("_", " ")
    if row.files:
        cost = "" if row.cost_usd is None else f", {usd(row.cost_usd)}"
        cost += f", {counted(row.review_words, 'word')} to look at" if row.review_words else ""
        return f"{status}{cost}: {', '.join(map(as_given, row.files.values()))}"
    if row.status == WAITING or row.error_type == _NOT_IN_TIME:
        return f"paid for ({usd(row.cost_usd)}), and its transcript is not here yet"
    return f"{status}: {escaped(row.error)}" if row.error else status


def write_document(stream: TextIO, found: Found) -> None:
    """Write the document of ``--json``."""
    recordings = []
    for row in found.rows:
        plain = {name: value for name, value in row.to_json().items() if name not in ("number", "name", "key")}
        recordings.append({**plain, "audio": escaped(row.audio), "error": row.error and escaped(row.error)})
    document = {
        "outcome": found.outcome.word,
        "exit_code": found.outcome.code,
        "problem": found.problem,
        "recordings": recordings,
        "counts": dict(Counter(row.status for row in found.rows)),
        "tables": dict(found.tables),
        "spent_usd": round(found.spent, 9),
        "next_step": found.outcome.next_step,
    }
    write_json(stream, document)
