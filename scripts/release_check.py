"""Builds the wheel and the source distribution into ``dist/``, and looks at them as those do who get them.

``make release-check`` runs it, with the tools of ``requirements/release.lock``. Nothing here is published: that is the
workflow ``release.yml``, after this. Every step prints a line; the first that fails ends it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from versions import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

DIST = ROOT / "dist"
PACKAGE = "airflow_provider_nanostt"
DISTRIBUTION = "airflow-provider-nanostt"
EXAMPLES = "example_dags"
MAX_WHEEL_BYTES = 2_500_000
TOOLS = Path(sys.executable).parent
FOREIGN = ("AIRFLOW_", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS")

# Every example, parsed where pip has put it, on the newest Airflow that is final.
PARSE = """
import sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
print(len(bag.dags))
"""
# What no type checker may let pass, if it reads the types of the installed package.
MISTAKE = (
    f"from {PACKAGE}.operators import TranscribeOperator\n\nTranscribeOperator(task_id='a', audio='a.wav', model=3)\n"
)
# pyright knows neither the value behind a task's result nor the conversion of `params`: that is Airflow, not we.
AIRFLOWS_OWN = re.compile(r'^Argument of type "XComArg" cannot|to parameter "params" of type "ParamsDict"')
# Airflow 3.3 and newer shows the examples of providers by itself; the README says so.
LISTED = """
from airflow.dag_processing.bundles.manager import DagBundlesManager
print([one.name for one in DagBundlesManager().get_all_dag_bundles()])
"""
FOLDER = f"import {PACKAGE} as package; print(package.__path__[0])"


class CheckFailedError(Exception):
    """A step of the check failed; the text says which."""


def run(
    *command: str | Path, cwd: Path = ROOT, ok: tuple[int, ...] = (0,), env: Mapping[str, str] | None = None
) -> str:
    """Run a command in a clean environment and return what it prints.

    :param ok: the exit codes that are no error.
    :raises CheckFailedError: if it ends with another one; the text has its output.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**clean, **(env or {})}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in ok:
        raise CheckFailedError(f"`{' '.join(map(str, command))}` exited {done.returncode}:\n{done.stdout.rstrip()}")
    return done.stdout


def tracked() -> list[str]:
    """Return the paths of the files that git knows, which are all that may be published."""
    return [path for path in run("git", "ls-files", "-z").split("\0") if path and (ROOT / path).is_file()]


def build(source: Path, folder: Path, *, zone: str = "UTC") -> tuple[Path, Path]:
    """Build wheel and source distribution of a tree into a folder, without looking anything up."""
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=source, env={"TZ": zone})
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return wheel, sdist


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copy_tree(files: list[str], target: Path) -> None:
    """Copy files as another checkout would have them: other times, other permissions."""
    for name in files:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, path)
        path.chmod(0o700 if os.access(ROOT / name, os.X_OK) else 0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))


def check_same(wheel: Path, sdist: Path) -> None:
    """Build again elsewhere, and from the source distribution: the same bytes come out.

    :raises CheckFailedError: if they differ.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_tree(tracked(), folder / "copy")
        again = build(folder / "copy", folder / "again", zone="Asia/Kathmandu")
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = folder.glob("airflow_provider_nanostt-*")
        from_sdist = build(unpacked, folder / "from-sdist")
        for what, first, second in (
            ("two wheels", wheel, again[0]),
            ("two source distributions", sdist, again[1]),
            ("the wheel and that of the source distribution", wheel, from_sdist[0]),
        ):
            if digest(first) != digest(second):
                raise CheckFailedError(f"{what} differ: is a file in the tree that git does not know?")


def wheel_files(wheel: Path) -> set[str]:
    """Return what a wheel installs, less the metadata that every wheel has."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def sdist_files(sdist: Path) -> set[str]:
    """Return the paths in a source distribution, less the metadata that every one has."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    return names - {"PKG-INFO"}


def expected_wheel(files: list[str]) -> set[str]:
    """Return what belongs into the wheel: the package, and the examples inside of it."""
    own = {name for name in files if name.startswith(f"{PACKAGE}/")}
    return own | {f"{PACKAGE}/{name}" for name in files if name.startswith(f"{EXAMPLES}/")}


def expected_sdist(files: list[str]) -> set[str]:
    """Return what belongs into the source distribution: all that git knows but what pyproject.toml leaves out."""
    left_out = pyproject()["tool"]["hatch"]["build"]["targets"]["sdist"]["exclude"]
    return {name for name in files if not f"/{name}".startswith(tuple(f"{folder}/" for folder in left_out))}


def pyproject() -> dict[str, Any]:
    """Return pyproject.toml as it is."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def check_contents(what: str, found: set[str], expected: set[str]) -> None:
    """Compare the files of an archive with those that belong into it.

    :raises CheckFailedError: if there is more, or less.
    """
    if found != expected:
        more, less = sorted(found - expected), sorted(expected - found)
        raise CheckFailedError(f"{what} has {more or 'nothing'} too many, and {less or 'nothing'} is missing")


def pythons() -> Iterator[tuple[str, Path | None]]:
    """Name every Python that the classifiers promise, and where it is on this machine; None if it is not."""
    for classifier in pyproject()["project"]["classifiers"]:
        if found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier):
            yield found[1], interpreter(found[1])


def interpreter(version: str) -> Path | None:
    """Find a CPython of a version: on the PATH, or among those of pyenv, whose shims answer for one version only."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        if name is None:
            continue
        asked = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([name, "-c", asked], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return Path(name)
    return None


def install(version: str, python: Path, wheel: Path) -> Path:
    """Make a bare environment with what `pip install` brings, put the wheel into it, and return its interpreter."""
    env = ROOT / ".envs" / f"bare-{version}"
    run("scripts/bootstrap.sh", "env", env.relative_to(ROOT), "requirements/bare.lock", env={"PYTHON": str(python)})
    uv = run("scripts/bootstrap.sh", "uv").splitlines()[-1]
    run(uv, "pip", "install", "--quiet", "--python", env, "--no-deps", "--no-index", "--reinstall", wheel)
    run(uv, "pip", "check", "--python", env)  # what `pip check` looks at, without a pip in the environment
    return env / "bin" / "python"


def check_installed(python: Path) -> str:
    """Have Airflow find the provider and parse its examples, outside of the tree.

    :raises CheckFailedError: if it does not.
    """
    with tempfile.TemporaryDirectory() as home:
        outside = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
        }
        folder = Path(home)
        if DISTRIBUTION not in run("airflow", "providers", "get", DISTRIBUTION, cwd=folder, env=outside):
            raise CheckFailedError("`airflow providers get` does not show the provider")
        run("nanostt", "--help", cwd=folder, env=outside)
        shown = run(python, "-c", LISTED, cwd=folder, env={**outside, "AIRFLOW__CORE__LOAD_EXAMPLES": "True"})
        if f"'{DISTRIBUTION}-example-dags'" not in shown:
            raise CheckFailedError("Airflow does not list the example DAGs")
        package = run(python, "-c", FOLDER, cwd=folder, env=outside).strip().splitlines()[-1]
        dags = run(python, "-c", PARSE, f"{package}/{EXAMPLES}", cwd=folder, env=outside).strip().splitlines()[-1]
    return f"pip check, `airflow providers get`, {dags} example DAGs listed and parsed"


def check_types(python: Path) -> str:
    """Run both type checkers over the examples, and over a mistake, against the types of the installed wheel.

    :raises CheckFailedError: if one finds something in an example, or does not find the mistake.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in (ROOT / EXAMPLES).glob("*.py"):
            shutil.copy(file, folder)
        shutil.copy(ROOT / "pyproject.toml", folder)  # the same strictness as for the package itself
        examples = sorted(path.name for path in folder.glob("*.py"))
        (folder / "mistake.py").write_text(MISTAKE, encoding="utf-8")
        files = [*examples, "mistake.py"]
        # What an example imports beside Airflow and us, such as duckdb, is not in a bare environment.
        options = ("--cache-dir", os.devnull, "--disable-error-code", "import-not-found")
        said = run(TOOLS / "mypy", "--python-executable", python, *options, *files, cwd=folder, ok=(1,))
        found = {"mypy": re.findall(r"^(.*: error: .*)$", said, re.MULTILINE)}
        said = run(TOOLS / "pyright", "--outputjson", "--pythonpath", python, *files, cwd=folder, ok=(0, 1))
        found["pyright"] = [
            f"{Path(one['file']).name}: {one['message']}"
            for one in json.loads(said)["generalDiagnostics"]
            if one["severity"] == "error" and one.get("rule") != "reportMissingImports"
            if not AIRFLOWS_OWN.search(one["message"])
        ]
    for checker, errors in found.items():
        if len(errors) != 1 or not errors[0].startswith("mistake.py"):
            raise CheckFailedError(f"{checker} should find the mistake in mistake.py alone, and found {errors}")
    return f"mypy --strict and pyright: {len(examples)} examples without an error, a wrong argument found"


def write_sbom(python: Path, wheel: Path) -> Path:
    """Write the bill of materials beside the wheel: all that is in the bare environment, and what needs what."""
    target = wheel.with_suffix(".cdx.json")
    run(
        TOOLS / "cyclonedx-py", "environment", "--pyproject", ROOT / "pyproject.toml", "--mc-type", "library",
        "--output-reproducible", "--output-format", "JSON", "--output-file", target, python,
    )  # fmt: skip
    bom = json.loads(target.read_text(encoding="utf-8"))
    name_wheel(bom["metadata"]["component"], wheel)
    target.write_text(json.dumps(bom, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return target


def name_wheel(component: dict[str, Any], wheel: Path) -> None:
    """Say of a bill's subject which wheel it is: pyproject.toml, which the tool reads, has no version."""
    version = wheel.name.split("-")[1]
    component["version"] = version
    component["purl"] = f"pkg:pypi/{DISTRIBUTION}@{version}"
    component["hashes"] = [{"alg": "SHA-256", "content": digest(wheel)}]


def check() -> None:
    """Do it all."""
    shutil.rmtree(DIST, ignore_errors=True)
    wheel, sdist = build(ROOT, DIST)
    files = tracked()
    check_contents("the wheel", wheel_files(wheel), expected_wheel(files))
    check_contents("the source distribution", sdist_files(sdist), expected_sdist(files))
    for path in (wheel, sdist):
        print(f"{path.name}: {path.stat().st_size:,} bytes, sha256 {digest(path)}", flush=True)
    if wheel.stat().st_size > MAX_WHEEL_BYTES:
        raise CheckFailedError(f"the wheel has more than {MAX_WHEEL_BYTES:,} bytes")
    check_same(wheel, sdist)
    print("built again elsewhere and from the source distribution: the same bytes", flush=True)
    run(TOOLS / "twine", "check", "--strict", wheel, sdist)
    print("twine: metadata valid, the README renders", flush=True)
    installed = []
    for version, python in pythons():
        if python is None:
            print(f"Python {version}: not on this machine, not checked", flush=True)
            continue
        installed.append(install(version, python, wheel))
        print(f"Python {version}: {check_installed(installed[-1])}", flush=True)
    if not installed:
        raise CheckFailedError("no Python of those in pyproject.toml is on this machine")
    print(check_types(installed[0]), flush=True)
    sbom = write_sbom(installed[0], wheel)
    print(f"{sbom.name}: CycloneDX, {sbom.stat().st_size:,} bytes", flush=True)


def main() -> None:
    """Do it all; exit with 1 at the first that is wrong."""
    try:
        check()
    except CheckFailedError as error:
        sys.exit(f"release-check: {error}")
    print("release-check: everything is fit to be published")


if __name__ == "__main__":
    main()
