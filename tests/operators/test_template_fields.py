"""Templated arguments: one name for argument, attribute and field; rendered in options too; dependencies are seen."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.decorators import TranscribeDecoratedOperator, transcribe_task
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator, YouTubeTranscribeOperator
from airflow_provider_nanostt.operators.options import AudioPreparation, CostLimits, OutputOptions, RecoveryPolicy
from airflow_provider_nanostt.sensors import TranscriptionSensor

pendulum = pytest.importorskip("pendulum")

SINGLE = {"task_id": "t", "audio": "call.wav"}
BATCH = {"task_id": "t", "audio": ["call.wav"], "output_path": "/results"}
VIDEOS = {"task_id": "t", "urls": ["https://www.youtube.com/watch?v=the-parcels"], "output_path": "/results"}

OPERATORS: dict[str, tuple[type, Any]] = {
    "TranscribeOperator": (TranscribeOperator, lambda **given: TranscribeOperator(**{**SINGLE, **given})),
    "TranscribeBatchOperator": (TranscribeBatchOperator, lambda **given: TranscribeBatchOperator(**{**BATCH, **given})),
    "YouTubeTranscribeOperator": (
        YouTubeTranscribeOperator,
        lambda **given: YouTubeTranscribeOperator(**{**VIDEOS, **given}),
    ),
    "TranscriptionSensor": (
        TranscriptionSensor,
        lambda **given: TranscriptionSensor(**{"task_id": "t", "run_id": "run-1", **given}),
    ),
    "@task.transcribe": (
        TranscribeDecoratedOperator,
        lambda **given: transcribe_task(lambda: "call.wav", task_id="t", **given)().operator,
    ),
}
GROUPS = {
    "audio_preparation": (AudioPreparation, "staging_path"),
    "output_options": (OutputOptions, "page_audio_url"),
    "recovery_policy": (RecoveryPolicy, "on_lost_job"),
    "cost_limits": (CostLimits, "unknown_length"),
}
GROUPS_OF = [
    (name, group) for name, (kind, _) in OPERATORS.items() for group in GROUPS if group in kind.template_fields
]


def arguments_of(kind: type) -> set[str]:
    """The named arguments of a class and of those it is made from."""
    signatures = [inspect.signature(one.__init__) for one in kind.__mro__ if "__init__" in vars(one)]
    return {name for signature in signatures for name in signature.parameters}


@pytest.mark.parametrize("name", OPERATORS)
def test_every_template_field_is_an_argument_of_the_same_name(name):
    """Airflow looks for a mapped task's dependencies in the arguments that are template fields, and nowhere else."""
    kind, make = OPERATORS[name]
    assert set(kind.template_fields) - arguments_of(kind) == set()
    assert len(set(kind.template_fields)) == len(kind.template_fields)
    made = make()
    assert [field for field in kind.template_fields if not hasattr(made, field)] == []


@pytest.mark.parametrize("name", OPERATORS)
def test_an_argument_is_the_attribute_of_its_name(name):
    """Each field gives back what it was given."""
    kind, make = OPERATORS[name]
    fields = set(kind.template_fields) - {"op_args", "op_kwargs", "templates_dict"}
    given = {field: {"on": field} if field in GROUPS else f"{{{{ params.{field} }}}}" for field in fields}
    made = make(**given)
    assert {field: getattr(made, field) for field in fields} == given


@pytest.mark.parametrize("form", ["dict", "dataclass", "JSON"])
@pytest.mark.parametrize(("name", "group"), GROUPS_OF)
def test_the_fields_of_options_are_templates(name, group, form):
    """However a group is given."""
    kind, field = GROUPS[group]
    value = "{{ params.value }}"
    options = {
        "dict": {field: value},
        "dataclass": kind(**{field: value}),
        "JSON": json.dumps({field: value}),
    }[form]
    made = OPERATORS[name][1](**{group: options})
    made.render_template_fields({"params": {"value": "rendered"}})
    rendered = getattr(made, group)
    assert (json.loads(rendered) if form == "JSON" else rendered)[field] == "rendered"


@pytest.mark.parametrize("form", ["dict", "dataclass", "JSON"])
def test_rendered_options_are_obeyed(emulator: Emulator, wav, tmp_path, form):
    """A flag, a mapping and a word that came through templates do what they say."""
    options = {"estimated_captions": "{{ params.guess }}", "speaker_names": '{"Speaker 1": "{{ params.who }}"}'}
    given = {"dict": options, "dataclass": OutputOptions(**options), "JSON": json.dumps(options)}[form]
    made = TranscribeOperator(
        task_id="t",
        audio_path=str(wav),
        model="Elevenlabs-STT",
        diarize="{{ params.guess }}",
        formats="{{ params.formats }}",
        output_path="{{ params.folder }}",
        output_options=given,
        cost_limits={"unknown_length": "{{ params.word }}"},
        poll_interval=0.05,
    )
    values = {"guess": "yes", "who": "Agent", "formats": "json,srt", "folder": str(tmp_path / "out"), "word": "fail"}
    made.render_template_fields({"params": values})
    result = made.execute({})
    assert result["speakers"] == ["Agent"]
    assert Path(result["files"]["srt"].removeprefix("file://")).read_text().endswith("arrived.\n")


def dag_class() -> Any:
    try:
        from airflow.sdk import DAG
    except ImportError:  # 2.11
        from airflow import DAG
    return DAG


def task_decorator() -> Any:
    try:
        from airflow.sdk import task
    except ImportError:  # 2.11
        from airflow.decorators import task
    return task


@pytest.fixture
def upstream():
    """Another task's output, inside a DAG."""
    with dag_class()(dag_id="dag", schedule=None, start_date=pendulum.datetime(2026, 1, 1)):

        @task_decorator()
        def folder():
            return "/results"

        yield folder()


@pytest.mark.parametrize("name", OPERATORS)
def test_another_tasks_output_is_a_dependency(upstream, name):
    """In any argument that is a template, also deep inside of options."""
    kind, make = OPERATORS[name]
    fields = [field for field in kind.template_fields if field not in ("op_args", "op_kwargs", "templates_dict")]
    for number, field in enumerate(fields):
        value = {GROUPS[field][1]: [upstream]} if field in GROUPS else upstream
        made = make(**{"task_id": f"t{number}", field: value}) if name != "@task.transcribe" else make(**{field: value})
        assert made.upstream_task_ids == {"folder"}, field


MAPPED: dict[str, Any] = {
    "TranscribeOperator": lambda **given: TranscribeOperator.partial(task_id="t", **given).expand(audio=["a.wav"]),
    "TranscribeBatchOperator": lambda **given: TranscribeBatchOperator.partial(
        task_id="t", **{"output_path": "/results", **given}
    ).expand(audio=[["a.wav"]]),
    "YouTubeTranscribeOperator": lambda **given: YouTubeTranscribeOperator.partial(
        task_id="t", **{"output_path": "/results", **given}
    ).expand(urls=[["https://www.youtube.com/watch?v=the-parcels"]]),
    "TranscriptionSensor": lambda **given: TranscriptionSensor.partial(task_id="t", **given).expand(run_id=["run-1"]),
    "@task.transcribe": lambda **given: (
        transcribe_task(lambda name: name, task_id="t", **given).expand(name=["a.wav"]).operator
    ),
}


@pytest.mark.parametrize("name", MAPPED)
def test_another_tasks_output_is_a_dependency_of_a_mapped_task(upstream, name):
    """The folder of a mapped task comes from upstream as often as its recordings do."""
    assert MAPPED[name](output_path=upstream).upstream_task_ids == {"folder"}


@pytest.mark.parametrize(("name", "group"), GROUPS_OF)
def test_another_tasks_output_in_options_is_a_dependency_of_a_mapped_task(upstream, name, group):
    """A dict is looked into."""
    made = MAPPED[name](**{group: {GROUPS[group][1]: upstream}})
    assert made.upstream_task_ids == {"folder"}


@pytest.mark.parametrize("group", GROUPS)
def test_another_tasks_output_in_an_option_dataclass_is_refused(upstream, group):
    """Airflow does not look into it: the task would run before its upstream, so the DAG says what to write instead."""
    kind, field = GROUPS[group]
    for value in (upstream, [upstream], {"deep": [upstream]}):
        with pytest.raises(TypeError, match=rf"{kind.__name__}\({field}=.*Use a dict"):
            kind(**{field: value})


# Arguments that an operator does not have


@pytest.mark.parametrize("deferrable", [True, False])
def test_videos_cannot_be_deferred(deferrable):
    """The service answers at once, and the DAG file says so when it is read."""
    with pytest.raises(TypeError, match=r"YouTubeTranscribeOperator has no argument 'deferrable': .* answers at once"):
        YouTubeTranscribeOperator(**VIDEOS, deferrable=deferrable)


def test_videos_in_a_dag_of_deferrable_tasks_are_as_they_are():
    """``default_args`` of a DAG are for those tasks that have the argument."""
    with dag_class()(
        dag_id="dag", schedule=None, start_date=pendulum.datetime(2026, 1, 1), default_args={"deferrable": True}
    ):
        assert YouTubeTranscribeOperator(**VIDEOS).urls == VIDEOS["urls"]
        assert TranscribeOperator(**{**SINGLE, "task_id": "another"}).deferrable is True


# Copies


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "@task.transcribe"])
def test_an_operator_can_be_copied_and_pickled(name):
    """As Airflow and its tests do."""
    kind, make = OPERATORS[name]
    made = make(output_options=OutputOptions(xcom_limit=1000))
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert {field: getattr(twin, field) for field in kind.template_fields} == {
            field: getattr(made, field) for field in kind.template_fields
        }


@pytest.mark.parametrize("value", ["soon", -1])
def test_a_wrong_argument_is_no_matter_of_parsing(emulator: Emulator, value):
    """It may be a template, so the task fails and not the DAG file."""
    made = TranscribeOperator(task_id="t", audio_url="https://example.com/a.mp3", max_cost_usd=value)
    with pytest.raises(AirflowFailException, match="max_cost_usd must be a"):
        made.execute({})
