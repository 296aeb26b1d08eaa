"""What others hear of a finished task: asset events, with Airflow's own accessors, and OpenLineage facets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote

import airflow
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_nanostt._compat import AirflowFailException, Asset, AssetAlias
from airflow_provider_nanostt.common.uris import named, plain
from airflow_provider_nanostt.lineage import LineageRecord, emit_asset_events
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from tests.conftest import TEXT

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors
except ImportError:  # 2.11
    from airflow.utils.context import OutletEventAccessors

ASYNC = "Elevenlabs-STT"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://conn@bucket/a/b.json", "s3://bucket/a/b.json"),
        ("https://user:word@host.example/a.mp3?X-Amz-Signature=5ec2e7", "https://host.example/a.mp3"),
        ("/srv/a b.json", "file:///srv/a%20b.json"),
        ("file:///srv/a b.json", "file:///srv/a%20b.json"),
        ("FILE:///srv/a.json", "file:///srv/a.json"),
        ("s3://conn@bucket/Gespräch #1?.json", "s3://bucket/Gespr%C3%A4ch%20%231%3F.json"),
        ("s3://bucket/100%25.json", "s3://bucket/100%2525.json"),
        ("/srv/\udce9.json", "file:///srv/%E9.json"),
        (
            "https://bücher.example/Gespr%C3%A4ch ä.mp3?sig=x",
            "https://xn--bcher-kva.example/Gespr%C3%A4ch%20%C3%A4.mp3",
        ),
    ],
)
def test_an_asset_is_encoded_once_without_secrets_and_connection(address, expected):
    """Others may read another way, and need no signature; a path and its file URI are one asset."""
    assert plain(address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://conn@bucket/a/b.json", ("s3://bucket", "a/b.json")),
        ("https://host.example/a.mp3?sig=x", ("https://host.example", "a.mp3")),
        ("s3://bucket/really?.mp3", ("s3://bucket", "really?.mp3")),
        ("s3://bucket", ("s3://bucket", "/")),
        ("s3://bucket/Gespräch.json", ("s3://bucket", "Gespräch.json")),
        ("/srv/a b.json", ("file", "/srv/a b.json")),
        ("file:///srv/a b#1.json", ("file", "/srv/a b#1.json")),
    ],
)
def test_names_follow_the_rules_of_openlineage(address, expected):
    """Namespace and name."""
    assert named(address) == expected


def done(wav, files, run_task, *outlets, **arguments):
    """A task that has written a transcript, and the events it has left."""
    events = OutletEventAccessors()
    made = []

    def make():
        made.append(
            TranscribeOperator(
                task_id="t", audio_path=str(wav), model=ASYNC, poll_interval=0.1, deferrable=True, max_worker_wait=0,
                output_path=str(files.folder), formats=("json", "txt"), outlets=list(outlets), **arguments,
            )
        )  # fmt: skip
        return made[-1]

    result = run_task(make, {**files.context(), "outlet_events": events})
    return result, events, made[-1]


def test_a_declared_asset_hears_cost_minutes_and_language(emulator, wav, files, run_task):
    """What is set before a deferral would be lost, so it is set at the end."""
    asset = Asset("s3://bucket/transcripts")
    result, events, _ = done(wav, files, run_task, asset)
    extra = events[asset].extra
    assert (extra["cost_usd"], extra["charged_minutes"]) == (result["cost_usd"], result["charged_minutes"])
    assert (extra["language"], extra["model"], extra["run_id"]) == (result["language"], ASYNC, result["run_id"])


def test_an_alias_hears_of_each_file(emulator, wav, files, run_task):
    """Each file becomes an asset of its own under the alias."""
    alias = AssetAlias("transcripts")
    result, events, _ = done(wav, files, run_task, alias)
    found = events_of(events[alias])
    assert [uri for uri, _ in found] == [plain(uri) for uri in result["files"].values()]
    assert all(extra["cost_usd"] == result["cost_usd"] for _, extra in found)


def events_of(accessor):
    """Address and extra of each event; on 2.11 they are mappings that speak of datasets."""
    if hasattr(accessor, "dataset_alias_events"):
        return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]
    return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]


def test_an_alias_hears_of_the_manifest_of_a_batch(emulator, wav, files, run_task):
    """Thousands of files are one event, which leads to all of them."""
    events, alias = OutletEventAccessors(), AssetAlias("transcripts")
    result = run_task(
        lambda: TranscribeBatchOperator(
            task_id="t",
            audio=[str(wav)],
            model=ASYNC,
            poll_interval=0.1,
            output_path=str(files.folder),
            outlets=[alias],
        ),
        {**files.context(), "outlet_events": events},
    )
    ((uri, extra),) = events_of(events[alias])
    assert uri == plain(result["manifest"]["jsonl"])
    assert (extra["written"], extra["cost_usd"]) == (1, result["cost_usd"])


def test_the_facts_of_a_batch_have_every_ending():
    """How many were written, skipped and failed, and how many not started."""
    result = {"total": 9, "written": 4, "skipped": 2, "duplicate": 0, "failed": 1, "not_started": 2, "manifest": {}}
    record = LineageRecord.of([], result)
    assert {**record.facts, "manifest": {}, "duplicate": 0} == result


class Refuses(OutletEventAccessors):
    """Airflow's events, of which one outlet can get none."""

    def __getitem__(self, outlet):
        if getattr(outlet, "name", "") == "refused" or getattr(outlet, "uri", "") == "s3://bucket/refused":
            raise RuntimeError("nobody listens")
        return super().__getitem__(outlet)


def test_an_event_that_fails_loses_neither_transcript_nor_other_events(emulator, wav, files, run_task, logged, counted):
    """Every outlet is by itself: the task succeeds, the others hear of it, log and metric tell of each failure."""
    outlets = [AssetAlias("refused"), Asset("s3://bucket/refused"), AssetAlias("heard"), Asset("s3://bucket/heard")]
    events = Refuses()

    def make():
        return TranscribeOperator(
            task_id="t", audio_path=str(wav), model=ASYNC, poll_interval=0.03, output_path=str(files.folder),
            formats=("json", "txt"), outlets=outlets,
        )  # fmt: skip

    result = run_task(make, {**files.context(), "outlet_events": events})
    assert TEXT in Path(result["files"]["txt"].removeprefix("file://")).read_text()
    assert len(events_of(events[outlets[2]])) == 2
    assert events[outlets[3]].extra["cost_usd"] == result["cost_usd"]
    told = [line for line in logged() if "Could not emit the asset event" in line]
    assert len(told) == counted["nanostt.asset_events_failed"] == 3
    assert all("nobody listens" in line for line in told)


@pytest.mark.parametrize("bad", [f"s3://bucket/{'x' * 4000}.json", "airflow://a/b.json", "s3:///a.json"])
def test_a_file_that_no_asset_can_name_costs_no_other_file_its_event(bad, counted):
    """What Airflow refuses as an address is one event less."""
    events, alias = OutletEventAccessors(), AssetAlias("mine")
    emit_asset_events({"outlet_events": events}, [alias], LineageRecord(outputs=[bad, "s3://bucket/good.txt"]))
    assert "s3://bucket/good.txt" in [uri for uri, _ in events_of(events[alias])]
    assert counted["nanostt.asset_events_failed"] == 2 - len(events_of(events[alias]))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=40))
@example("Gespräch 1 #2?[x]%20.json")
@example("通話🎙.json")
def test_every_name_is_one_event_that_the_server_takes(name):
    """An asset's address is ASCII, decodes to the file's own name, and is the same from a path and from a URI."""
    events, alias = OutletEventAccessors(), AssetAlias("mine")
    folders = ("/data/", "file:///data/", "s3://conn@bucket/data/")
    record = LineageRecord(outputs=[f"{folder}{name}.json" for folder in folders])
    emit_asset_events({"outlet_events": events}, [alias], record)
    found = [uri for uri, _ in events_of(events[alias])]
    assert all(uri.isascii() for uri in found)
    expected = ("file:///data/", "file:///data/", "s3://bucket/data/")
    assert [unquote(uri) for uri in found] == [f"{folder}{name}.json" for folder in expected]


REAL = """
import json, sys
from airflow.sdk import DAG, Asset, AssetAlias
from airflow_provider_nanostt.operators import TranscribeOperator

FOLDERS = json.loads({folders!r})

with DAG("letters", schedule=None) as dag:
    for number, folder in enumerate(FOLDERS):
        TranscribeOperator(
            task_id=f"t{number}", audio_path={audio!r}, model="Elevenlabs-STT", poll_interval=0.1, max_worker_wait=60,
            output_path=folder, formats="txt", outlets=[AssetAlias(f"alias-{number}"), Asset(f"s3://bucket/{number}")],
        )

if __name__ == "__main__":
    run = dag.test()
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    with create_session() as session:
        events = session.query(AssetEvent).filter(AssetEvent.source_run_id == run.run_id).all()
        found = sorted([event.source_task_id, event.asset.uri] for event in events)
    with open({report!r}, "w") as file:
        json.dump([str(run.state), found], file)
"""


@pytest.mark.long
def test_the_server_makes_every_event_whatever_the_letters(emulator, wav, tmp_path):
    """A real run leaves the events of the declared assets and of each file, as its encoded URI, in the database."""
    pytest.importorskip("airflow.sdk")
    if airflow.__version__.startswith("3.0."):
        pytest.skip("dag.test() of Airflow 3.0 activates no assets, and a task must not name inactive ones")
    names = ("plain", "Gespräch", "通話", "a b", "100%25", "Cafe\u0301", "no#1")
    folders = [f"{'file://' if number % 2 else ''}{tmp_path}/{name}" for number, name in enumerate(names)]
    report = tmp_path / "report.json"
    text = REAL.replace("{folders!r}", repr(json.dumps(folders)))
    (tmp_path / "dags").mkdir()
    file = tmp_path / "dags" / "letters.py"
    file.write_text(text.replace("{audio!r}", repr(str(wav))).replace("{report!r}", repr(str(report))))
    env = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(file.parent)}
    done = subprocess.run([sys.executable, str(file)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    state, found = json.loads(report.read_text())
    assert state == "success"
    assert [task for task, _ in found] == [f"t{number}" for number in range(len(names)) for _ in range(3)]
    assert {uri for _, uri in found if uri.startswith("file:")} == {
        f"file://{quote(str(path))}" for path in tmp_path.rglob("note.*") if path.suffix in (".txt", ".json")
    }


def test_without_outlets_nothing_is_emitted():
    """A context of no events is no error."""
    emit_asset_events({}, [Asset("s3://bucket/x")], LineageRecord())


@pytest.mark.parametrize("audio", [None, "", "None"])
def test_openlineage_hears_of_recording_files_and_cost(emulator, wav, files, run_task, audio):
    """Inputs, outputs and a facet with model, minutes and cost; what it holds is JSON."""
    pytest.importorskip("airflow.providers.openlineage")
    from openlineage.client.serde import Serde

    result, _, operator = done(wav, files, run_task, audio=audio)
    found = operator.get_openlineage_facets_on_complete(None)
    assert [(one.namespace, one.name) for one in found.inputs] == [("file", str(wav))]
    assert [(one.namespace, one.name) for one in found.outputs] == [named(uri) for uri in result["files"].values()]
    facet = json.loads(Serde.to_json(found.run_facets["nanostt_transcription"]))
    assert (facet["model"], facet["cost_usd"]) == (ASYNC, result["cost_usd"])
    assert facet["charged_minutes"] == result["charged_minutes"]


@pytest.mark.parametrize("deferrable", [False, True])
def test_openlineage_hears_of_the_folders_of_a_batch(emulator, wav, files, run_task, deferrable):
    """Thousands of recordings are few folders, also for the process that resumes; the manifest is the output."""
    pytest.importorskip("airflow.providers.openlineage")
    made = []

    def make():
        made.append(
            TranscribeBatchOperator(
                task_id="t", audio=[str(wav), {"audio": str(wav), "language": "en"}], model=ASYNC, poll_interval=0.1,
                output_path=str(files.folder), deferrable=deferrable, max_worker_wait=0,
            )
        )  # fmt: skip
        return made[-1]

    result = run_task(make, files.context())
    found = made[-1].get_openlineage_facets_on_complete(None)
    assert [(one.namespace, one.name) for one in found.inputs] == [("file", str(wav.parent))]
    assert [(one.namespace, one.name) for one in found.outputs] == [named(result["manifest"]["jsonl"])]


def test_openlineage_and_an_alias_hear_of_the_tables_of_a_batch(emulator, wav, files, run_task):
    """Each file of rows and the batch's chunks, beside the manifest; also of a batch that one recording has failed."""
    pytest.importorskip("airflow.providers.openlineage")
    pytest.importorskip("pyarrow")
    made, events, alias = [], OutletEventAccessors(), AssetAlias("transcripts")

    def make(*more):
        made.append(
            TranscribeBatchOperator(
                task_id="t", audio=[str(wav), *more], model=ASYNC, poll_interval=0.1, output_path=str(files.folder),
                tables=("segments", "words", "chunks"), outlets=[alias],
            )
        )  # fmt: skip
        return made[-1]

    result = run_task(make, {**files.context(), "outlet_events": events})
    written = [result["manifest"]["jsonl"], *result["tables"].values()]
    assert len(written) == 4
    found = made[-1].get_openlineage_facets_on_complete(None)
    assert [(one.namespace, one.name) for one in found.outputs] == [named(uri) for uri in written]
    assert [uri for uri, _ in events_of(events[alias])] == [plain(uri) for uri in written]
    with pytest.raises(AirflowFailException, match="1 of 2 recordings have no transcript"):
        make(str(wav.parent / "none.wav")).execute(files.context())
    found = made[-1].get_openlineage_facets_on_failure(None)
    assert [(one.namespace, one.name) for one in found.outputs] == [named(uri) for uri in written]
    assert found.run_facets["nanostt_transcription"].next_step


def test_openlineage_hears_nothing_of_a_task_that_has_not_ended():
    """There are no facets yet."""
    assert TranscribeOperator(task_id="t", audio="x.wav").get_openlineage_facets_on_complete(None) is None
