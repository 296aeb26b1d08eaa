"""The rows of a batch's manifest as values: one for each input, always; and what they come to. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api.errors import CostLimit
from airflow_provider_nanostt.common.numbers import amount
from airflow_provider_nanostt.common.reprs import redacted_repr
from airflow_provider_nanostt.outputs.merge import RUN_ID_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WAITING = "waiting"
WRITTEN = "written"
SKIPPED = "skipped"
DUPLICATE = "duplicate"
FAILED = "failed"
NOT_STARTED = "not_started"
NO_MATCH = "no_match"
ELSEWHERE = "elsewhere"
"""What became of an input: submitted and waited for; its files are in place; they were there before, from an earlier
run; the same as another input of this batch; it failed; it was not begun, since the batch had to stop before it; it
matches no recording, which is no failure; another run is submitting it just now."""

ENDS = (WRITTEN, SKIPPED, DUPLICATE, FAILED, NOT_STARTED, ELSEWHERE, NO_MATCH)
_MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One input of a batch.

    :param number: its place among the inputs, from 0.
    :param audio: the recording, without what may be secret in its address.
    :param key: what the ledger knows it by; empty if it could not be looked at.
    :param status: one of the words above.
    :param files: addresses of what was written, by format.
    :param cost_usd: USD that it has cost in this run; None if nobody said.
    :param confidence: how sure the model was of the words, 0 to 1; None if it does not say.
    :param words: how many words the text has.
    :param review_words: how many of them are below ``review_below``; None if nobody asked, or nothing is known of it.
    :param review_segments: how many segments are to be looked at, of which ``review`` has the first: ``start``, ``end``
        (seconds), ``confidence``, and how many ``words`` are in doubt.
    :param error: why it failed or was left, for people; ``error_type`` is the name of the exception's class.
    :param retry: whether the next try may fix that.
    :param tables: by table, the file in the table's folder that has its rows.
    """

    __repr__ = redacted_repr

    number: int
    audio: str
    name: str = ""
    key: str = ""
    status: str = WAITING
    files: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    model: str | None = None
    language: str | None = None
    charged_minutes: float | None = None
    cost_usd: float | None = None
    confidence: float | None = None
    speakers: Sequence[str] = ()
    words: int | None = None
    review_words: int | None = None
    review_segments: int | None = None
    review: Sequence[Mapping[str, float | None]] = ()
    error: str | None = None
    error_type: str | None = None
    retry: bool = False
    tables: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_ids(self) -> list[str]:
        """The run ids of its jobs, one for each part; empty if there is none."""
        return self.run_id.split(RUN_ID_SEPARATOR) if self.run_id else []

    @property
    def is_missing(self) -> bool:
        """Whether a retry has something to do for it."""
        return self.status in (WAITING, FAILED, NOT_STARTED, ELSEWHERE)

    def with_result(self, status: str, result: Mapping[str, object]) -> ManifestRow:
        """Return the row with what a single transcription's result says."""
        known = {one.name for one in fields(self)} - {"number", "audio", "name", "key", "status", "tables"}
        values: dict[str, Any] = {name: value for name, value in result.items() if name in known}
        values["run_id"] = values.get("run_id") or self.run_id  # a recording in parts has no single one
        return replace(self, status=status, error=None, error_type=None, retry=False, **values)

    def with_error(self, error: BaseException, status: str = FAILED) -> ManifestRow:
        """Return the row with why nothing came of it."""
        return replace(self, status=status, error=str(error), error_type=type(error).__name__)

    def to_json(self) -> dict[str, object]:
        """Return it as plain JSON; :meth:`from_json` reads it back."""
        return {**asdict(self), "speakers": list(self.speakers), "review": list(self.review)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> ManifestRow:
        """Read a row; what a later version has added is passed over.

        :raises TypeError, ValueError: if what it needs is not there, or is something else.
        """
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = {name: value for name, value in data.items() if name in known}
        row = cls(**values)
        texts = [row.audio, row.name, row.key, *row.files.values(), *row.tables.values(), *row.speakers]
        optional = (row.run_id, row.model, row.language, row.error, row.error_type)
        numbers = [row.charged_minutes, row.cost_usd, row.words, row.confidence, row.review_words, row.review_segments]
        numbers += [value for one in row.review for value in one.values()]
        is_text = all(isinstance(one, str) for one in [*texts, *(one for one in optional if one is not None)])
        if not is_text or row.status not in (WAITING, *ENDS):
            raise TypeError("a row has other things than texts")
        if any(one is not None and amount(one) is None for one in numbers):
            raise ValueError("a row has numbers that cannot be")
        return row


def stopped(rows: Iterable[ManifestRow]) -> list[ManifestRow]:
    """Return those at which a batch stopped for anything but its limit of costs."""
    return [row for row in rows if row.status == NOT_STARTED and row.error_type != CostLimit.__name__]


def summary(rows: Sequence[ManifestRow], manifest: Mapping[str, str], tables: Mapping[str, str]) -> dict[str, Any]:
    """Return what goes to XCom: counts and sums, never a row for each file.

    :param manifest: addresses of the manifest, by format.
    :param tables: addresses of this run's files, by table.
    """
    counts = Counter(row.status for row in rows)
    languages = Counter(row.language for row in rows if row.language)
    return {
        "manifest": dict(manifest),
        "tables": dict(tables),
        "total": len(rows),
        **{status: counts[status] for status in ENDS},
        "cost_usd": round(sum(row.cost_usd or 0.0 for row in rows), 9),
        "charged_minutes": round(sum(row.charged_minutes or 0.0 for row in rows if row.status == WRITTEN), 6),
        "words": sum(row.words or 0 for row in rows),
        "languages": dict(languages.most_common()),
        "failed_audio": [row.audio for row in rows if row.status == FAILED][:_MAX_NAMED],
    }


def folders(rows: Iterable[ManifestRow]) -> list[str]:
    """Return where the recordings lie, each folder once: thousands of files make a few folders."""
    places = {row.audio.partition("?")[0].rpartition("/")[0] for row in rows}
    return sorted(place for place in places if place)


def describe(rows: Sequence[ManifestRow]) -> str:
    """Name rows and their errors for people, one a line; of many, the first and how many more."""
    lines = [f"  {row.audio}: {row.error or row.status}" for row in rows[:_MAX_NAMED]]
    if len(rows) > _MAX_NAMED:
        lines.append(f"  and {len(rows) - _MAX_NAMED} more")
    return "\n".join(lines)
