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
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import airflow_provider_nanostt as package
from airflow_provider_nanostt.api import endpoints, errors
from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.config import Config
from airflow_provider_nanostt.api.models import Job, Submission
from airflow_provider_nanostt.api.transport import Client
from airflow_provider_nanostt.common.object_storage import resolve
from airflow_provider_nanostt.emulator import Emulator, Fault, Script, Settings
from airflow_provider_nanostt.emulator.__main__ import parser
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.ledger import FileStore, Record, TaskIdentity, record
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator, YouTubeTranscribeOperator
from airflow_provider_nanostt.operators.options import (
    ApprovalOptions,
    AudioPreparation,
    CostLimits,
    OutputOptions,
    RecoveryPolicy,
)
from airflow_provider_nanostt.outputs import CaptionStyle, ChunkRules, format_transcript, schema
from airflow_provider_nanostt.sensors import TranscriptionSensor
from airflow_provider_nanostt.triggers import TranscriptionTrigger
from airflow_provider_nanostt.workflow import scripts
from airflow_provider_nanostt.workflow.batch import manifest_row

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {str(page.relative_to(ROOT)): page.read_text() for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))}
PAGES["CONTRIBUTING.md"] = (ROOT / "CONTRIBUTING.md").read_text()
PAGES = {str(page.relative_to(ROOT)): page.read_text() for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))}
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
    """The surroundings of the code on the pages: an account, a recording, a transcript and a record of a paid job."""
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
        paid = Record(record.SUBMITTED, "0" * 32, "call.mp3", job.model, time.time(), job=job, cost=job.cost)
        identity = TaskIdentity("calls", "transcribe", "manual__1")
        FileStore(resolve(str(tmp_path / "transcripts")), identity.file_name).save(paid.to_json(), is_open=True)
        yield emulator


@pytest.mark.parametrize("block", [pytest.param(block, id=f"{block.page}:{block.line}") for block in blocks()])
def test_code_on_the_pages_runs(block: Block, place: Emulator, monkeypatch):
    """Every block is complete in itself: it runs as it stands, tests in it included."""
    code = compile(block.code, f"{block.page}:{block.line}", "exec")
    if block.note.startswith("<!-- compiled only"):
        return
    needed = re.match(r"<!-- needs airflow\.sdk\.(\w+)", block.note)
    if needed and not hasattr(pytest.importorskip("airflow.sdk"), needed[1]):
        pytest.skip(f"this Airflow has no {needed[1]}")
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


def test_every_module_says_what_lives_there():
    """In a sentence at the least; a word that stands for one is not enough."""
    modules = sorted((ROOT / "airflow_provider_nanostt").rglob("*.py"))
    said = {module: ast.get_docstring(ast.parse(module.read_text())) or "" for module in modules}
    assert [str(module) for module, text in said.items() if len(text.split()) < 4] == []


def test_the_index_has_every_page():
    """Whoever reads docs/README.md, or that of a folder in it, finds all pages of the folder."""
    for index in (page for page in PAGES if page.startswith("docs/") and page.endswith("/README.md")):
        folder = Path(index).parent
        linked = set(re.findall(r"\]\(([\w-]+\.md)\)", PAGES[index]))
        assert linked == {Path(page).name for page in PAGES if Path(page).parent == folder} - {"README.md"}


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


OPTIONS: tuple[Any, ...] = (AudioPreparation, OutputOptions, RecoveryPolicy, CostLimits, ApprovalOptions)
TABLES: dict[str, Any] = {
    "docs/operators.md": TranscribeOperator,
    "docs/batch.md": TranscribeBatchOperator,
    "docs/youtube.md": YouTubeTranscribeOperator,
    "docs/sensors.md": TranscriptionSensor,
}
DOCUMENTED: dict[str, list[Any]] = {
    **{page: [kind.__init__] for page, kind in TABLES.items()},
    "docs/triggers.md": [TranscriptionTrigger.__init__],
    "docs/hooks.md": [
        NanoGPTHook.__init__,
        *(getattr(NanoGPTHook, name) for name in ("submit", "wait", "wait_until", "as_completed", "youtube", "usage")),
        *(getattr(scripts, name) for name in ("transcribe", "estimate", "estimate_list")),
    ],
    "docs/api.md": [Config.__init__, Submission.__init__],
    "docs/outputs.md": [CaptionStyle.__init__, format_transcript],
    "docs/emulator.md": [Settings.__init__, Fault.__init__, Script.__init__],
}


@pytest.mark.parametrize("page", DOCUMENTED)
def test_every_argument_is_on_its_page(page):
    """Nobody has to read the code to learn which arguments there are."""
    wanted = set().union(*map(parameters, DOCUMENTED[page])) - {"args", "kwargs", "service"}
    assert wanted - ticked(page) == set()


@pytest.mark.parametrize("page", TABLES)
def test_the_tables_of_arguments_name_no_others(page):
    """The first column of the tables has arguments of the operator or sensor, or fields of its options."""
    fields = {field.name for kind in OPTIONS for field in dataclasses.fields(kind)}
    every_sensor = {"poke_interval", "timeout"} if page == "docs/sensors.md" else set()
    assert set(tabled_arguments(page)) - parameters(TABLES[page].__init__) - fields - every_sensor == set()


@pytest.mark.parametrize("page", TABLES)
def test_the_marked_arguments_are_the_templated_ones(page):
    """A T in a table of arguments stands for a template field; the tables of operator and sensor have all of them."""
    fields = set(TABLES[page].template_fields)
    marks = {name: mark for name, mark in tabled_arguments(page).items() if mark is not None}
    assert {name for name, mark in marks.items() if mark} == fields & set(marks)
    if page != "docs/batch.md":  # which has a table of its own arguments only
        assert fields <= set(marks)


def tabled_arguments(page: str) -> dict[str, bool | None]:
    """Return the arguments and fields in the tables of a page, each with its mark; None in a table without marks."""
    found: dict[str, bool | None] = {}
    for table in tables(PAGES[page]):
        header = cells(table[0])
        if header[0] not in ("argument", "field"):
            continue
        for row in table[2:]:
            for name in re.findall(r"`(\w+)`", cells(row)[0]):
                found[name] = cells(row)[header.index("T")] == "T" if "T" in header else None
    return found


def test_every_option_has_a_row_with_its_default():
    """The page of operators has a table for each group, with the fields of the group and their defaults."""
    for kind in OPTIONS:
        rest = PAGES["docs/operators.md"].partition(f"\n`{kind.__name__}`, for `")[2]
        rows = [cells(row) for row in tables(rest)[0][2:]]
        said = {name.strip("`"): ast.literal_eval(default.strip("`")) for name, default, _ in rows}
        assert said == {field.name: field.default for field in dataclasses.fields(kind)}


def test_the_defaults_in_the_tables_are_those_of_the_code():
    """A default in a table of arguments that is written as Python is the argument's default."""
    compared = 0
    for page, kind in TABLES.items():
        known = inspect.signature(kind.__init__).parameters
        for table in tables(PAGES[page]):
            if cells(table[0])[:2] != ["argument", "default"]:
                continue
            for name, default, *_ in map(cells, table[2:]):
                found = re.fullmatch(r"`([^`\[]+)`", default)
                if found and name.strip("`") in known:
                    assert ast.literal_eval(found[1]) == known[name.strip("`")].default, f"{page}: {name}"
                    compared += 1
    assert compared > 30


def test_every_key_of_the_file_is_on_its_page():
    """The page has what the schema of the JSON file has, and the defaults of the reading rules."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGES["docs/outputs.md"], re.MULTILINE))
    defaults = asdict(CaptionStyle()) | asdict(ChunkRules())
    assert {name: float(value) for name, value in rows.items() if name != "version"} == defaults
    properties: Any = schema()["properties"]
    keys = {*properties, *properties["words"]["items"]["properties"]}
    assert keys - ticked("docs/outputs.md") == set()


def test_every_method_of_the_hook_is_on_its_page():
    """The page lists what the hook can do."""
    own = {name for name, value in vars(NanoGPTHook).items() if inspect.isfunction(value) and name[0] != "_"}
    assert own - ticked("docs/hooks.md") == set()


def test_every_call_of_the_client_is_on_its_page():
    """The table has each endpoint with its arguments, and no other."""
    calls = {
        f"{name}({', '.join(inspect.signature(value).parameters)})"
        for name, value in vars(endpoints).items()
        if inspect.isfunction(value) and name[0] != "_" and value.__module__ == endpoints.__name__
    }
    assert set(re.findall(r"^\| `endpoints\.(.+?)` \|", PAGES["docs/api.md"], re.MULTILINE)) == calls


def test_the_fields_of_the_connection_are_on_its_page():
    """Every extra of the form is explained under the name that the form shows."""
    form = package.get_provider_info()["connection-types"][0]["conn-fields"]
    for name, field in form.items():
        assert f"| extra `{name}` | {field['label']} |" in PAGES["docs/hooks.md"]


def test_every_exception_is_explained():
    """Each class of the tree is on the page of errors, and each of those that are raised has its row."""
    kinds = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    (table,) = (table for table in tables(PAGES["docs/errors.md"]) if cells(table[0])[0] == "exception")
    rows = {cells(row)[0].strip("`") for row in table[2:]}
    assert set(kinds) - ticked("docs/errors.md") == set()
    assert set(kinds) - rows == {"NanoGPTError", "TransportError", "ApiError"}
    assert rows <= set(kinds)


def test_the_manifest_is_explained():
    """The page of batches has every column of a row, and every status one can have in the end."""
    page = PAGES["docs/batch.md"].partition("\n## The manifest\n")[2].partition("\n## ")[0]
    columns, _, statuses = page.partition("| status |")
    first = {
        name for row in re.findall(r"^\| (`.*?) \|", columns, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert first == {field.name for field in dataclasses.fields(manifest_row.ManifestRow)}
    assert re.findall(r"^\| `(\w+)` \|", statuses, re.MULTILINE) == list(manifest_row.ENDS)
    assert words(manifest_row) <= ticked("docs/batch.md") | {manifest_row.RUN_ID_SEPARATOR}


def test_every_state_of_a_record_is_explained():
    """The page of the ledger has a row for each state, and says for each what the next attempt does."""
    states = words(record)
    assert len(states) == 7
    page = PAGES["docs/ledger.md"]
    written, _, after = page.partition("\n## What the next attempt does\n")
    rows = re.findall(r"^\| `(\w+)` \|", written.partition("\n## What is recorded, and when\n")[2], re.MULTILINE)
    assert sorted(rows) == sorted(states)
    (follows, *_) = tables(after)
    assert states <= set(re.findall(r"`(\w+)`", "\n".join(cells(row)[0] for row in follows)))


def words(module: Any) -> set[str]:
    """Return the words that a module has as constants, such as states."""
    return {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}


def test_every_metric_is_explained():
    """The tables have the metrics that are sent, and no others."""
    sent = set()
    for text in sources().values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in ("incr", "gauge", "timing") and isinstance(node.args[0], ast.Constant):
                    sent.add(node.args[0].value)
            elif isinstance(node, ast.AugAssign):  # counted first, and sent later
                sent.update(re.findall(r"counts\['(\w+)'\]$", ast.unparse(node.target)))
    explained = {
        name
        for text in PAGES.values()
        for table in tables(text)
        for name in re.findall(r"^\| `nanostt\.(\w+)` \|", "\n".join(table), re.MULTILINE)
    }
    assert sent == explained


def test_the_layers_on_the_page_are_those_of_the_linter():
    """The page of development lists the layers that the linter keeps, in their order."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    kept = [sorted(re.findall(r"\w+", layer)) for layer in contracts[0]["layers"]]
    (table,) = (table for table in tables(PAGES["docs/development.md"]) if cells(table[0])[0] == "layer")
    assert [sorted(re.findall(r"`(\w+)`", cells(row)[1])) for row in table[2:]] == kept


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


# Names that are not ours: Airflow's, Python's, the service's, those of the commands and of the examples.
FOREIGN = {
    "ARGS", "AirflowFailException", "BEFORE", "DAG", "False", "JOBS", "KEEP", "ONLY", "ObjectStoragePath", "PYTHON",
    "True", "ValueError", "WAY", "WHOLE", "XCom", "airflow", "anywhere", "both_ends", "clear_on_success", "conftest",
    "ApprovalOperator", "COUNT", "DISTRIBUTED", "MINUTES", "TAB_SCREENSHOTS", "awaiting_input", "dag", "dag_run",
    "queue", "triggering_asset_events", "capabilities", "keyterms", "max_file_size_mb", "pricing",
    "supported_parameters", "my_package",
    "DocumentLoaderOperator", "JSONLoader", "JSONReader", "metadata_func",
    "default_deferrable", "execution_timeout", "keep_task_state", "long", "max_active_runs", "max_active_tis_per_dag",
    "once", "operators", "pool", "pyproject", "render_template_as_native_obj", "retries", "retry_delay",
    "soft_fail", "state_store", "test", "timedelta", "tojson", "toml",
    "STORE", "abfs", "aws", "connection_string", "endpoint", "gcs", "google_cloud_platform", "gs", "key_path",
    "keyfile_dict", "region_name", "s3", "shelf", "store", "tenant_id", "wasb", "OSError", "endpoint_url", "project",
    "on_failure_callback", "on_retry_callback", "AsyncCallback", "SyncCallback", "ChainRetryPolicy", "test_of_DATE",
    "do_xcom_push", "up_for_reschedule", "airflow_nanostt_jobs_waiting", "airflow_nanostt_noticed_within",
    "airflow_nanostt_noticed_within_bucket", "airflow_nanostt_polls", "airflow_nanostt_polls_total",
    "AirflowProviderDeprecationWarning", "hatch_build", "load_examples",
    "LATEST", "PORT", "VERSION", "NANOSTT_INBOX", "NANOSTT_OUTPUT",
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "http_proxy", "https_proxy", "no_proxy",
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


@functools.cache
def settable() -> set[str]:
    """Return every name that something can be given under: parameters, and fields of dataclasses."""
    names: set[str] = set()
    for text in sources().values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_names_in_code_font_exist(page):
    """A module, class, parameter or field that a page names is in the code; a path is in the tree or made."""
    known = vocabulary() | FOREIGN
    for span in spans(page):
        if re.fullmatch(r"[\w.-]+/[\w./<>*-]*", span) and not span.startswith(("//", "api/")):
            pattern = span.replace("<module>", "*").replace("<package>", "*").rstrip("/")
            made = (".venv", ".envs", "benchmarks/RESULTS.md", "airflow_provider_nanostt/example_dags")
            assert span.startswith(made) or span in KNOWN_MODELS or list(ROOT.glob(pattern)), f"{page}: no {span}"
        elif span.startswith("make "):
            target = span.split()[1]
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{page}: no {span}"
        elif span.startswith("airflow_provider_nanostt."):
            named(span)
        elif re.fullmatch(r"[A-Za-z_][\w.]*(\(.*\))?(=.*)?", span):
            head = re.split(r"[(=]", span)[0]
            unknown = set(head.split(".")) - known
            assert not unknown, f"{page}: nothing is called {span}"
            if re.fullmatch(r"[a-z_]+=.*", span):
                assert head in settable() | FOREIGN, f"{page}: nothing takes {span}"


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
                found.append(with_gaps(node.value))
    return [" ".join(text.split()) for text in found]


def logged(*packages: str, levels: tuple[str, ...] = ("info", "warning", "error", "exception")) -> dict[str, str]:
    """Return the constant messages that modules of some packages log, with ``…`` for what varies, and their modules."""
    found = {}
    for name, text in sources().items():
        if not any(Path(name).parent == Path(package) for package in packages):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels:
                (first, *_) = [*node.args, None]
                is_log = ast.unparse(node.func.value).lower().endswith("log")
                if is_log and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found[with_gaps(first.value)] = name
    return found


def with_gaps(text: str) -> str:
    return re.sub(r"%[.\d]*[sdfrg]", "…", text)


def literal(text: str) -> list[str]:
    """Return what does not vary in a message, piece by piece."""
    return [piece for part in text.split("…") if (piece := part.strip(" .;:,()"))]


def quotes(page: str) -> list[str]:
    """Return the messages that a page quotes: in block quotes, or in double quotes with ``…`` for what varies."""
    text = prose(PAGES[page])
    blocks = re.findall(r"^> (.*)$", text, re.MULTILINE)
    inline = [found for found in re.findall(r"\"([^\"`]+)\"", re.sub(r"`[^`\n]*`", "", text)) if "…" in found]
    causes = re.findall(r"\"([^\"]+)\"", text.partition("| in the middle |")[2].partition("\n\n")[0])
    return [" ".join(found.split()) for found in [*blocks, *inline, *causes]]


@pytest.mark.parametrize("page", PAGES)
def test_quoted_messages_are_those_of_the_code(page):
    """Each message on a page is one that the code can say, piece by piece."""
    assert page != "docs/ledger.md" or len(quotes(page)) > 40
    for message in quotes(page):
        for piece in literal(message):
            assert any(piece in text for text in messages()), f"{page}: nothing says {piece!r}"


@pytest.mark.parametrize("page", PAGES)
def test_quoted_log_lines_are_those_of_the_code(page):
    """Each line of a block marked as log is one of the code's messages, with values in it."""
    known = [
        re.compile(re.escape(text).replace("…", ".+"))
        for text in messages()
        if "…" in text and len("".join(literal(text))) >= 12
    ]
    lines = [line for found in FENCE.finditer(PAGES[page]) if found[2] == "log" for line in found[3].splitlines()]
    assert lines or page != "docs/audio.md"
    for line in lines:
        assert any(pattern.fullmatch(line.strip()) for pattern in known), f"{page}: nothing logs {line!r}"


@pytest.mark.parametrize(
    ("page", "packages", "at_least"),
    [("docs/ledger.md", ("workflow", "ledger"), 15), ("docs/batch.md", ("workflow/batch",), 3)],
)
def test_every_message_of_the_money_path_is_explained(page, packages, at_least):
    """A line that the workflow logs for people, as a warning or not, is on the page with its next step."""
    texts = {text: name for text, name in logged(*packages).items() if len("".join(literal(text))) >= 8}
    assert len(texts) >= at_least
    quoted = " ".join(quotes(page))
    for text, name in texts.items():
        missing = [piece for piece in literal(text) if piece.partition(". ")[0] not in quoted]
        assert not missing, f"{page} does not explain {text!r} of {name}: {missing}"


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_whole(page):
    """No row is cut off from its table by an empty line, and every row has as many cells as the header."""
    for table in tables(PAGES[page]):
        assert len(table) > 2, f"{page}: {table[0]}"
        assert re.fullmatch(r"\|(\s*:?-+:?\s*\|)+", table[1]), f"{page}: {table[0]} is not the header of a table"
        for row in table:
            assert row.endswith("|"), f"{page}: {row}"
            assert len(cells(row)) == len(cells(table[0])), f"{page}: {row}"


def tables(text: str) -> list[list[str]]:
    """Return the tables of a text, as lists of lines."""
    found = re.findall(r"^\|.*(?:\n\|.*)*", prose(text), re.MULTILINE)
    return [block.split("\n") for block in found]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip())[1:-1]]


def test_the_readme_is_short():
    """It has what to know before a first try, and leads to the rest."""
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_the_table_of_classes_is_complete():
    """The first page of the documentation names every class that a DAG author may use."""
    info = package.get_provider_info()
    listed = [
        name for kind in ("hooks", "operators", "sensors", "triggers") for name in info[kind][0]["python-modules"]
    ]
    for module in listed:
        for name, value in vars(importlib.import_module(module)).items():
            if inspect.isclass(value) and value.__module__.startswith(module) and not name.startswith("_"):
                assert f"`{name}`" in PAGES["docs/README.md"], name


def test_the_record_on_the_page_is_a_record(place: Emulator):
    """A record is JSON with the job in ``job``, as the page says."""
    (file,) = Path("transcripts/.nanostt").glob("calls-transcribe-*.json")
    assert Job.from_json(json.loads(file.read_text())["job"]).run_id == place.charges[0].run_id
