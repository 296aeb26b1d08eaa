"""What is published: the wheel and the source distribution, and what GitHub reads of the repository."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lock
import pytest
import release_check
import versions
import yaml

from airflow_provider_nanostt import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_nanostt"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOSTS_THAT_EXIST = {"nano-gpt.com"}

pytestmark = pytest.mark.anywhere


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution of this tree."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return release_check.build(ROOT, tmp_path_factory.mktemp("dist"))


def test_the_wheel_has_the_package_and_the_examples_and_nothing_else(built):
    """All of its files are known to git: no tests, no scripts, and nothing that merely lay about, such as a key."""
    files = release_check.wheel_files(built[0])
    assert files == release_check.expected_wheel(release_check.tracked())
    assert {f"{PACKAGE}/py.typed", f"{PACKAGE}/example_dags/audio/weekly-note.wav"} <= files
    assert [name for name in files if not name.startswith(f"{PACKAGE}/") or "/tests/" in name] == []


def test_the_source_distribution_is_complete(built):
    """Whoever has it can build and test as from a checkout."""
    files = release_check.sdist_files(built[1])
    assert files == release_check.expected_sdist(release_check.tracked())
    assert {"Makefile", "hatch_build.py", "tests/test_packaging.py", "requirements/dev.lock"} <= files


def test_the_examples_in_the_wheel_are_those_of_the_checkout(built):
    """One source: byte by byte, recordings included, and small enough to be in every installation."""
    with zipfile.ZipFile(built[0]) as wheel:
        for path in (ROOT / "example_dags").rglob("*.*"):
            name = path.relative_to(ROOT).as_posix()
            if "__pycache__" not in name:
                assert wheel.read(f"{PACKAGE}/{name}") == path.read_bytes(), name
    assert built[0].stat().st_size < release_check.MAX_WHEEL_BYTES


def test_importing_everything_imports_no_example(built, tmp_path: Path):
    """Examples are found by Airflow, as DAG files; nothing of the package leads to them."""
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(tmp_path)
    code = f"""
import importlib, pkgutil, sys
import {PACKAGE} as package
names = [one.name for one in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
assert package.__file__.startswith({str(tmp_path)!r}), package.__file__
print([name for name in [*names, *sys.modules] if "example" in name])
"""
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr[-2000:]


def test_an_editable_install_has_no_copy_of_the_examples(tmp_path: Path):
    """There they are in the checkout; a copy would grow old."""
    code = f"from hatchling.build import build_editable; print(build_editable({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(tmp_path / done.stdout.strip().splitlines()[-1]) as wheel:
        assert [name for name in wheel.namelist() if "example" in name] == []


def test_the_bill_of_materials_is_of_that_wheel(built):
    """It says which version it describes, and which bytes."""
    component: dict[str, Any] = {"name": "airflow-provider-nanostt"}
    release_check.name_wheel(component, built[0])
    assert component["version"] == __version__
    assert component["purl"] == f"pkg:pypi/airflow-provider-nanostt@{__version__}"
    assert component["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(built[0].read_bytes()).hexdigest()}]


@pytest.mark.long
def test_the_same_tree_gives_the_same_bytes(built):
    """Elsewhere, at another time, with other permissions, and from the source distribution."""
    release_check.check_same(*built)


def test_addresses_in_the_metadata_exist():
    """None is made up: a host is added here when somebody has seen it."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert {urlsplit(url).hostname for url in urls.values()} <= HOSTS_THAT_EXIST


def test_the_citation_is_of_this_version():
    """Its version is the package's, and its author is the project."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == __version__
    assert cited["authors"] == [{"name": "The airflow-provider-nanostt project"}]


def test_the_versions_on_the_page_are_those_that_are_tested():
    """The page of compatibility has every Airflow of `make matrix` and every Python of the classifiers."""
    page = (ROOT / "docs" / "compatibility.md").read_text()
    rows = re.findall(r"^\| (\d\.\d+) \| (\S+) \|", page, re.MULTILINE)
    tested = [one.version for one in versions.read_versions()]
    assert rows == [(re.match(r"\d\.\d+", version)[0], version) for version in tested]
    assert f"| {', '.join(version for version, _ in release_check.pythons())} |" in page


def test_the_commits_of_contributing_are_in_the_history():
    """Whoever copies a command from the page gets that commit."""
    begins = re.findall(r"`git show ':/([^']+)'`", (ROOT / "CONTRIBUTING.md").read_text())
    if int(git("rev-list", "--count", "HEAD") or 0) < 500:
        pytest.skip("no history here")
    assert len(begins) == 3
    for begin in begins:
        assert git("show", "--no-patch", "--format=%s", f":/{begin}").startswith(begin)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout


LOCKS = sorted([*(ROOT / "requirements").glob("*.lock"), *(ROOT / "requirements").glob("*/package-lock.json")])


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.relative_to(ROOT / "requirements").as_posix())
def test_a_lock_names_packages_and_no_place_that_has_them(path: Path):
    """Whoever installs it does so from the index of their own choice."""
    text = path.read_text()
    if path.suffix == ".json":
        assert '"integrity": "sha512-' in text
        assert '"resolved"' not in text
    else:
        assert "--hash=sha256:" in text
        assert lock.FOREIGN.findall(text) == []


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


def targets(workflow: Path) -> set[str]:
    """Return the make targets that a workflow calls, those of its matrix included."""
    called = {
        found for step in steps(workflow) for found in re.findall(r"\bmake ([a-z][a-z0-9-]*)", step.get("run", ""))
    }
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        called |= {line.split()[0] for line in job.get("strategy", {}).get("matrix", {}).get("target", [])}
    return called


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_make_and_actions_that_cannot_move(workflow: Path):
    """Its targets exist, its actions are GitHub's own at a commit, it has no rights by default and no secrets."""
    text = workflow.read_text()
    assert targets(workflow) <= set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/(checkout|setup-python)@[0-9a-f]{40}", one) for one in used), used
    assert yaml.safe_load(text)["permissions"] == {}
    assert "secrets" not in text.replace("no stored secret", "")


def test_the_tests_of_a_push_are_those_of_a_change():
    """The workflow runs each step of .ci/run."""
    needed = set(re.findall(r"^step make (\S+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    assert needed <= targets(ROOT / ".github" / "workflows" / "tests.yml")


def test_the_nightly_workflow_runs_what_make_nightly_runs():
    """Every target of the one is in the other."""
    rule = (ROOT / "Makefile").read_text().partition("\nnightly:")[2].partition("\n.PHONY")[0]
    needed = set(re.findall(r"--no-print-directory (\S+)", rule))
    assert needed
    assert needed <= targets(ROOT / ".github" / "workflows" / "nightly.yml")


def test_help_describes_every_command_in_a_line():
    """Each command that somebody may want is listed with what it does, in columns, in at most 120 characters."""
    done = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = [line for line in done.stdout.splitlines() if line.startswith("  make ")]
    wanted = re.findall(r"^\.PHONY: ([a-z0-9-]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    described = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [line.split()[1] for line in listed] == described
    assert set(described) <= set(wanted)
    assert max(map(len, done.stdout.splitlines())) <= 120
