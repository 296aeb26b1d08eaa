"""Runs the unit suite against every supported Airflow, each in an environment of its own under ``.envs/``.

What is tested is the wheel that users get, installed in each environment, not the source tree: Python's safe path and
pytest's importlib mode keep the tree out of ``sys.path``, and the run fails if the package came from there all the
same. Every version also has to list the provider. One line a version, two versions at a time.

The version of the development environment is left to ``make unit``, and so are the tests with the marks ``anywhere``
and ``once``, which have nothing to do with Airflow's version. Those with the mark ``both_ends``, which take time, run
on the oldest only; those with the mark ``long`` are left to the night. With ``--ends`` only the oldest and the newest
version are tried, as before each change; with ``--whole`` everything runs everywhere, as at night.
``newest`` in place of a version is what the index has today, pre-releases included: its dependencies are resolved anew,
and not kept.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lock import lock_newest
from versions import NEWEST, ROOT, AirflowVersion, read_versions

ENVS = ROOT / ".envs"
DISTRIBUTION = "airflow-provider-nanostt"
AT_ONCE = int(os.environ.get("JOBS", "2"))
FOREIGN = ("AIRFLOW_", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MAKE", "MFLAGS")
PARALLEL = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")  # the oldest has twice as much to do as others
TIMEOUT = 3600  # seconds for one step of one version; every test on one takes half of that


class StepFailedError(Exception):
    """A step ended with an error, or not at all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one version did: what to say about it, and its log if it failed."""

    version: str
    ok: bool
    text: str
    seconds: float


class Run:
    """The steps for one version, all writing into one log.

    :param without: marks of the tests that are left out.
    """

    def __init__(self, version: AirflowVersion, wheel: Path, *, without: tuple[str, ...] = ()) -> None:
        self.version = version
        self.without = without
        self.wheel = wheel
        self.env = ENVS / version.version
        self.log = ENVS / f"{version.version}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.variables = {
            **clean,
            "AIRFLOW_HOME": str(self.env / "home"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONSAFEPATH": "1",
            "PATH": f"{self.env / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }

    def step(self, *command: str, timeout: float = TIMEOUT) -> str:
        """Run a command, its output also in the log, and return the output."""
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=self.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise StepFailedError(f"`{Path(command[0]).name}` did not end within {timeout:g} s") from error
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}\n")
        if done.returncode:
            raise StepFailedError(closing_line(done.stdout) or f"`{Path(command[0]).name}` exited {done.returncode}")
        return done.stdout

    def prepare(self) -> None:
        """Bring the environment up to its lock, with the wheel in it and a fresh database."""
        folder = str(self.env.relative_to(ROOT))
        self.step("scripts/bootstrap.sh", "env", folder, str(self.version.lock.relative_to(ROOT)))
        uv = subprocess.run(["scripts/bootstrap.sh", "uv"], cwd=ROOT, capture_output=True, text=True, check=True)
        self.step(
            uv.stdout.strip(), "pip", "install", "--quiet", "--python", folder, "--no-deps", "--no-index",
            "--compile-bytecode", "--reinstall-package", DISTRIBUTION, str(self.wheel),
        )  # fmt: skip
        self.step("scripts/bootstrap.sh", "clean-db", folder)

    def check(self) -> str:
        """Run the suite, have Airflow list the provider, and return the suite's closing line."""
        python = str(self.env / "bin" / "python")
        origin = self.step(python, "-c", "import airflow_provider_nanostt as package; print(package.__file__)")
        if not Path(origin.strip().splitlines()[-1]).is_relative_to(self.env):
            raise StepFailedError(f"the package under test is not the wheel: {origin.strip()}")
        # The path is made safe by the variable, so that what the tests start is safe as well.
        tests = self.step(
            python, "-m", "pytest", "tests", "--ignore=tests/e2e", "--ignore=tests/distributed",
            "--import-mode=importlib", "-p", "no:cacheprovider", "--durations=10", *PARALLEL,
            *(["-m", f"not ({' or '.join(self.without)})"] if self.without else []),
        )  # fmt: skip
        listed = self.step(str(self.env / "bin" / "airflow"), "providers", "list", "--output", "plain", timeout=120)
        if DISTRIBUTION not in listed:
            raise StepFailedError("`airflow providers list` does not show the provider")
        return closing_line(tests)

    def __call__(self) -> Outcome:
        """Do it all."""
        began = time.monotonic()
        self.log.unlink(missing_ok=True)
        try:
            self.prepare()
            text, ok = self.check(), True
        except StepFailedError as error:
            text, ok = str(error), False
        return Outcome(self.version.version, ok, text, time.monotonic() - began)


def closing_line(output: str) -> str:
    """Return what pytest says at the end, such as ``12 passed in 3.4s``."""
    found = re.findall(r"^=+ (.*\d+ (?:passed|failed|error).*?) =+$", output, re.MULTILINE)
    return found[-1] if found else ""


def left_out(version: AirflowVersion, known: list[AirflowVersion]) -> tuple[str, ...]:
    """Return the marks of the tests that need not run on a version."""
    always = ("anywhere", "once", "long")
    return always if version == known[0] else (*always, "both_ends")


def build_wheel() -> Path:
    """Build the wheel from the source tree and return its path."""
    folder = ENVS / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"matrix: the wheel could not be built:\n{done.stdout}{done.stderr}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> None:
    """Run all versions, or those that are named; exit with 1 if one fails."""
    whole, ends = ("--whole" in sys.argv[1:]), ("--ends" in sys.argv[1:])
    wanted = [argument for argument in sys.argv[1:] if argument not in ("--whole", "--ends")]
    known = read_versions()
    if ends:
        wanted += [known[0].version, known[-1].version]
    if NEWEST in wanted:
        uv = subprocess.run(["scripts/bootstrap.sh", "uv"], cwd=ROOT, capture_output=True, text=True, check=True)
        known.append(lock_newest(uv.stdout.strip(), datetime.now(UTC).date().isoformat()))
    versions = [one for one in known if (one.version in wanted if wanted else whole or not one.dev)]
    if not versions:
        sys.exit(f"matrix: none of {', '.join(wanted)} is in requirements/airflow.txt")
    wheel = build_wheel()
    runs = [Run(version, wheel, without=() if whole else left_out(version, known)) for version in versions]
    runs.sort(key=lambda run: len(run.without))  # the longest first, so that the last ones end together
    failed = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for run, outcome in zip(runs, pool.map(lambda run: run(), runs), strict=True):
            mark = "ok    " if outcome.ok else "FAILED"
            print(f"Airflow {outcome.version:8} {mark} {outcome.text}  [{outcome.seconds:.0f} s]", flush=True)
            if not outcome.ok:
                failed.append(outcome.version)
                lines = run.log.read_text(encoding="utf-8").splitlines()[-60:]
                print("\n".join(f"    {line}" for line in lines), flush=True)
    if failed:
        sys.exit(f"matrix: failed on Airflow {', '.join(failed)}; the logs are .envs/VERSION.log")
    print(f"matrix: the provider works on Airflow {', '.join(version.version for version in versions)}")


if __name__ == "__main__":
    main()
