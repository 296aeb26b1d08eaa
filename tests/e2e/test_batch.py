"""A batch in a real Airflow, killed in the middle of whatever it does: each recording is paid once, each has its row.

Task processes are killed (-9) while they submit and while they land; while the task waits, it is cleared, and the
triggerer is killed. What dies between the charge and the recorded ticket fails loudly; everything else lands.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_api import wait_for
from local_postgres import LocalPostgres
from local_store import LocalStore

from airflow_provider_nanostt.ledger import TaskIdentity
from tests.e2e.stage import VERSIONS, WHOLE, Run, Stage, staged, text_of

pytestmark = pytest.mark.e2e

FILES = 200 if WHOLE else 20
MOST_IN_THE_GAP = 8  # at 20 submits a second; up to 32 may be at work where they take long
UNKNOWN = "An earlier attempt submitted this and never recorded an answer"


@pytest.fixture(scope="module", params=VERSIONS)
def stage(
    request: pytest.FixtureRequest, postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with staged(request.param, tmp_path_factory.mktemp("airflow"), postgres) as running:
        yield running


def start(stage: Stage, name: str, seconds: float, **conf: str) -> Run:
    """Start a batch; its addresses are figures, so that no name is looked up."""
    urls = [stage.script(f"https://192.0.2.7/{name}-{number:03d}.mp3", seconds) for number in range(FILES)]
    return stage.run("batch", *urls, **conf)


def folder(run: Run) -> Path:
    return run.stage.files / run.run_id.replace(":", "_").replace("+", "_")


def landed(run: Run) -> int:
    return len(list(folder(run).glob("*.json")))


def answers(run: Run) -> Path:
    """Where the triggerer leaves answers for the worker, until the batch has ended."""
    stem = TaskIdentity(run.dag_id, "transcribe", run.run_id).file_name.removesuffix(".json")
    return folder(run) / ".nanostt" / f"{stem}.answers"


def rows(run: Run) -> list[dict[str, Any]]:
    """The manifest, which has one row for each input, in order, whatever has happened."""
    found = [json.loads(line) for line in (folder(run) / "manifest.jsonl").read_text().splitlines()]
    assert [row["audio"] for row in found] == list(run.urls)
    return found


def assert_paid_once(run: Run) -> None:
    """What has landed is whole, and was charged once; what was not, died in the gap, and the task says so."""
    told = rows(run)
    charged = Counter(charge.source for charge in run.charges())
    in_the_gap = [row for row in told if row["status"] != "written"]
    for row in told:
        if row["status"] == "written":
            text = json.loads(Path(row["files"]["json"].removeprefix("file://")).read_text())["text"]
            assert text.removeprefix("Speaker 1: ") == text_of(row["audio"])
            assert charged[row["audio"]] == 1
        else:
            assert row["error"].startswith(UNKNOWN)
            assert charged[row["audio"]] <= 1
    assert len(in_the_gap) <= MOST_IN_THE_GAP
    instance = run.instance()
    assert instance.state == ("failed" if in_the_gap else "success")
    if in_the_gap:
        assert UNKNOWN in run.log(instance.try_number)
    else:
        result = run.result()
        assert (result["total"], result["written"]) == (FILES, FILES)
        assert result["cost_usd"] == pytest.approx(sum(charge.cost for charge in run.charges()))


@pytest.mark.long
def test_killed_while_submitting(stage: Stage):
    """The second try submits only what has not been submitted."""
    run = start(stage, "submitting", 2)
    run.wait_charged(FILES // 4)
    run.kill_task()
    before = len(run.charges())
    assert FILES // 4 <= before < FILES
    wait_for(lambda: any(answers(run).glob("*.json")), "answers for the worker", 240, 0.05)
    run.ended()
    assert run.instance().try_number == 2
    assert_paid_once(run)
    assert not answers(run).exists()


@pytest.mark.long
def test_cleared_and_its_triggerer_killed_while_waiting(stage: Stage):
    """Whoever waits then has the same jobs, and pays nothing."""
    run = start(stage, "waiting", 40 if not WHOLE else 90)
    run.wait_for_states("deferred")
    assert len(run.charges()) == FILES
    stage.airflow.kill("triggerer")
    stage.airflow.restart("triggerer")
    run.clear()
    run.wait_for_states("deferred", "success", tries=2)
    stage.airflow.kill("triggerer")
    stage.airflow.restart("triggerer")
    run.ended(400)
    assert all(row["status"] == "written" for row in rows(run))
    assert_paid_once(run)


def test_killed_while_landing(stage: Stage):
    """The second try lands what is missing; no half file is left under a whole one's name.

    The triggerer cannot leave the answers to the worker, which so has to fetch them: what lies ready lands in a moment.
    """
    run = start(stage, "landing", 2)
    answers(run).parent.mkdir(parents=True)
    answers(run).write_text("a file where a folder should be")
    wait_for(lambda: len(run.jobs()) == FILES and all(job.seen for job in run.jobs()), "all jobs being seen", 240, 0.1)
    stage.service.fail("/transcribe/status", kind="slow", delay=0.2, probability=1.0)
    wait_for(lambda: landed(run) >= FILES // 4, "the first landed", 120, 0.02)
    run.kill_task()
    assert FILES // 4 <= landed(run) < FILES
    stage.service.clear_faults()
    run.ended()
    assert run.instance().try_number == 2
    assert all(row["status"] == "written" for row in rows(run))
    assert_paid_once(run)
    assert landed(run) == FILES


def test_in_a_bucket(stage: Stage, object_store: LocalStore):
    """Worker and triggerer find the storage's connection in the database, and each other's files in the bucket."""
    if stage.airflow.major < 3:
        pytest.skip("the oldest Airflow's environment has no provider for S3")
    connection = {**json.loads(object_store.connection()), "connection_id": "store"}
    stage.api.request("POST", "/connections", json={**connection, "extra": json.dumps(connection["extra"])})
    run = start(stage, "bucket", 2, output=f"s3://store@{object_store.bucket}/night")
    assert run.ended() == "success"
    assert f"Writing {FILES} transcripts ({FILES} already fetched by the triggerer)" in run.logs()
    result = run.result()
    assert (result["written"], result["manifest"]["jsonl"]) == (
        FILES,
        f"s3://store@{object_store.bucket}/night/manifest.jsonl",
    )
    charged = Counter(charge.source for charge in run.charges())
    assert charged == dict.fromkeys(run.urls, 1)
