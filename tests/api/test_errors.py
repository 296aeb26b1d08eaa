"""The tree of errors, and what they tell the user."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from airflow_provider_nanostt.api import errors

from .recorded import JOB

BRANCHES = ("├── ", "└── ", "│   ", "    ")


def drawn() -> dict[str, str]:
    """Read class and parent from the tree in the docstring."""
    parents, above = {}, []
    for line in errors.__doc__.partition("::\n")[2].splitlines():
        depth, rest = 0, line.removeprefix("    ")
        while rest.startswith(BRANCHES):
            depth, rest = depth + 1, rest[4:]
        if rest.strip():
            name = rest.split()[0]
            above = [*above[:depth], name]
            parents[name] = above[-2] if depth else "Exception"
    return parents


def real() -> dict[str, str]:
    return {
        name: kind.__mro__[1].__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.NanoGPTError)
    }


def test_the_tree_is_drawn_as_it_is():
    """The docstring's tree is the real one, class by class."""
    assert len(real()) > 20
    assert drawn() == real()


def test_invalid_input_is_a_value_error():
    """Wrong arguments are what Python calls a ValueError."""
    assert issubclass(errors.InvalidInput, ValueError)


TICKET = {"status": 402, "code": "c", "request_id": "req-1"}

EVERY_ERROR = [
    errors.NanoGPTError("it broke"),
    errors.InvalidInput("not a URL"),
    errors.StorageUnavailable("slow down"),
    errors.SubmittedElsewhere("Another attempt was quicker", until=1.0),
    errors.FileChanged("changed while it was sent"),
    errors.CostLimit("more than allowed"),
    errors.NotApproved("somebody has rejected it"),
    errors.TransportError("silence"),
    errors.ConnectError("refused"),
    errors.ReadError("reset"),
    errors.ApiError("no", **TICKET, retry_after=3.0),
    errors.AuthError("no", **TICKET),
    errors.PaymentRequired("no", **TICKET, required=0.5, balance=0.2),
    errors.NotFound("no", **TICKET),
    errors.Conflict("no", **TICKET),
    errors.PayloadTooLarge("no", **TICKET),
    errors.BadRequest("no", **TICKET),
    errors.Redirected("no", **TICKET),
    errors.RateLimited("no", **TICKET),
    errors.DailyLimitReached("no", resets_at=1_785_628_800.0),
    errors.ServiceUnavailable("no", **TICKET),
    errors.ProtocolError("not JSON", status=200, request_id="req-1", body="<html>"),
    errors.AmbiguousSubmit("timed out"),
    errors.OrphanedSubmit("call.wav, at noon", estimated_cost=0.075, before=1.0),
    errors.InputChanged("call.wav, at noon"),
    errors.LedgerError("the storage is read-only"),
    errors.LedgerMissing("/srv/out/.nanostt/x.json"),
    errors.BatchIncomplete(1, 3, "  a.mp3: it does not exist", manifest="s3://calls/manifest.jsonl", retry="no"),
    errors.ResultTooLarge(60_000, 48_000, run_id="run-1", cost=0.5),
    errors.TransformFailed("my_package.redact", "it raised KeyError", run_id="run-1", cost=0.5),
    errors.JobError("about a job", job=JOB),
    errors.JobLost(job=JOB, record="unknown run"),
    errors.TranscriptionFailed("too noisy", job=JOB),
    errors.TranscriptionTimeout(job=JOB, last_status="processing", waited=9.0, recovery_hint="Clear the task."),
]


def test_the_list_of_errors_is_complete():
    """The tests below leave no class out."""
    assert {type(error).__name__ for error in EVERY_ERROR} == set(real())


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_errors_survive_a_change_of_process(error: errors.NanoGPTError):
    """Pickled, or copied, an error keeps its class, its words and all it knows."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.ApiError("Nope.", status=400), "NanoGPT answered 400: Nope"),
        (
            errors.BadRequest("Nope.", status=400, code="bad", request_id="req-1"),
            "NanoGPT answered 400: Nope (code bad, request id req-1)",
        ),
        (
            errors.AuthError("Who?", status=401),
            (
                "NanoGPT answered 401: Who?. The API key is the connection's password; keys are made at "
                "https://nano-gpt.com/api."
            ),
        ),
        (
            errors.PaymentRequired("Too little.", required=0.0035, balance=0.001),
            (
                "NanoGPT answered 402: Too little. Nothing was charged. Required: $0.0035; balance: $0.001. "
                "Add funds at https://nano-gpt.com/balance and run the task again."
            ),
        ),
        (
            errors.OrphanedSubmit("call.wav, at noon", estimated_cost=0.075, before=1.0),
            (
                "An earlier attempt submitted this and never recorded an answer (call.wav, at noon). It may have been "
                "charged; balance before: $1.00, now: an unknown amount. Nothing is submitted again by itself. Either "
                "set on_ambiguous_submit='resubmit', or clear the task with force=True, and it is submitted and paid "
                "for once more."
            ),
        ),
        (
            errors.TranscriptionFailed("too noisy", job=JOB),
            (
                "Run run-7c1e (model Elevenlabs-STT, $0.075) failed at the service: too noisy. "
                "Whether the charge was refunded shows in the usage of the key."
            ),
        ),
        (
            errors.TranscriptionFailed("too noisy"),
            (
                "The transcription failed at the service: too noisy. "
                "Whether the charge was refunded shows in the usage of the key."
            ),
        ),
        (
            errors.TranscriptionTimeout(
                job=JOB, last_status="processing", waited=60.4, recovery_hint="Clear the task."
            ),
            (
                "Run run-7c1e (model Elevenlabs-STT) was not finished 60 s after its submission; the service last said "
                "'processing'. It is paid for ($0.075) and may still finish. Clear the task."
            ),
        ),
    ],
)
def test_messages_say_what_happened_to_the_money_and_what_to_do(error: errors.NanoGPTError, said: str):
    """A user reads what the service said, what it cost, and the next step."""
    assert str(error) == said


def test_an_error_is_made_complete_without_being_changed():
    """What is learned later makes a new error with the same words, cause and traceback; the old one stays."""
    cause = OSError("reset")
    lost = errors.AmbiguousSubmit("timed out")
    lost.__cause__ = cause
    full = lost.replace(record="call.wav, at noon", before=1.0, now=0.925)
    assert (lost.record, full.record, full.__cause__) == (None, "call.wav, at noon", cause)
    assert "(call.wav, at noon); balance before: $1.00, now: $0.925." in str(full)
    orphan = errors.OrphanedSubmit("call.wav", estimated_cost=0.075, before=1.0)
    assert "now: $0.5." in str(orphan.replace(now=0.5))
    assert type(orphan.replace(now=0.5)) is errors.OrphanedSubmit
    assert "balance: $0.25" in str(errors.PaymentRequired("Too little.").replace(balance=0.25))
    refused = errors.AuthError("Who?", status=401).replace(remedy="Ask Ann.")
    assert str(refused) == "NanoGPT answered 401: Who?. Ask Ann."
    assert str(errors.AuthError("Who?", status=401, remedy="")) == "NanoGPT answered 401: Who?"
    large = errors.ResultTooLarge(60_000, 48_000, run_id=None, cost=0.5).replace(way_out="It is in /tmp/x.")
    assert str(large).endswith("It is paid for ($0.5). It is in /tmp/x.")


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_a_free_request_charges_nothing(error: errors.NanoGPTError):
    """Whatever becomes of it; nothing is said of a charge then, since a job may be paid for."""
    free = error.of_free_call()
    assert (type(free), free.charged, free.retry, free.scope) == (type(error), "no", error.retry, error.scope)
    assert "Nothing was charged" not in str(free)


@pytest.mark.parametrize(
    ("status", "charged"), [(408, "maybe"), (500, "maybe"), (502, "maybe"), (503, "no"), (504, "maybe")]
)
def test_only_a_503_is_said_before_a_job_is_accepted(status: int, charged: str):
    """Every other trouble of the service leaves the charge of a paid request open."""
    assert errors.ServiceUnavailable("busy", status=status).charged == charged
    assert errors.ServiceUnavailable("busy", status=status, paid=False).charged == "no"


@pytest.mark.parametrize(
    ("cause", "damaged", "scope"),
    [(OSError("disk"), False, "run"), (ValueError("not JSON"), True, "item"), (KeyError("state"), True, "item")],
)
def test_a_damaged_record_is_one_items_matter(cause: Exception, damaged: bool, scope: str):
    """A storage in trouble stops the others, a record that cannot be understood does not."""
    error = errors.LedgerError.of("the record cannot be read", cause)
    assert (error.damaged, error.scope, error.retry) == (damaged, scope, "yes")
    assert f"the record cannot be read ({type(cause).__name__}: " in str(error)


def test_an_exception_without_words_is_named():
    """Its class is all there is to say."""
    assert errors.describe_exception(TimeoutError()) == "TimeoutError"


# --- the page about them --------------------------------------------------------------------------------------------

TRAITS = ("charged", "retry", "scope")


def table() -> dict[str, dict[str, str]]:
    """Read the table of docs/errors.md by its heads: class to cells."""
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    start = next(number for number, row in enumerate(rows) if row[:2] == ["exception", "when"])
    heads = rows[start]
    cells = {}
    for row in rows[start + 2 :]:
        if len(row) != len(heads):
            break
        cells[row[0].strip("`")] = dict(zip(heads, row, strict=True))
    return cells


def test_the_page_says_what_the_classes_say():
    """Every class that is raised, with what happens to the money, to the task and to the others of a batch."""
    branches = {"NanoGPTError", "TransportError", "ApiError"}
    told = {name: tuple(row[trait].strip("`") for trait in TRAITS) for name, row in table().items()}
    kinds = {name: getattr(errors, name) for name in real() if name not in branches}
    assert told == {name: tuple(getattr(kind, trait) for trait in TRAITS) for name, kind in kinds.items()}


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(None, "an unknown amount"), (0.0, "$0"), (0.000025, "$0.000025"), (0.0123, "$0.0123"), (12.5, "$12.50")],
)
def test_amounts_are_shown_without_losing_the_small_ones(amount: float | None, shown: str):
    """Prices begin at fractions of a cent and are not rounded away."""
    assert errors.usd(amount) == shown


@pytest.mark.parametrize(("missing", "others"), [(1, True), (3, False)])
def test_a_batch_speaks_of_others_only_if_there_are_any(missing, others):
    """Where nothing was written, nothing is said to be."""
    error = errors.BatchIncomplete(missing, 3, "  a.mp3: gone", manifest="manifest.jsonl", retry="yes")
    assert ("The others are written" in str(error)) is others
    assert "A retry does only what is missing. The whole list: manifest.jsonl" in str(error)


@pytest.mark.parametrize(("seconds", "shown"), [(0.0, "0 s"), (119.0, "119 s"), (600.0, "10 min"), (9_000.0, "2.5 h")])
def test_lengths_are_shown_for_people(seconds, shown):
    """Seconds, then minutes, then hours."""
    assert errors.format_duration(seconds) == shown
