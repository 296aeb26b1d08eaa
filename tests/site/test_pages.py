"""The new pages say what is so: their figures are measured, their sentences short, their versions those of Airflow."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

import docs_drawing
import docs_words
import pytest

from airflow_provider_nanostt._compat import AIRFLOW, HAS_TABS, NEVER_EXPIRE, can_ask_people, conf, find

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def rows(page: str, first: str) -> list[list[str]]:
    """Return the rows of the table on a page whose header begins with a word."""
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = text.partition(f"\n| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert lines
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.anywhere
def test_sentences_are_short():
    """Half of all sentences of the documentation have at most 16 words."""
    pages = docs_words.by_page()
    assert len(pages) > 40
    assert median(count for counts in pages.values() for count in counts) <= 16


@pytest.mark.anywhere
@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("One two. Three four five? Six!", [2, 3, 1]),
        ("- one two\n- three\n\n1. four five six", [2, 1, 3]),
        ("# No heading\n\n| no | table |\n|---|---|\n\n```python\nno = code\n```\n\nBut [this](page.md) here.", [3]),
        ("A line that is\nwrapped once.", [6]),
    ],
)
def test_words_are_counted_as_a_reader_does(text, counts):
    """Code, tables and headings are no sentences; a line's end is not a sentence's."""
    assert docs_words.sentences(text) == counts


@pytest.mark.anywhere
@pytest.mark.parametrize("row", rows("explanation/waiting.md", "question"), ids=lambda row: row[0])
def test_each_figure_of_waiting_was_measured(row):
    """It is in the results of the benchmark that the row names."""
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))["figures"]
    _, script, figures = row
    said = " ".join(f"{found['beside']} {found['ours']}" for found in results[script]["rows"])
    for figure in figures.split(", "):
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.])", said), f"{figure} is not in {script}: {said}"


@pytest.mark.airflow
def test_the_table_of_versions_is_that_of_this_airflow():
    """Each row says what this Airflow can do; `make matrix` asks every other one."""
    header = (DOCS / "airflow-versions.md").read_text(encoding="utf-8").partition("\n| what |")[2].partition("\n")[0]
    column = [cell.strip() for cell in header.strip("|").split("|")].index(".".join(map(str, AIRFLOW))) + 1
    said = {row[0]: row[column] for row in rows("airflow-versions.md", "what")}
    can = {
        "a record without `output_path`": NEVER_EXPIRE is not None,
        "recordings that arrive start DAGs": find("AssetWatcher") is not None and AIRFLOW >= (3, 1),
        "a person is asked": can_ask_people(),
        "the tab *Transcript*": HAS_TABS,
        "the retry policy": has_retry_policies(),
    }
    assert {what: said[what] for what in can} == {what: "yes" if able else "no" for what, able in can.items()}
    assert said["examples as they stand"] == ("no" if AIRFLOW < (3,) else "yes" if can_ask_people() else "most")
    assert {said[what] for what in said if what not in [*can, "examples as they stand"]} == {"yes"}


@pytest.mark.airflow
def test_what_to_set_exists_on_the_airflow_that_is_named():
    """Triggerers have queues from 3.2 on, and a clear removes a task's state, unless it is kept, from 3.4 on."""
    said = {row[1]: row[0] for row in rows("airflow-versions.md", "on")}
    (queues,) = (on for what, on in said.items() if "`[triggerer] queues_enabled`" in what)
    (cleared,) = (on for what, on in said.items() if "if you clear tasks" in what)
    assert queues.startswith("3.2 and newer")
    assert conf.has_option("triggerer", "queues_enabled") == (AIRFLOW >= (3, 2))
    assert cleared == "3.4"
    assert ("keep_task_state" in fields_of_a_clear()) == (AIRFLOW >= (3, 4))


def fields_of_a_clear() -> dict[str, object]:
    """Return what Airflow's API takes in a request that clears tasks; nothing on 2.11, whose API is another one."""
    if AIRFLOW < (3,):
        return {}
    from airflow.api_fastapi.core_api.datamodels.task_instances import ClearTaskInstancesBody

    return dict(ClearTaskInstancesBody.model_fields)


def has_retry_policies() -> bool:
    try:
        import airflow_provider_nanostt.retry_policy  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.anywhere
def test_every_page_has_its_place_on_the_site():
    """The navigation in mkdocs.yml names each page of docs/ once, and none that is not made."""
    named = re.findall(r": ((?:[\w-]+/)*[\w-]+\.md)$|- ((?:[\w-]+/)*README\.md)$", SITE, re.MULTILINE)
    names = [one or other for one, other in named]
    made = {"code-of-conduct.md", "contributing.md", "changelog.md", "security-policy.md", "results.md"}
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert len(names) == len(set(names))
    assert {name for name in names if not name.startswith("reference/")} - made == written


@pytest.mark.anywhere
def test_a_picture_shows_each_step_and_says_it_aloud():
    """It is one line of well-formed SVG, has every word of its text, and a label for those who do not see it."""
    drawn = docs_drawing.draw("Task | NanoGPT\nTask -> NanoGPT: submit <now>\nnote: it costs\nNanoGPT -x Task: ticket")
    assert "\n" not in drawn
    root = ElementTree.fromstring(drawn)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Task", "NanoGPT", "submit <now>", "it costs", "ticket"]
    (svg,) = root
    assert "submit <now>" in svg.attrib["aria-label"]


@pytest.mark.anywhere
@pytest.mark.parametrize("line", ["Task -> Nobody: submit", "Task NanoGPT", "Task -> NanoGPT"])
def test_a_picture_of_somebody_unknown_is_refused(line):
    """A slip in a picture's text ends the build, and is not drawn."""
    with pytest.raises(ValueError, match="a step is"):
        docs_drawing.draw(f"Task | NanoGPT\n{line}")


@pytest.mark.anywhere
@pytest.mark.parametrize("page", sorted(page.name for page in (DOCS / "how-to").glob("*.md")))
def test_each_task_has_an_example_or_code(page):
    """A how-to page shows something that runs: an example DAG, a block of code or a command."""
    text = (DOCS / "how-to" / page).read_text(encoding="utf-8")
    assert re.search(r"\]\(\.\./\.\./example_dags/\w+\.py\)|^ *```|`nanostt ", text, re.MULTILINE)


@pytest.mark.anywhere
def test_the_plots_show_what_was_measured(monkeypatch):
    """Each is drawn from the results as they are, is well-formed, and has every figure in words."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    plots = importlib.import_module("plots")
    figures = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))["figures"]
    drawn = plots.plots(figures)
    assert drawn == {name: (DOCS / "pictures" / name).read_text(encoding="utf-8") for name in drawn}
    shown = {name: " ".join(ElementTree.fromstring(text).itertext()) for name, text in drawn.items()}
    ours, *_ = figures["cpu_per_poll"]["rows"][0]["ours"].split(";")
    assert ours in shown["polls.svg"]
    assert "3,000 jobs" in shown["lag.svg"]
    assert "282 s" in shown["slots.svg"]


@pytest.mark.anywhere
def test_every_picture_is_small_and_is_shown_with_words():
    """A page shows each picture, and says what is on it; none has more than 150 kB."""
    shown = [
        found
        for page in DOCS.rglob("*.md")
        for found in re.findall(r"!\[([^\]]*)\]\((?:\.\./)?pictures/([\w.-]+)\)", page.read_text(encoding="utf-8"))
    ]
    pictures = {file.name: file.stat().st_size for file in (DOCS / "pictures").iterdir()}
    assert {name for _, name in shown} == set(pictures)
    assert all(len(words.split()) > 5 for words, _ in shown)
    assert max(pictures.values()) < 150_000
