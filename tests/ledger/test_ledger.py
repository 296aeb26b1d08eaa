"""What a record says, what follows from it, and that no storage's trouble is taken for "nothing recorded"."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt import _compat
from airflow_provider_nanostt._compat import ObjectStoragePath
from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.models import Job, Options, Transcript, UsageRow
from airflow_provider_nanostt.ledger import (
    FileStore,
    Ledger,
    MirroredStore,
    Record,
    RecoveryRules,
    RequestFingerprint,
    Store,
    TaskIdentity,
    TaskStateStore,
    decide,
)
from airflow_provider_nanostt.ledger.decision import REATTACH, RESUME_PARTS, REUSE, SUBMIT, VERIFY, WRITE_ANSWER
from airflow_provider_nanostt.ledger.record import ANSWERED, FAILED, INTENDED, SPLIT, SUBMITTED, WITHDRAWN, WRITTEN
from airflow_provider_nanostt.ledger.usage_snapshot import UsageSnapshot
from tests.outside import StateStore

JOB = Job("run-1", "Elevenlabs-STT", 1_700_000_000.0, 0.015, 0.5, {"runId": "run-1", "cost": 0.015})
IDENTITY = TaskIdentity("calls", "transcribe", "manual__1")
URL = "https://example.com/call.mp3"
OPTIONS = Options("Elevenlabs-STT")
REQUEST = RequestFingerprint.of(URL, URL, OPTIONS)
SAME = REQUEST.digest


def record_of(state: str, **changes) -> Record:
    known = {
        INTENDED: {},
        WITHDRAWN: {},
        FAILED: {},
        SUBMITTED: {"job": JOB, "cost": JOB.cost},
        ANSWERED: {"answer": {"transcription": "Good morning."}, "cost": 0.001},
        SPLIT: {"split_points": (60.0, 120.0)},
        WRITTEN: {"result": {"files": {"json": "/results/call.json"}}, "written_at": 1_700_000_100.0},
    }[state]
    made = Record(state, SAME, URL, "Elevenlabs-STT", 1_700_000_000.0)
    return replace(made, **{**known, **changes})


# Any record that can be written, and any rules.
texts = st.text(max_size=20)
money = st.none() | st.floats(0, 1e6)
objects = st.dictionaries(texts, st.integers() | texts | st.none(), max_size=3)
jobs = st.builds(Job, st.text(min_size=1, max_size=9), st.just("m"), st.floats(0, 2e9), money, money, objects)
points = st.sets(st.floats(0.1, 1e5), max_size=3).map(sorted).map(tuple)
earlier = st.lists(st.fixed_dictionaries({"run_id": st.none() | texts, "cost": money}), max_size=3).map(tuple)
rows = st.lists(
    st.builds(UsageRow, texts, texts, st.integers(0, 10**6), st.floats(0, 1e6), st.floats(0, 1e6)),
    max_size=3,
    unique_by=lambda row: (row.day, row.model),
)
usages = st.builds(UsageSnapshot, st.floats(0, 2e9), st.text(min_size=1, max_size=9), st.dates(), rows.map(tuple))


@st.composite
def records(draw) -> Record:
    state = draw(st.sampled_from([INTENDED, SUBMITTED, ANSWERED, WRITTEN, FAILED, WITHDRAWN, SPLIT]))
    with_job = state == SUBMITTED or (state == WRITTEN and draw(st.booleans()))
    return Record(
        state=state,
        fingerprint=draw(st.sampled_from([SAME, "another"])),
        source=draw(texts),
        model=draw(st.text(min_size=1, max_size=9)),
        intended_at=draw(st.floats(0, 4e9)),
        estimated_cost=draw(money),
        balance_before=draw(money),
        forced=draw(st.none() | st.fixed_dictionaries({"max_tries": st.integers(0, 9)})),
        job=draw(jobs) if with_job else None,
        answer=draw(objects.filter(bool)) if state == ANSWERED else None,
        cost=draw(money),
        written_at=draw(money) if state == WRITTEN else None,
        result=draw(st.none() | objects) if state == WRITTEN else None,
        written=draw(st.none() | objects) if state == WRITTEN else None,
        source_version=draw(st.none() | objects),
        split_points=draw(points.filter(bool)) if state == SPLIT else (),
        history=draw(earlier),
        owner=draw(st.none() | texts),
        usage_before=draw(st.none() | usages),
    )


rules = st.builds(
    RecoveryRules,
    force=st.booleans(),
    on_changed_input=st.sampled_from(["submit", "fail"]),
    on_ambiguous_submit=st.sampled_from(["fail", "resubmit", "verify"]),
    on_lost_job=st.sampled_from(["fail", "submit"]),
)


@given(records(), rules)
def test_whatever_is_recorded_no_rule_pays_twice_by_itself(record, rule):
    """A decision reuses only what is of the same input, submits over a charge only for a reason, or raises."""
    try:
        decision = decide(record, SAME, rule)
    except (errors.OrphanedSubmit, errors.InputChanged) as error:
        assert (rule.force, record.describe() in str(error)) == (False, True)  # noqa: PT017  either may be right
        return
    if decision.action == VERIFY:
        assert (rule.force, rule.on_ambiguous_submit, record.state) == (False, "verify", INTENDED)
        return
    if decision.action != SUBMIT:
        assert record.fingerprint == SAME
        assert not rule.force
        assert record.job or record.answer or record.split_points or record.result is not None
        assert record.describe() in decision.reason
        return
    if record.state == WITHDRAWN:
        return
    assert record.describe() in decision.reason
    if record.state == INTENDED:
        assert rule.force or rule.on_ambiguous_submit == "resubmit"
    if record.job or record.answer or record.split_points:
        assert rule.force or record.fingerprint != SAME


@given(records())
def test_a_record_survives_json(record):
    """What one attempt writes, the next one reads, to the last field."""
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    ("record", "action", "words"),
    [
        (None, SUBMIT, ""),
        (record_of(WITHDRAWN), SUBMIT, ""),
        (record_of(SUBMITTED), REATTACH, "Already submitted and paid for: run run-1"),
        (record_of(ANSWERED), WRITE_ANSWER, "not written yet"),
        (record_of(SPLIT), RESUME_PARTS, "Already split, its parts submitted one by one: 3 parts"),
        (record_of(WRITTEN), REUSE, "Already transcribed and paid for"),
        (record_of(WRITTEN, result=None, job=JOB), REATTACH, "run run-1"),
        (record_of(WRITTEN, result=None), SUBMIT, "was not kept and cannot be fetched again"),
        (record_of(FAILED), SUBMIT, "The service gave up on it"),
        (record_of(SUBMITTED, fingerprint="another"), SUBMIT, "have changed, so this submits anew; before: run run-1"),
    ],
)
def test_what_follows_from_a_record_by_default(record, action, words):
    """Each state leads to one action, with a reason that names the money where there is any."""
    decision = decide(record, SAME, RecoveryRules())
    assert decision.action == action
    assert words in decision.reason


@pytest.mark.parametrize("state", [INTENDED, SUBMITTED, ANSWERED, WRITTEN, FAILED, SPLIT])
def test_force_submits_whatever_is_recorded_and_says_so(state):
    """The user's word is obeyed, and what was paid for before is named."""
    decision = decide(record_of(state), SAME, RecoveryRules(force=True))
    assert decision.action == SUBMIT
    assert decision.reason == f"force is set, so this submits once more; before: {record_of(state).describe()}"


def test_a_submit_of_unknown_end_is_resubmitted_only_on_demand():
    """By default the facts are raised, with the likely cost and the balance before; 'resubmit' goes on."""
    record = record_of(INTENDED, estimated_cost=0.06, balance_before=99.5)
    with pytest.raises(errors.OrphanedSubmit) as caught:
        decide(record, SAME, RecoveryRules())
    assert (caught.value.estimated_cost, caught.value.before) == (0.06, 99.5)
    text = str(caught.value)
    for word in ("no run id", "call.mp3", "Elevenlabs-STT", "likely $0.06", "2023-11-14T22:13:20", "before: $99.50"):
        assert word in text
    assert decide(record, SAME, RecoveryRules(on_ambiguous_submit="resubmit")).action == SUBMIT


def test_a_changed_input_does_not_hide_a_submit_of_unknown_end():
    """A list that changes its order between two tries must not make the unknown submit go unnoticed."""
    with pytest.raises(errors.OrphanedSubmit):
        decide(record_of(INTENDED, fingerprint="another"), SAME, RecoveryRules())


@pytest.mark.parametrize("state", [INTENDED, SUBMITTED, WRITTEN])
def test_a_changed_input_can_be_made_to_fail(state):
    """With on_changed_input='fail' the error names what was paid for."""
    with pytest.raises(errors.InputChanged, match=r"call\.mp3, model Elevenlabs-STT"):
        decide(
            record_of(state, fingerprint="another"),
            SAME,
            RecoveryRules(on_changed_input="fail", on_ambiguous_submit="resubmit"),
        )


@pytest.mark.parametrize("name", ["on_changed_input", "on_ambiguous_submit", "on_lost_job"])
def test_rules_know_their_words(name):
    """A misspelt rule is refused with the words there are."""
    with pytest.raises(errors.InvalidInput, match=rf"{name} must be one of (submit|fail), .*; got 'maybe'"):
        RecoveryRules(**{name: "maybe"})


def test_the_fingerprint_is_of_audio_model_and_options():
    """The same bytes under another name are the same; every option that changes the transcript is not."""
    one = RequestFingerprint.of("digest", "a.mp3", OPTIONS)
    assert RequestFingerprint.of("digest", "b.mp3", OPTIONS).digest == one.digest
    assert RequestFingerprint.of("digest", "a.mp3", replace(OPTIONS, language="AUTO")).digest == one.digest
    others = [
        RequestFingerprint.of("another digest", "a.mp3", OPTIONS),
        RequestFingerprint.of("digest", "a.mp3", replace(OPTIONS, model="brand-new-stt")),
        RequestFingerprint.of("digest", "a.mp3", replace(OPTIONS, language="de")),
        RequestFingerprint.of("digest", "a.mp3", replace(OPTIONS, diarize=True)),
        RequestFingerprint.of("digest", "a.mp3", replace(OPTIONS, tag_audio_events=True)),
        one.of_part(1, 2),
        one.of_part(2, 2),
    ]
    assert len({each.digest for each in [one, *others]}) == 8


@given(texts, texts, texts, st.integers(-1, 5_000))
def test_no_two_task_instances_share_a_file(dag, task, run, index):
    """The record's name is safe on any file system, the same on every try, and nobody else's."""
    name = TaskIdentity(dag, task, run, index).file_name
    assert name == TaskIdentity(dag, task, run, index).file_name
    assert len(name) <= 200
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>| \n')
    assert name != TaskIdentity(dag, task, run, index + 1).file_name
    assert name != TaskIdentity(f"{dag}-{task}", "", run, index).file_name


def store(kind: str, folder: Path) -> Store:
    if kind == "files":
        return FileStore(ObjectStoragePath(f"file://{folder}"), IDENTITY.file_name)
    return TaskStateStore(StateStore())


@pytest.mark.parametrize("kind", ["files", "task state"])
def test_a_paid_job_step_by_step(tmp_path, kind):
    """Intent, ticket and result are each there for a reader that starts anew."""
    place = store(kind, tmp_path)
    assert Ledger(place).load() is None
    writer = Ledger(place, clock=lambda: 1_700_000_000.0)
    writer.record_intent(REQUEST, estimated_cost=0.06, balance=9.0, owner="b0b0", forced={"max_tries": 2})
    found = Ledger(place).load()
    assert found == Record(
        INTENDED, SAME, URL, OPTIONS.model, 1_700_000_000.0, 0.06, 9.0, {"max_tries": 2}, owner="b0b0"
    )
    writer.record_job(JOB)
    found = Ledger(place).load()
    assert (found.state, found.job, found.cost) == (SUBMITTED, JOB, 0.015)
    writer.record_result({"files": {"json": f"file://{tmp_path}/call.json"}}, cost=0.02)
    found = Ledger(place).load()
    assert (found.state, found.job, found.cost) == (WRITTEN, JOB, 0.02)
    assert found.result == {"files": {"json": f"file://{tmp_path}/call.json"}}


def test_an_answer_that_came_at_once_is_kept_until_it_is_written():
    """Between answer and result the answer lies in the record; afterwards only what may be shown around."""
    place = TaskStateStore(StateStore())
    writer = Ledger(place)
    writer.record_intent(REQUEST)
    long = Transcript("word " * 20_000, cost=0.001, raw={"transcription": "word " * 20_000})
    writer.record_answer(long)
    assert Ledger(place).load().answer == long.raw
    writer.record_result({"transcription": long.text})
    found = Ledger(place).load()
    assert (found.state, found.answer, found.result, found.cost) == (WRITTEN, None, None, 0.001)
    writer.record_result({"transcription": "short"})
    assert Ledger(place).load().result == {"transcription": "short"}


def test_a_service_that_gives_up_at_once_is_recorded():
    """The next submit names the one that failed, as it may have been charged."""
    place = TaskStateStore(StateStore())
    writer = Ledger(place)
    writer.record_intent(REQUEST)
    writer.record_failure()
    assert Ledger(place).load().state == FAILED


def test_records_of_open_jobs_never_expire(monkeypatch):
    """Airflow forgets task state after 30 days, but not while something paid for is not in its place."""
    accessor, forever = StateStore(), object()
    monkeypatch.setattr(_compat, "NEVER_EXPIRE", forever)
    writer = Ledger(TaskStateStore(accessor))
    writer.record_intent(REQUEST)
    writer.record_job(JOB)
    writer.record_result({"files": {}})
    writer.record_intent(REQUEST)
    writer.record_answer(Transcript("", raw={"transcription": ""}))
    writer.record_intent(REQUEST, split_points=[60.0])
    assert accessor.retentions == [forever, forever, None, forever, forever, forever]


def test_a_refused_submit_gives_back_what_was_recorded_before():
    """A forced or changed submit that is refused must not make a paid job be forgotten."""
    place = TaskStateStore(StateStore())
    writer = Ledger(place)
    writer.record_intent(REQUEST)
    writer.withdraw()
    assert Ledger(place).load().state == WITHDRAWN
    writer.record_intent(REQUEST)
    writer.record_job(JOB)
    paid = Ledger(place).load()
    again = Ledger(place)
    again.load()
    again.record_intent(RequestFingerprint.of(URL, URL, Options("Whisper-Large-V3")))
    again.withdraw()
    assert Ledger(place).load() == paid


def test_what_was_paid_before_is_added_up_once():
    """Each submit's own cost counts once, however often the task is submitted again; withdrawn ones do not count."""
    ledger = Ledger(TaskStateStore(StateStore()))
    spent = []
    for cost in (0.01, 0.02, None, 0.04):
        ledger.record_intent(REQUEST)
        spent.append(ledger.record.spent_before)
        ledger.record_answer(Transcript("text", cost=cost, raw={"text": "text"}))
        ledger.record_result({"transcription": "text", "cost_usd": (cost or 0) + ledger.record.spent_before})
    ledger.record_intent(REQUEST)
    ledger.withdraw()
    ledger.record_intent(REQUEST)
    assert [round(each, 6) for each in spent] == [0.0, 0.01, 0.03, 0.03]
    assert ledger.record.spent_before == pytest.approx(0.07)
    assert [past["cost"] for past in ledger.record.history] == [0.01, 0.02, None, 0.04]


def test_without_a_store_nothing_is_kept():
    """Every attempt begins anew, and none of the steps fails."""
    ledger = Ledger(None)
    ledger.withdraw()
    ledger.record_failure()
    ledger.record_job(JOB)
    ledger.record_result({})
    assert ledger.load() is None
    assert (ledger.is_kept, ledger.path, ledger.record) == (False, "nowhere", None)
    ledger.record_answer(Transcript("text"))
    ledger.record_intent(REQUEST)
    ledger.record_result({"transcription": "text"})
    assert Ledger(None).load() is None


GOOD = record_of(SUBMITTED).to_json()


USAGE = {"at": 1_699_999_999.0, "key": "1", "first_day": "2023-11-13", "rows": [["2023-11-14", "m", 3, 0.5, 0.0]]}
ROW = USAGE["rows"][0]
FORGED_USAGE = [
    {"at": -1.0},
    {"at": 1e300},
    {"at": None},
    {"key": 1},
    {"key": ""},
    {"key": "1" * 1000},
    {"first_day": "yesterday"},
    {"rows": None},
    {"rows": [ROW, ROW]},
    {"rows": [ROW[:4]]},
    {"rows": [{"day": "2023-11-14"}]},
    *({"rows": [[*ROW[:at], value, *ROW[at + 1 :]]]} for at in (2, 3, 4) for value in (-1, 1e300, float("nan"), None)),
    {"rows": [[*ROW[:2], 0.5, *ROW[3:]]]},
    {"rows": [["2023-11-14", f"model {number}", 0, 0.0, 0.0] for number in range(1000)]},
]


def test_the_usage_before_an_intent_is_read_back():
    """As it was written, before damage is tried on it below."""
    usage = Record.from_json({**GOOD, "usage_before": USAGE}).usage_before
    assert usage is not None
    assert usage.to_json() == USAGE


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "submitted",
        {},
        {**GOOD, "version": 2},
        {**GOOD, "version": "1"},
        {**GOOD, "state": "paid"},
        {**GOOD, "state": None},
        {**GOOD, "job": None},
        {**GOOD, "job": {}},
        {**GOOD, "job": "run-1"},
        {**GOOD, "job": {"model": "m"}},
        {**GOOD, "state": ANSWERED, "answer": None},
        {**GOOD, "state": ANSWERED, "answer": "text"},
        {**GOOD, "fingerprint": None},
        {**GOOD, "intended_at": "yesterday"},
        {**GOOD, "intended_at": 1e300},
        {**GOOD, "state": SPLIT, "job": None},
        {**GOOD, "cost": -1.0},
        {**GOOD, "history": [{"cost": -1.0}]},
        {**GOOD, "split_points": ["late"]},
        {**GOOD, "written": ["a.json"]},
        {**GOOD, "source_version": "sha"},
        {**GOOD, "result": ["text"]},
        {**GOOD, "result": {"files": ["a.json"]}},
        {**GOOD, "result": {"files": {"json": 1}}},
        {**GOOD, "history": "run-0"},
        {**GOOD, "history": ["run-0"]},
        {**GOOD, "usage_before": "nothing"},
        {**GOOD, "usage_before": {}},
        *({**GOOD, "usage_before": {**USAGE, **forged}} for forged in FORGED_USAGE),
    ],
)
def test_a_record_that_makes_no_sense_fails_and_names_its_place(tmp_path, record):
    """Neither damage nor a newer provider's record is taken for "nothing recorded"."""
    place = FileStore(ObjectStoragePath(str(tmp_path)), IDENTITY.file_name)
    Path(place.path).parent.mkdir()
    Path(place.path).write_text(json.dumps(record))
    with pytest.raises(errors.LedgerError, match="cannot be read") as caught:
        Ledger(place).load()
    assert place.path in str(caught.value)
    assert "Nothing more is submitted" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b'{"version": 1, "sta', b"\xff\xfe", b"null"])
def test_a_file_that_is_no_record_fails(tmp_path, data):
    """A file cut short, empty, or of something else is damage, not absence."""
    place = FileStore(ObjectStoragePath(str(tmp_path)), IDENTITY.file_name)
    Path(place.path).parent.mkdir()
    Path(place.path).write_bytes(data)
    with pytest.raises(errors.LedgerError):
        Ledger(place).load()


def test_task_state_that_is_no_record_fails():
    """Somebody else's value under our key is not overwritten."""
    accessor = StateStore()
    accessor.set("nanostt", "something")
    with pytest.raises(errors.LedgerError, match="it has the type str, so it is not a record"):
        Ledger(TaskStateStore(accessor)).load()


class Deaf(StateStore):
    """Takes values and keeps none, as Airflow does when the API refuses: setting reports nothing."""

    def set(self, key, value, *, retention=None):
        pass


class Late(StateStore):
    """Keeps what it is given, and fails all the same, once."""

    failures = 1

    def set(self, key, value, *, retention=None):
        super().set(key, value, retention=retention)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the API server did not answer")


def test_task_state_that_keeps_nothing_is_noticed():
    """An intent that did not arrive fails before anything is submitted."""
    with pytest.raises(errors.LedgerError, match="did not keep the record"):
        Ledger(TaskStateStore(Deaf())).record_intent(REQUEST)


def test_an_intent_that_failed_halfway_is_taken_back():
    """Nothing was submitted, so the next attempt must not take the half-written intent for a submit."""
    accessor = Late()
    place = TaskStateStore(accessor)
    with pytest.raises(errors.LedgerError, match="did not answer"):
        Ledger(place).record_intent(REQUEST)
    assert Ledger(place).load().state == WITHDRAWN


def test_task_state_that_cannot_be_asked_fails():
    """An API server in trouble is not an empty ledger."""

    class Broken(StateStore):
        def get(self, *_):
            raise RuntimeError("500 from the API server")

    with pytest.raises(errors.LedgerError, match="500 from the API server"):
        Ledger(TaskStateStore(Broken())).load()


def test_only_the_last_twenty_submits_are_kept():
    """A record does not grow without end."""
    ledger = Ledger(TaskStateStore(StateStore()))
    for _ in range(30):
        ledger.record_intent(REQUEST)
        ledger.record_job(JOB)
    assert len(ledger.record.history) == 20


def test_a_mirrored_record_is_found_from_either_side(tmp_path):
    """What was recorded beside the results is found in the task state alone, and the other way round."""
    beside, state = FileStore(ObjectStoragePath(str(tmp_path)), IDENTITY.file_name), TaskStateStore(StateStore())
    both = MirroredStore(beside, state)
    assert both.load() is None
    Ledger(both).record_intent(REQUEST)
    for store in (both, beside, state):
        found = Ledger(store).load()
        assert found is not None
        assert found.state == INTENDED
    assert both.path == beside.path


@pytest.mark.parametrize("at", [100.0, 300.0])
def test_of_two_records_airflows_counts(tmp_path, at):
    """A submit under another output_path is not hidden by a record beside the results, whatever time that claims."""
    beside, state = FileStore(ObjectStoragePath(str(tmp_path)), IDENTITY.file_name), TaskStateStore(StateStore())
    Ledger(beside, clock=lambda: at).record_intent(REQUEST, estimated_cost=1.0)
    Ledger(state, clock=lambda: 200.0).record_intent(REQUEST, estimated_cost=2.0)
    assert MirroredStore(beside, state).load()["estimated_cost"] == 2.0


def test_a_job_that_airflow_did_not_take_in_is_found_beside_the_results(tmp_path):
    """The file has received more of the same submit; of another it would not count."""
    accessor = StateStore()
    beside, state = FileStore(ObjectStoragePath(str(tmp_path)), IDENTITY.file_name), TaskStateStore(accessor)
    ledger = Ledger(MirroredStore(beside, state), clock=lambda: 100.0)
    ledger.record_intent(REQUEST)
    intent = accessor.get("nanostt")
    ledger.record_job(JOB)
    accessor.set("nanostt", intent, retention=None)
    assert Ledger(MirroredStore(beside, state)).load().job == JOB
    accessor.set("nanostt", {**intent, "intended_at": 99.0}, retention=None)
    assert Ledger(MirroredStore(beside, state)).load().state == INTENDED


def test_the_mirror_holds_no_text(tmp_path):
    """An answer that came at once stays beside the results until it is written, out of Airflow's database."""
    accessor = StateStore()
    both = MirroredStore(FileStore(ObjectStoragePath(str(tmp_path)), IDENTITY.file_name), TaskStateStore(accessor))
    ledger = Ledger(both)
    ledger.record_intent(REQUEST)
    ledger.record_answer(Transcript("secret words", raw={"transcription": "secret words"}))
    assert "secret words" in json.dumps(both.load())
    assert "secret words" not in json.dumps(accessor.get("nanostt"))
