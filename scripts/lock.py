"""Compiles the locks under ``requirements/``: every package with its version and hashes, and nothing of this machine.

``make lock`` runs it. Addresses of package indexes and paths never reach the result; what does is checked before the
file is written.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from versions import NEWEST, REQUIREMENTS, ROOT, AirflowVersion, read_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

TEST_GROUPS = ("build", "e2e", "test")
DEV_GROUPS = (*TEST_GROUPS, "lint", "real")
BENCH_GROUPS = ("build", "store")
CLOUD_GROUPS = ("build", "test")
READER_GROUPS = ("build", "test")
DISTRIBUTED_GROUPS = ("build", "e2e", "store", "test")
FOREIGN = re.compile(
    r"https?:|file:|--(extra-)?index|--find-links|^[^#\n]* @ |/(home|root|tmp|work|opt)/", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock to be written: from which inputs, resolved against the index of which day."""

    target: Path
    date: str
    inputs: list[str]
    about: str


def clean_environment() -> dict[str, str]:
    """Return the environment without what could point uv at other packages than the public index's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "VIRTUAL_ENV"))}


def compile_lock(uv: str, lock: Lock) -> None:
    """Resolve one lock as of its date, for every CPython from 3.11 on, and write it."""
    command = [
        uv, "pip", "compile", "--quiet", "--no-config", "--universal", "--python-version", "3.11",
        "--no-python-downloads", "--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url",
        "--no-emit-find-links", "--exclude-newer", lock.date, *lock.inputs,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"lock: {lock.target.name} could not be resolved, see above")
    if leak := FOREIGN.search(done.stdout):
        sys.exit(f"lock: {lock.target.name} would contain {leak.group()!r}, which belongs to this machine only")
    header = f"# {lock.about}\n# Compiled by `make lock` from packages published by {lock.date}; not edited by hand.\n"
    lock.target.write_text(header + done.stdout, encoding="utf-8")
    print(f"{lock.target.relative_to(ROOT)}: {done.stdout.count('==')} packages")


def pin(version: AirflowVersion) -> str:
    """Return the requirements that hold Airflow at one version."""
    if version.version == NEWEST:  # a bound with a pre-release in it asks for pre-releases
        return "apache-airflow>=3.4.0b1\napache-airflow-core>=3.4.0b1\napache-airflow-task-sdk>=1.4.0b1\n"
    lines = [f"apache-airflow=={version.version}"]
    if re.search(r"[a-z]", version.version):
        # The parts of Airflow are named too: a pre-release is only taken where it is asked for by name.
        lines += [f"apache-airflow-core=={version.version}", "apache-airflow-task-sdk>=1.0.0b1"]
    return "\n".join(lines) + "\n"


def project_inputs(airflow: Path, groups: tuple[str, ...]) -> list[str]:
    """Return the arguments for the project itself, its emulator and ``groups``, on the Airflow named in a file."""
    wanted = [argument for group in groups for argument in ("--group", group)]
    extras = [
        argument
        for extra in ("emulator", *(("parquet",) if "real" in groups else ()))
        for argument in ("--extra", extra)
    ]
    return ["pyproject.toml", *extras, *wanted, str(airflow)]


def plan(folder: Path) -> Iterator[Lock]:
    """Name every lock there is; ``folder`` takes the input files."""
    versions = read_versions()
    newest = max(version.date for version in versions)
    yield Lock(REQUIREMENTS / "tools.lock", newest, ["requirements/tools.in"], "What sets everything else up.")
    about = "What `make release-check` and `make workflows` use: no Airflow."
    yield Lock(REQUIREMENTS / "release.lock", newest, ["--group", "release"], about)
    yield Lock(REQUIREMENTS / "docs.lock", newest, ["requirements/docs.in"], "What builds the site.")
    for version in versions:
        airflow = folder / f"{version.version}.in"
        airflow.write_text(pin(version), encoding="utf-8")
        about = f"The test environment on Airflow {version.version}."
        yield Lock(version.lock, version.date, project_inputs(airflow, (*TEST_GROUPS, *["s3"] * version.s3)), about)
        if version.dev:
            about = f"The development environment: Airflow {version.version}, the emulator, tests, linters."
            yield Lock(REQUIREMENTS / "dev.lock", version.date, project_inputs(airflow, DEV_GROUPS), about)
            about = (
                f"What `pip install` brings a user, and nothing else: Airflow {version.version} and the wheel's needs."
            )
            yield Lock(REQUIREMENTS / "bare.lock", version.date, ["pyproject.toml", str(airflow)], about)
            about = f"The benchmarks' environment: Airflow {version.version}, the emulator, providers to compare with."
            inputs = [*project_inputs(airflow, BENCH_GROUPS), "requirements/bench.in"]
            yield Lock(REQUIREMENTS / "bench.lock", version.date, inputs, about)
            about = f"The environment with every cloud's file system: Airflow {version.version}, the emulator, tests."
            inputs = [*project_inputs(airflow, CLOUD_GROUPS), "requirements/clouds.in"]
            yield Lock(REQUIREMENTS / "clouds.lock", version.date, inputs, about)
            about = f"The environment of `make readers`: Airflow {version.version}, readers of our formats, tests."
            inputs = [*project_inputs(airflow, READER_GROUPS), "requirements/readers.in"]
            yield Lock(REQUIREMENTS / "readers.lock", version.date, inputs, about)
            about = (
                f"The environment of `make distributed`: Airflow {version.version} with Celery, the emulator, tests."
            )
            inputs = [*project_inputs(airflow, DISTRIBUTED_GROUPS), "requirements/distributed.in"]
            yield Lock(REQUIREMENTS / "distributed.lock", version.date, inputs, about)


def lock_newest(uv: str, today: str) -> AirflowVersion:
    """Lock the newest Airflow of the index, pre-releases included; git does not keep that lock."""
    version = AirflowVersion(NEWEST, today, dev=False, s3=False)
    with tempfile.TemporaryDirectory() as folder:
        airflow = Path(folder) / "airflow.in"
        airflow.write_text(pin(version), encoding="utf-8")
        about = "The test environment on the newest Airflow of that day."
        compile_lock(uv, Lock(version.lock, today, project_inputs(airflow, TEST_GROUPS), about))
    return version


def main() -> None:
    """Compile all locks, or those whose file names are given."""
    uv, *only = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for lock in plan(Path(folder)):
            if not only or lock.target.name in only:
                compile_lock(uv, lock)


if __name__ == "__main__":
    main()
