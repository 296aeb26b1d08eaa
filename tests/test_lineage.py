"""What others hear of a finished task: asset events, with Airflow's own accessors, and OpenLineage facets."""

from __future__ import annotations

import json

import pytest

from airflow_provider_nanostt._compat import Asset, AssetAlias
from airflow_provider_nanostt.lineage import LineageRecord, emit_asset_events, named, plain
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
        ("file:///srv/a.json", "file:///srv/a.json"),
    ],
)
def test_an_address_is_without_secrets_and_connection(address, expected):
    """Others may read another way, and need no signature."""
    assert plain(address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://conn@bucket/a/b.json", ("s3://bucket", "a/b.json")),
        ("https://host.example/a.mp3?sig=x", ("https://host.example", "a.mp3")),
        ("s3://bucket/really?.mp3", ("s3://bucket", "really?.mp3")),
        ("s3://bucket", ("s3://bucket", "/")),
        ("/srv/a.json", ("file", "/srv/a.json")),
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


def test_an_announcement_that_fails_loses_no_transcript(emulator, wav, files, run_task, logged):
    """The task succeeds, and the log says what went wrong."""

    class Broken:
        def __getitem__(self, _):
            raise RuntimeError("nobody listens")

    def make():
        return TranscribeOperator(
            task_id="t", audio_path=str(wav), model=ASYNC, poll_interval=0.03, outlets=[Asset("s3://bucket/x")]
        )

    result = run_task(make, {**files.context(), "outlet_events": Broken()})
    assert result["transcription"] == TEXT
    assert any("Could not emit asset or lineage events" in line for line in logged())


def test_without_outlets_nothing_is_emitted():
    """A context of no events is no error."""
    emit_asset_events({}, [Asset("s3://bucket/x")], LineageRecord())


def test_openlineage_hears_of_recording_files_and_cost(emulator, wav, files, run_task):
    """Inputs, outputs and a facet with model, minutes and cost; what it holds is JSON."""
    pytest.importorskip("airflow.providers.openlineage")
    from openlineage.client.serde import Serde

    result, _, operator = done(wav, files, run_task)
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


def test_openlineage_hears_nothing_of_a_task_that_has_not_ended():
    """There are no facets yet."""
    assert TranscribeOperator(task_id="t", audio="x.wav").get_openlineage_facets_on_complete(None) is None
