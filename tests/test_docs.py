"""The documentation: its code runs, its names exist, nothing public is left out, its messages are those of the code."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import inspect
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import airflow_provider_nanostt as package
from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Job, Submission
from airflow_provider_nanostt.api.transport import Client
from airflow_provider_nanostt.common.object_storage import resolve
from airflow_provider_nanostt.emulator import Emulator, Fault, Script, Settings
from airflow_provider_nanostt.emulator.__main__ import parser
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.ledger import SUBMITTED, Entry, FileStore, TaskIdentity
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from airflow_provider_nanostt.outputs import CaptionStyle, format_transcript, schema
from airflow_provider_nanostt.sensors import TranscriptionSensor
from airflow_provider_nanostt.triggers import TranscriptionTrigger
from airflow_provider_nanostt.workflow.batch.manifest_row import ENDS, Row

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {str(page.relative_to(ROOT)): page.read_text() for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))}
AUDIO = ROOT / "example_dags" / "audio"
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
QUOTE = re.compile(r"<!-- begin (\S+) -->\n```python\n(.*?)```\n<!-- end -->", re.DOTALL)
NEWER = "airflow_provider_nanostt.retry_policy"


class Block(NamedTuple):
    """A piece of Python on a page; ``note`` is the comment right before it."""

    page: str
    line: int
    code: str
    note: str


def blocks() -> Iterator[Block]:
    """Return the Python of all pages, less the example DAGs, which are compared with their files instead."""
    for page, text in PAGES.items():
        for found in FENCE.finditer(text):
            if found[2] != "python":
                continue
            before = text[: found.start()].rstrip().rpartition("\n")[2]
            if not before.startswith("<!-- begin"):
                code = "\n".join(line.removeprefix(found[1]) for line in found[3].splitlines()) + "\n"
                yield Block(page, text.count("\n", 0, found.start()) + 2, code, before)


def prose(text: str) -> str:
    return FENCE.sub("", text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_often: None) -> Iterator[Emulator]:
    """What the code on the pages finds: an account, a recording, a transcript and a record of a paid job."""
    (tmp_path / "note.wav").write_bytes((AUDIO / "weekly-note.wav").read_bytes())
    monkeypatch.chdir(tmp_path)
    with Emulator(processing_seconds=0.02, speed=100.0) as emulator:
        emulator.script("*", text="Good morning.", duration=12.0)
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", emulator.connection_json)
        monkeypatch.setenv("NANOGPT_API_KEY", emulator.api_key)
        monkeypatch.setenv("NANOGPT_URL", emulator.url)
        with Client(Config(emulator.api_key, emulator.url)) as client:
            job = client.send(endpoints.submit(Submission("https://example.com/call.mp3", "Elevenlabs-STT")))
        assert isinstance(job, Job)
        time.sleep(0.05)
        TranscriptionSensor(task_id="wait", job=job.to_json(), output_path=str(tmp_path / "transcripts")).poke({})
        (tmp_path / "transcripts" / "call.json").rename(tmp_path / "transcripts" / "note.json")
        entry = Entry(SUBMITTED, "0" * 32, "call.mp3", job.model, time.time(), job=job, cost=job.cost)
        store = FileStore(resolve(str(tmp_path / "transcripts")), TaskIdentity("calls", "transcribe", "manual__1"))
        store.save(entry.to_json(), is_open=True, verify=True)
        yield emulator


@pytest.mark.parametrize("block", [pytest.param(block, id=f"{block.page}:{block.line}") for block in blocks()])
def test_code_on_the_pages_runs(block: Block, place: Emulator, monkeypatch):
    """Every block is complete in itself: it runs as it stands, tests in it included."""
    code = compile(block.code, f"{block.page}:{block.line}", "exec")
    if block.note.startswith("<!-- compiled only"):
        return
    if block.note.startswith("<!-- needs airflow.sdk.RetryPolicy") and not has_retry_policies():
        pytest.skip("this Airflow has no retry policies")
    if "from airflow.sdk import" in block.code:
        pytest.importorskip("airflow.sdk", reason="Airflow 2.11")
    space: dict[str, Any] = {"__name__": "page"}
    exec(code, space)
    for name, function in list(space.items()):
        if name.startswith("test_"):
            offered = {"nanogpt_emulator": place, "monkeypatch": monkeypatch}
            place.reset()
            function(**{wanted: offered[wanted] for wanted in inspect.signature(function).parameters})


def test_quoted_files_are_the_files():
    """An example on a page is its file, and every example is on some page."""
    quoted = {}
    for page, text in PAGES.items():
        assert len(QUOTE.findall(text)) == text.count("<!-- begin ") == text.count("<!-- end -->"), page
        for path, code in QUOTE.findall(text):
            assert code == (ROOT / path).read_text(), f"{page} does not quote {path} as it is"
            quoted[path] = page
    assert sorted(quoted) == sorted(f"example_dags/{file.name}" for file in (ROOT / "example_dags").glob("*.py"))


def test_links_lead_somewhere():
    """Every relative link names a file that is there, and a heading that is in it."""
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            path = ((ROOT / page).parent / file).resolve() if file else ROOT / page
            assert path.exists(), f"{page} links to {target}"
            if anchor:
                assert anchor in anchors(path.read_text()), f"{page} links to {target}"


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_has_every_page():
    """Whoever reads docs/README.md finds all of docs/."""
    linked = set(re.findall(r"\]\((\w+\.md)\)", PAGES["docs/README.md"]))
    assert linked == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


def parameters(thing: Any) -> set[str]:
    found = inspect.signature(getattr(thing, "__wrapped__", thing)).parameters.values()
    return {one.name for one in found if one.kind != one.VAR_KEYWORD and one.name != "self"}


@functools.cache
def sources() -> dict[str, str]:
    """Return the text of every module of the package, by its path in it; nothing is imported for that."""
    (root,) = map(Path, package.__path__)
    return {str(file.relative_to(root)): file.read_text() for file in sorted(root.rglob("*.py"))}


def has_retry_policies() -> bool:
    try:
        from airflow.sdk import RetryPolicy  # noqa: F401
    except ImportError:
        return False
    return True


def named(path: str) -> Any:
    """Return what a dotted path names; None for what needs a newer Airflow.

    :raises AttributeError: if there is no such thing.
    """
    if path.startswith(NEWER) and not has_retry_policies():
        return None
    parts = path.split(".")
    for split in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            thing = getattr(thing, part)
        return thing
    raise AttributeError(path)


DOCUMENTED = {
    "docs/operators.md": [TranscribeOperator.__init__],
    "docs/batch.md": [TranscribeBatchOperator.__init__],
    "docs/sensors.md": [TranscriptionSensor.__init__],
    "docs/triggers.md": [TranscriptionTrigger.__init__],
    "docs/hooks.md": [
        NanoGPTHook.__init__,
        *(getattr(NanoGPTHook, name) for name in ("submit", "wait", "transcribe", "wait_until", "usage")),
    ],
    "docs/api.md": [Config.__init__, Submission.__init__],
    "docs/outputs.md": [CaptionStyle.__init__, format_transcript],
    "docs/emulator.md": [Settings.__init__, Fault.__init__, Script.__init__],
}


@pytest.mark.parametrize("page", DOCUMENTED)
def test_every_argument_is_on_its_page(page):
    """Nobody has to read the code to learn which arguments there are."""
    wanted = set().union(*map(parameters, DOCUMENTED[page])) - {"args", "kwargs"}
    assert wanted - ticked(page) == set()


def test_the_tables_of_arguments_name_no_others():
    """What stands in the first column of the operator's and the sensor's table is an argument of theirs."""
    for page, kind in (("docs/operators.md", TranscribeOperator), ("docs/sensors.md", TranscriptionSensor)):
        table = PAGES[page].partition("\n## Arguments\n")[2].partition("\n## ")[0]
        named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
        assert named - parameters(kind.__init__) - {"poke_interval", "timeout"} == set()


def test_the_marked_arguments_are_the_templated_ones():
    """A T in the table is a template field, and the other way round."""
    for page, kind in (("docs/operators.md", TranscribeOperator), ("docs/sensors.md", TranscriptionSensor)):
        marked = set(re.findall(r"^\| `(\w+)` \| [^|]*\| T \|", PAGES[page], re.MULTILINE))
        assert {"output_location" if name == "output" else name for name in marked} == set(kind.template_fields)


def test_every_key_of_the_file_is_on_its_page():
    """The page has what the schema of the JSON file has, and the defaults of the reading rules."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGES["docs/outputs.md"], re.MULTILINE))
    assert {name: float(value) for name, value in rows.items() if name != "version"} == asdict(CaptionStyle())
    keys = {*schema()["properties"], *schema()["properties"]["words"]["items"]["properties"]}
    assert keys - ticked("docs/outputs.md") == set()


def test_every_method_of_the_hook_is_on_its_page():
    """The page lists what the hook can do."""
    own = {name for name, value in vars(NanoGPTHook).items() if inspect.isfunction(value) and name[0] != "_"}
    assert own - ticked("docs/hooks.md") == set()


def test_the_fields_of_the_connection_are_on_its_page():
    """Every extra of the form is explained under the name that the form shows."""
    form = package.get_provider_info()["connection-types"][0]["conn-fields"]
    for name, field in form.items():
        assert f"| extra `{name}` | {field['label']} |" in PAGES["docs/hooks.md"]
        assert f"`{name}`" in PAGES["README.md"]


def test_every_exception_is_explained():
    """Each class of the tree is on the page of errors, and each of those that are raised has its row."""
    kinds = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGES["docs/errors.md"], re.MULTILINE))
    assert set(kinds) - ticked("docs/errors.md") == set()
    assert set(kinds) - rows == {"NanoGPTError", "TransportError", "Refused"}
    assert rows <= set(kinds)


def test_the_manifest_is_explained():
    """The page of batches has every column of a row, and every status one can have in the end."""
    page = PAGES["docs/batch.md"].partition("\n## The manifest\n")[2].partition("\n## ")[0]
    columns, _, statuses = page.partition("| status |")
    first = {
        name for row in re.findall(r"^\| (`.*?) \|", columns, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert first == {field.name for field in dataclasses.fields(Row)}
    assert re.findall(r"^\| `(\w+)` \|", statuses, re.MULTILINE) == list(ENDS)


def test_every_metric_is_explained():
    """The page of polling has the metrics that are sent, and no others."""
    source = sources()["poller.py"]
    sent = set(re.findall(r"_meter\.\w+\(\"(\w+)\"", source)) | set(re.findall(r"_counts\[\"(\w+)\"\]", source))
    told = set(re.findall(r"^\| `nanostt\.(\w+)` \|", PAGES["docs/polling.md"], re.MULTILINE))
    assert sent == told


def test_every_option_of_the_emulator_is_explained():
    """The page has the command's options, and no others."""
    options = {name for action in parser()._actions for name in action.option_strings if name.startswith("--")}
    told = {name for row in re.findall(r"^\| (`--.*?) \|", PAGES["docs/emulator.md"], re.MULTILINE)
            for name in re.findall(r"`(--[\w-]+)`", row)}  # fmt: skip
    assert options - {"--help"} == told


def test_every_handle_of_the_emulator_is_explained():
    """The page lists what tests can do with an emulator; what only its server needs is left out."""
    from airflow_provider_nanostt.emulator import EmulatorControl

    handles = {name for name in vars(EmulatorControl) if not name.startswith("_")} - {"health"}
    assert handles - ticked("docs/emulator.md") == set()


def ticked(page: str) -> set[str]:
    """Return every word in code font on a page."""
    return {word for span in spans(page) for word in re.findall(r"[A-Za-z_]\w*", span)}


def spans(page: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(PAGES[page]))


# Names that are not ours: Airflow's, Python's, the service's, those of the commands.
FOREIGN = {
    "ARGS", "AirflowFailException", "False", "KEEP", "ONLY", "ObjectStoragePath", "PYTHON", "True",
    "ValueError", "WHOLE", "XCom", "airflow", "anywhere", "both_ends", "clear_on_success", "conftest", "dag", "dag_run",
    "default_deferrable", "execution_timeout", "keep_task_state", "max_active_runs", "max_active_tis_per_dag",
    "operators", "pyproject", "retries", "retry_delay",
    "soft_fail", "state_store", "test", "timedelta", "tojson", "toml",
}  # fmt: skip


@functools.cache
def vocabulary() -> set[str]:
    """Return every name that the code has: modules, classes, functions, members, parameters, keys."""
    names: set[str] = set()
    for name, text in sources().items():
        names.update(re.findall(r"\w+", name))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.arg | ast.keyword):
                names.add(node.arg or "")
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.update(node.value.split(".") if re.fullmatch(r"[\w.]+", node.value) else ())
    return names


@pytest.mark.parametrize("page", PAGES)
def test_names_in_code_font_exist(page):
    """A module, class, parameter or field that a page names is in the code; a path is in the tree."""
    known = vocabulary() | FOREIGN
    for span in spans(page):
        if re.fullmatch(r"[\w.-]+/[\w./<>*-]*", span) and not span.startswith(("//", "api/")):
            pattern = span.replace("<module>", "*").replace("<package>", "*").rstrip("/")
            made = (".venv", ".envs", "benchmarks/RESULTS.md")  # by the commands
            assert span.startswith(made) or list(ROOT.glob(pattern)), f"{page}: no {span}"
        elif span.startswith("make "):
            target = span.split()[1]
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{page}: no {span}"
        elif span.startswith("airflow_provider_nanostt."):
            named(span)
        elif re.fullmatch(r"[A-Za-z_][\w.]*(\(.*\))?(=.*)?", span):
            head = re.split(r"[(=]", span)[0]
            unknown = set(head.split(".")) - known
            assert not unknown, f"{page}: nothing is called {span}"


def test_dotted_names_exist():
    """`Class.member` on a page is a member of that class."""
    modules = {name for page in PAGES for name in spans(page) if re.fullmatch(r"airflow_provider_nanostt[\w.]*", name)}
    public = {name: value for module in modules for name, value in vars(named(module) or object).items()}
    looked_at = 0
    for page, text in PAGES.items():
        for owner, member in re.findall(r"`([A-Z]\w+)\.(\w+)", prose(text)):
            assert hasattr(public[owner], member), f"{page}: {owner}.{member}"
            looked_at += 1
    assert looked_at


@functools.cache
def messages() -> list[str]:
    """Return every text in the code, with ``…`` for what varies."""
    found = []
    for text in sources().values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[.\d]*[sdfr]", "…", node.value))
    return found


@pytest.mark.parametrize("page", ["docs/ledger.md"])
def test_quoted_messages_are_those_of_the_code(page):
    """Each message explained on the page is one that the code can say, piece by piece."""
    quoted = [" ".join(found.split()) for found in re.findall(r"^> (.*)$", PAGES[page], re.MULTILINE)]
    inline = re.findall(r"\"([^\"]+)\"", PAGES[page].partition("| in the middle |")[2].partition("\n\n")[0])
    assert len(quoted) > 25
    for message in [*quoted, *inline]:
        pieces = [piece.strip(" .;:,()") for piece in message.split("…")]
        for piece in filter(None, pieces):
            assert any(piece in text for text in messages()), f"{page}: nothing says {piece!r}"


def test_every_message_of_the_ledger_is_explained():
    """What the ledger's errors and an attempt's warnings begin with stands on the page."""
    quoted = " ".join(PAGES["docs/ledger.md"].split())
    for node in ast.walk(ast.parse(sources()["attempt.py"])):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("self._log.warning", "self._log.error"):
            text = node.args[0]
            assert isinstance(text, ast.Constant)
            pieces = [piece.strip(" .;:,()") for piece in re.split(r"%[.\d]*[sdfr]", str(text.value))]
            longest = max(pieces, key=len).partition(". ")[0]
            assert longest in quoted, f"docs/ledger.md does not explain {text.value!r}"


def test_the_table_of_the_readme_is_complete():
    """The first page names every class that a DAG author may use."""
    info = package.get_provider_info()
    listed = [
        name for kind in ("hooks", "operators", "sensors", "triggers") for name in info[kind][0]["python-modules"]
    ]
    for module in listed:
        for name, value in vars(importlib.import_module(module)).items():
            if inspect.isclass(value) and value.__module__ == module and not name.startswith("_"):
                assert f"`{name}`" in PAGES["README.md"], name


def test_the_record_on_the_page_is_a_record(place: Emulator):
    """What the page says of a record's form holds: it is JSON with a ticket in ``job``."""
    (file,) = Path("transcripts/.nanostt").glob("calls-transcribe-*.json")
    assert Job.from_json(json.loads(file.read_text())["job"]).run_id == place.charges[0].run_id
