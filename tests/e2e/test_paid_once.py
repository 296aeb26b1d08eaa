"""Whatever is killed, cleared, restarted or lost: each recording is paid for once and its transcript lands.

Real Airflow processes on PostgreSQL; the emulator counts the charges. On the newest Airflow the ledger is Airflow's own
task state, on 2.11 it lies beside the results. Rows that do not disturb each other act at the same time, each in a
thread: an *act* drives one run into its trouble, and its test looks at what has become of it.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest
from airflow_api import wait_for
from local_postgres import LocalPostgres

from tests.e2e.stage import (
    KEY,
    SECRETS,
    SIGNED,
    VERSIONS,
    WHOLE,
    Run,
    Stage,
    gaps,
    recording,
    staged,
    text_of,
    where_told,
)
from tests.security.spellings import SPELLINGS

pytestmark = pytest.mark.e2e

Act = Callable[[Stage], Run]
ACTS: list[Act] = []


def act(function: Act) -> Act:
    ACTS.append(function)
    return function


@pytest.fixture(scope="module", params=VERSIONS)
def stage(
    request: pytest.FixtureRequest, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with staged(request.param, tmp_path_factory.mktemp("airflow"), postgres) as running:
        yield running


@pytest.fixture(scope="module")
def after(stage: Stage) -> Iterator[Callable[[Act], Run]]:
    """Let all acts begin; what a test gets waits for the one it names."""
    with ThreadPoolExecutor(len(ACTS)) as pool:
        acting: dict[Act, Future[Run]] = {one: pool.submit(one, stage) for one in ACTS}
        yield lambda one: acting[one].result(600)


def assert_landed(run: Run, *, charges: int = 1, map_index: int = -1) -> None:
    """One transcript, whole, for as many charges as the table allows."""
    url = run.urls[max(map_index, 0)]
    assert run.instance(map_index).state == "success"
    assert run.transcript(map_index) == text_of(url)
    assert len(run.charges(url)) == charges


# A task process dies


@act
def killed_before_the_answer(stage: Stage) -> Run:
    url = stage.script(recording("killed-before-the-answer"), 5)
    stage.service.fail("/transcribe", kind="hang", after_charge=True, match=url)
    run = stage.run("in_the_triggerer", url)
    run.wait_charged()
    run.kill_task()
    run.ended()
    return run


def test_killed_after_the_charge_before_the_answer_fails_loudly(after):
    """Nobody can know whether that was charged: the second try says so and submits nothing."""
    run = after(killed_before_the_answer)
    assert (run.instance().state, run.instance().try_number) == ("failed", 2)
    assert len(run.charges()) == 1
    log = run.log(2)
    assert "An earlier attempt submitted this and never recorded an answer" in log
    assert "killed-before-the-answer.mp3, model Elevenlabs-STT" in log
    assert "balance before: $" in log
    assert "on_ambiguous_submit='resubmit'" in log
    assert "force=True" in log


@act
def killed_with_the_ticket(stage: Stage) -> Run:
    run = stage.run("in_the_worker", stage.script(recording("killed-with-the-ticket"), 12))
    wait_for(lambda: any(job.polls for job in run.jobs()), "the first question for the job", 180, 0.02)
    run.kill_task()
    run.ended()
    return run


def test_killed_right_after_the_ticket_is_recorded_waits_on(after):
    """The second try finds the ticket and waits for the job that is paid for."""
    run = after(killed_with_the_ticket)
    assert_landed(run)
    assert run.instance().try_number == 2
    assert "Already submitted and paid for: run " + run.charges()[0].run_id in run.log(2)


@act
def killed_while_fetching(stage: Stage) -> Run:
    run = stage.run("in_the_triggerer", stage.script(recording("killed-while-fetching"), 4))
    job = run.wait_job()
    wait_for(lambda: run.jobs()[0].seen, "the trigger seeing the job's end", 120, 0.05)
    stage.service.fail("/transcribe/status", kind="hang", match=job.run_id)
    run.wait_fault("hang")
    run.kill_task()
    run.ended()
    return run


def test_killed_while_fetching_fetches_again(after):
    """The service is asked once more for the finished job, which costs nothing."""
    run = after(killed_while_fetching)
    assert_landed(run)
    assert run.instance().try_number == 2
    assert "is done; fetching it costs nothing" in run.log(2)


LONG_WORD = "antidisestablishmentarianism" * 250_000


@act
def killed_while_writing(stage: Stage) -> Run:
    """Writing 7 MB several times over takes long enough to be caught with half a file."""
    url = stage.script(recording("killed-while-writing"), 4, text=LONG_WORD)
    run = stage.run("to_files", url)
    job = run.wait_job()
    wait_for(lambda: run.jobs()[0].seen, "the trigger seeing the job's end", 120, 0.05)
    stage.service.fail("/transcribe/status", kind="slow", delay=3, match=job.run_id)
    run.wait_fault("slow")
    pids = wait_for(lambda: stage.airflow.task_pids(run.instance()) or None, "the task's process", 30, 0.05)
    deadline = time.monotonic() + 60
    while not list(stage.files.glob(".killed-while-writing*.part")) and time.monotonic() < deadline:
        pass
    os.kill(pids[0], signal.SIGKILL)
    run.ended()
    return run


def test_killed_while_writing_leaves_no_half_file(after, stage: Stage):
    """What carries the file's name is whole, and the unfinished one shows that the kill came in the middle."""
    run = after(killed_while_writing)
    assert run.instance().state == "success"
    assert run.instance().try_number == 2
    assert run.transcript() == LONG_WORD
    assert len(run.charges()) == 1
    assert len(list(stage.files.glob(".killed-while-writing*.part"))) == 1


# Somebody intervenes


@act
def cleared_while_deferred(stage: Stage) -> Run:
    run = stage.run("in_the_triggerer", stage.script(recording("cleared-while-deferred"), 25))
    run.wait_for_states("deferred")
    run.clear()
    run.wait_for_states("deferred", "success", tries=2)
    run.ended()
    return run


def test_cleared_while_deferred_waits_on(after):
    """A clear takes up the wait again."""
    run = after(cleared_while_deferred)
    assert_landed(run)
    assert "Already submitted and paid for" in run.log(2)


@act
def failed_then_cleared(stage: Stage) -> Run:
    run = stage.run("in_the_triggerer", stage.script(recording("failed-then-cleared"), 20))
    run.wait_for_states("deferred")
    stage.api.set_task_state(run.dag_id, run.run_id, "transcribe", "failed")
    assert run.ended() == "failed"
    run.clear()
    run.wait_for_states("success")
    return run


def test_marked_failed_while_deferred_then_cleared_waits_on(after):
    """Marking a task as failed loses nothing of what was paid for."""
    assert_landed(after(failed_then_cleared))


@act
def timed_out(stage: Stage) -> Run:
    run = stage.run("short_timeout", stage.script(recording("timed-out"), 32))
    run.ended()
    return run


def test_a_wait_that_timed_out_is_taken_up_by_the_retry(after):
    """The deadline is for a wait, not for the job: the retry waits on for it, or finds it done."""
    run = after(timed_out)
    assert_landed(run)
    assert run.instance().try_number >= 2
    assert "was not finished" in run.log(1)
    # Whichever it finds: on a busy machine the job may be done by the time the retry looks.
    found = ("with the whole timeout from now", "is done; fetching it costs nothing")
    assert any(line in run.log(2) for line in found)


@act
def model_changed(stage: Stage) -> Run:
    run = stage.run("any_model", stage.script(recording("model-changed"), 3))
    run.ended()
    stage.set_variable("model", "Whisper-Large-V3")
    run.clear()
    run.wait_for_states("success", tries=2)
    return run


def test_a_changed_model_is_another_job(after):
    """The clear pays for the new model, and its log names the first run and what that cost."""
    run = after(model_changed)
    first, second = run.charges()
    assert_landed(run, charges=2)
    assert (first.model, second.model) == ("Elevenlabs-STT", "Whisper-Large-V3")
    log = run.log(2)
    assert f"so this submits anew; before: run {first.run_id}" in log
    assert "$0.03" in log
    assert run.result()["cost_usd"] == pytest.approx(first.cost + second.cost)


@act
def forced(stage: Stage) -> Run:
    """Cleared twice, each time with fewer retries than before, so that Airflow gives it the same number of tries."""
    run = stage.run("forced", stage.script(recording("forced"), 1))
    run.ended()
    for retries in (1, 0):
        stage.files.joinpath("retries").write_text(str(retries))
        os.utime(stage.airflow.dags / "paid_once.py")  # so that it is read again at once
        known = partial(stage.api.get, "/dags/forced/tasks/transcribe")
        wait_for(lambda known=known, wanted=retries: known()["retries"] == wanted, f"{retries} retries", 120)
        run.clear()
        run.wait_for_states("success", tries=3 - retries)
        run.ended()
    return run


def test_force_acts_once_for_each_clear_whatever_the_retries(after):
    """Two clears, and three charges in all."""
    run = after(forced)
    assert_landed(run, charges=3)
    assert "force is set, so this submits once more" in run.log(2)
    assert "force is set, so this submits once more" in run.log(3)


@act
def same_twice(stage: Stage) -> Run:
    url = stage.script(recording("same-twice"), 5)
    run = stage.run("each", url, url)
    run.ended()
    return run


def test_two_mapped_items_with_the_same_url_are_two_jobs(after):
    """Each has a job, a charge and a transcript of its own."""
    run = after(same_twice)
    for map_index in (0, 1):
        assert_landed(run, charges=2, map_index=map_index)
    assert {run.result(index)["run_id"] for index in (0, 1)} == {charge.run_id for charge in run.charges()}


@act
def order_changed(stage: Stage) -> Run:
    urls = [stage.script(recording(f"order-changed-{name}"), 4) for name in ("a", "b", "c")]
    stage.set_variable("recordings", json.dumps(urls))
    run = stage.run("each_of_today", *urls)
    run.ended()
    changed = (urls[1], urls[0], urls[2])
    stage.change_variable("recordings", json.dumps(changed))
    run.clear(task_id="recordings")
    wait_for(lambda: run.instances("recordings")[0].try_number == 2, "the list's second try", 60)
    wait_for(lambda: run.instances("recordings")[0].state == "success", "the new list", 120)
    # A clear in the moment in which the scheduler ends a run can be lost: the tasks are cleared, the run is over.
    run.ended()
    run.clear()
    run.wait_for_states("success", tries=2, count=3)
    return Run(stage, run.dag_id, run.run_id, changed)


def test_a_list_that_changed_its_order_mixes_nothing_up(after):
    """Every item of the new order has its own transcript, and the one that kept its place is not paid again."""
    run = after(order_changed)
    for map_index, charges in enumerate((2, 2, 1)):
        assert_landed(run, charges=charges, map_index=map_index)


# The service has a bad day

LOST_ANSWERS = {"500": {"kind": "status", "status": 500}, "reset": {"kind": "reset"}, "hang": {"kind": "hang"}}


def answer_lost(name: str) -> Act:
    @act
    def lost(stage: Stage) -> Run:
        url = stage.script(recording(f"answer-lost-{name}"), 3)
        stage.service.fail("/transcribe", after_charge=True, match=url, **LOST_ANSWERS[name])
        run = stage.run("without_patience", url)
        run.ended()
        return run

    return lost


ANSWER_LOST = {name: answer_lost(name) for name in LOST_ANSWERS}


@pytest.mark.parametrize("name", LOST_ANSWERS)
def test_an_answer_lost_after_the_charge_fails_at_once(after, name: str):
    """No retry pays again; the message says what may have happened to the money."""
    run = after(ANSWER_LOST[name])
    assert (run.instance().state, run.instance().try_number) == ("failed", 1)
    assert len(run.charges()) == 1
    assert "It may have been accepted and charged" in run.log(1)


def refused_first(name: str, **fault: object) -> Act:
    @act
    def refused(stage: Stage) -> Run:
        url = stage.script(recording(f"refused-{name}"), 3)
        stage.service.fail("/transcribe", match=url, **fault)
        run = stage.run("in_the_triggerer", url)
        run.ended()
        return run

    return refused


REFUSED = {
    "429": refused_first("429", status=429, retry_after=1, times=3),
    "503": refused_first("503", status=503, times=3),
    "503-for-longer": refused_first("503-for-longer", status=503, retry_after=40),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_submit_that_was_refused_for_now_is_repeated(after, name: str):
    """Nothing was charged for a 429 or a 503, and the one that is accepted is the only charge."""
    assert_landed(after(REFUSED[name]))


@act
def service_away(stage: Stage) -> Run:
    url = recording("service-away")
    run = stage.run("without_service", url)
    run.wait_for_states("up_for_retry", "queued", "running", tries=1)
    wait_for(lambda: "up_for_retry" in run.instance().state or run.instance().try_number > 1, "a retry", 240)
    with stage.closed_service as service:
        service.script(url, text=text_of(url), duration=60.0, processing_seconds=3)
        run.ended()
    return run


def test_a_service_that_was_away_is_tried_again(after):
    """A refused connection costs nothing; when the service is back, one submit is charged."""
    run = after(service_away)
    assert_landed(run)
    assert run.instance().try_number >= 2


BAD_ANSWERS = ({"status": 500}, {"kind": "html"}, {"kind": "broken_json"}, {"kind": "reset"}, {"kind": "empty"},
               {"status": 502, "envelope": "html"})  # fmt: skip
MINUTE = len(BAD_ANSWERS) if WHOLE else 4


def bad_weather(dag_id: str) -> Act:
    @act
    def weather(stage: Stage) -> Run:
        run = stage.run(dag_id, stage.script(recording(f"bad-weather-{dag_id}"), 4))
        job = run.wait_job()
        for bad in BAD_ANSWERS[:MINUTE]:  # at pauses of 1, 2, 4, 8, 16 and 32 s: a minute in the whole size
            stage.service.fail("/transcribe/status", match=job.run_id, **bad)
        run.ended()
        return run

    return weather


BAD_WEATHER = {dag_id: bad_weather(dag_id) for dag_id in ("in_the_triggerer", "in_the_worker")}


@pytest.mark.parametrize("dag_id", BAD_WEATHER)
def test_a_minute_of_bad_answers_loses_nothing(after, stage: Stage, dag_id: str):
    """500, HTML, broken JSON, a reset, nothing at all and a gateway's page: the wait goes on, in the same try."""
    run = after(BAD_WEATHER[dag_id])
    assert_landed(run)
    assert run.instance().try_number == 1
    run_id = run.charges()[0].run_id
    assert not [fault for fault in stage.service.faults if fault.match == run_id]


# Components die; the rows below disturb each other, so one begins when the one before has ended

WAITING, JOB_SECONDS = (20, 60) if WHOLE else (6, 30)
ALONE = 5 if WHOLE else 1


def many(stage: Stage, name: str) -> Run:
    """Have many recordings waited for at once."""
    urls = [stage.script(recording(f"{name}-{number}"), JOB_SECONDS) for number in range(WAITING)]
    run = stage.run("each", *urls)
    run.wait_for_states("deferred", count=WAITING)
    return run


def assert_each_landed_once(run: Run) -> None:
    """Every recording: one charge, one transcript, landed by one try only."""
    assert run.ended() == "success"
    assert len(run.charges()) == WAITING
    for map_index in range(WAITING):
        assert_landed(run, map_index=map_index)
        assert run.logs(map_index).count("Transcribed: run ") == 1


@pytest.fixture
def quiet(after) -> None:
    """All acts have ended."""
    for one in ACTS:
        after(one)


@pytest.mark.long  # the short form has this in test_batch.py
def test_a_triggerer_killed_while_jobs_wait_is_no_loss(quiet, stage: Stage):
    """After its restart every wait goes on where it was."""
    run = many(stage, "triggerer-killed")
    stage.airflow.kill("triggerer")
    stage.airflow.restart("triggerer", wait=False)
    assert_each_landed_once(run)
    assert {one.try_number for one in run.instances()} == {1}


@pytest.mark.long
def test_a_scheduler_killed_while_jobs_wait_is_no_loss(quiet, stage: Stage):
    """After its restart what has ended meanwhile is fetched."""
    run = many(stage, "scheduler-killed")
    stage.airflow.kill("scheduler")
    stage.airflow.restart("scheduler", wait=False)
    assert_each_landed_once(run)


@pytest.mark.long
def test_a_stalled_triggerer_that_wakes_up_repeats_and_destroys_nothing(quiet, stage: Stage):
    """A second triggerer takes its jobs over while it is frozen for 40 s; each result lands once, no job is lost."""
    airflow = stage.airflow
    run = many(stage, "triggerer-stalled")
    began = time.time()
    airflow.start_component("triggerer", "triggerer-2")
    sql = "SELECT count(*) FROM job WHERE job_type = 'TriggererJob' AND start_date > to_timestamp(%s)"
    wait_for(lambda: stage.query(sql, began)[0][0] == 1, "a second triggerer", 60)
    airflow.suspend("triggerer")
    wakes = time.monotonic() + 40
    try:
        wait_for(lambda: any(one.state == "success" for one in run.instances()), "a result without the first", 90)
        time.sleep(max(0.0, wakes - time.monotonic()))
    finally:
        airflow.resume("triggerer")
    assert_each_landed_once(run)
    assert {job.status for job in run.jobs()} == {"completed"}
    assert {one.try_number for one in run.instances()} == {1}
    airflow.services.pop("triggerer-2").stop()
    airflow.restart("triggerer")


# What is told to whom

SIGNED_RUNS = {
    dag_id: act(lambda stage, dag_id=dag_id, urls=urls: signed(stage, dag_id, *urls))
    for dag_id, urls in {
        "signed": (SIGNED["fetched"],),
        "signed_each": (SIGNED["fetched"], SIGNED["mapped"]),
        "signed_refused": (SIGNED["refused"],),
        "signed_failing": (SIGNED["failing"],),
    }.items()
}


def signed(stage: Stage, dag_id: str, *urls: str) -> Run:
    """Transcribe from presigned addresses, which only the task's environment knows."""
    if dag_id == "signed_refused":
        ways = [SPELLINGS[name] for name in ("plain", "ampersands", "base64")]
        said = " or ".join(write(text) for text in (urls[0], KEY) for write in ways)
        stage.service.fail("/transcribe", status=400, message=f"cannot fetch {said}", match=urls[0])
    run = Run(stage, dag_id, stage.api.trigger_dag(dag_id), urls)
    run.ended()
    return run


def test_presigned_addresses_are_transcribed(after):
    """Unmapped and mapped; what the service refuses or fails at is told with the reason."""
    assert_landed(after(SIGNED_RUNS["signed"]), charges=2)  # two runs of this recording, this and the next
    for map_index, charges in enumerate((2, 1)):
        assert_landed(after(SIGNED_RUNS["signed_each"]), charges=charges, map_index=map_index)
    for dag_id in ("signed_refused", "signed_failing"):
        run = after(SIGNED_RUNS[dag_id])
        assert run.instance().state == "failed"
        assert "cannot fetch https://" in run.log(1)


def test_no_secret_is_told_anywhere(quiet, stage: Stage):
    """Neither the key nor what signs an address is in the metadata database, a log, an XCom or a result."""
    address = "https://recordings.example/timed-out.mp3"
    spelled = {write(secret).strip("=") for secret in SECRETS for write in SPELLINGS.values()}
    assert list(where_told(stage, address, *spelled)) == [address], "no secret, and the address, or nothing is found"


def test_the_ticket_is_recorded_at_once(quiet, stage: Stage, capsys: pytest.CaptureFixture[str]):
    """Every accepted job's log says how long the ticket took; here they are, in the crowd and one after the other."""
    crowd = gaps(stage)
    assert len(crowd) >= len(stage.service.jobs) - len(LOST_ANSWERS) - 1  # the answers that nobody heard
    before = len(stage.service.jobs)
    for number in range(ALONE):
        stage.run("in_the_triggerer", stage.script(recording(f"alone-{number}"), 1)).ended()
    alone = list((Counter(gaps(stage)) - Counter(crowd)).elements())
    assert len(alone) == len(stage.service.jobs) - before == ALONE
    told = f"[Airflow {stage.airflow.version}] from the answer to the recorded ticket, in ms"
    with capsys.disabled():
        for what, found in (("side by side", crowd), ("one by one", alone)):
            print(  # noqa: T201
                f"\n{told}, {len(found)} submits {what}: median {statistics.median(found):.1f}, max {max(found):.1f}"
            )
