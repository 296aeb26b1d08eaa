"""Counts how the package is built: rooms, arrows, circles, layers, lines, uses of ``Any``, and functions on the way.

    scripts/architecture.py [CHECKOUT ...] [--check] [--json]

Each checkout is measured by its own interpreter (``CHECKOUT/.venv/bin/python``), so that one run compares two of them;
without one it is this checkout. ``--check`` ends with 1 if this checkout is beyond one of the limits.

What is counted
    room        a module or package directly below the package; the package's own ``__init__`` is none.
    arrow       a pair of rooms of which one imports the other, in the linter's own graph (grimp), imports for type
                checking included.
    circle      rooms, or modules, each of which imports each other by some way (a strongly connected component).
    layer       a line in the ``layers`` of the import-linter's contract.
    line        a physical line of a ``.py`` file; the emulator's are left out, as they are for ``Any``.
    function    one of the package's that is entered on the way from ``execute`` down to a leaf, until the task defers,
                for one recording at a URL, its results in a folder. Leaves are all rooms that decide or send and know
                nothing of a workflow (``api``, ``audio``, ``common``, ``connection``, ``ledger``, ``lineage``,
                ``links``, ``metrics``, ``outputs``, ``polling``); what they call is below them and does not count.
                ``deeper``: only ``api``, ``common``, ``polling`` and the ledger's stores are leaves. ``resumed``: with
                those entered from the trigger's event to the result. Comprehensions and generated code do not count.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import importlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace
from typing import Any

PACKAGE = "airflow_provider_nanostt"
HERE = Path(__file__).resolve().parent.parent
LOWEST = ("api", "common", "polling", "ledger/stores", "storage", "signed_urls")
"""The last two are what ``common`` was before there was one."""

LEAVES = (*LOWEST, "audio", "connection", "ledger", "lineage", "links", "metrics", "outputs")

LIMITS = {
    "rooms": 24,
    "arrows": 80,
    "circles of rooms": 0,
    "circles of modules": 0,
    "layers": 7,
    "Any": 120,
    "functions": 40,
}
LARGEST = 8

Counts = dict[str, Any]


def graph_counts(checkout: Path) -> Counts:
    """Return what the import graph says."""
    import grimp

    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=False, cache_dir=None)
    modules = {
        module: {other for other in graph.find_modules_directly_imported_by(module) if other != module}
        for module in graph.modules
    }
    rooms: dict[str, set[str]] = {room.rpartition(".")[2]: set() for room in graph.find_children(PACKAGE)}
    for module, imported in modules.items():
        ours = room_of(module)
        if ours:
            rooms[ours] |= {room_of(other) for other in imported} - {ours, ""}
    return {
        "rooms": len(rooms),
        "arrows": sum(map(len, rooms.values())),
        "circles of rooms": circles(rooms),
        "circles of modules": circles(modules),
        "layers": layers(checkout),
    }


def room_of(module: str) -> str:
    """Return the room a module is in; empty for the package itself."""
    return f"{module}.".split(".")[1]


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one member."""
    reached = {start: reachable(graph, start) for start in graph}
    found = {frozenset(other for other in reached[one] if one in reached[other]) for one in graph}
    return sorted(sorted(circle) for circle in found if len(circle) > 1)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return everything that can be reached, the start only if it can."""
    found: set[str] = set()
    left = [start]
    while left:
        for other in graph.get(left.pop(), ()):
            if other not in found:
                found.add(other)
                left.append(other)
    return found


def layers(checkout: Path) -> int:
    """Return how many lines the contract of layers has."""
    settings = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return max(len(contract["layers"]) for contract in contracts if contract["type"] == "layers")


def source_counts(checkout: Path) -> Counts:
    """Return what the sources say, the emulator's left out."""
    folder = checkout / PACKAGE
    lines, uses, sizes = {}, 0, {}
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if name.startswith("emulator/"):
            continue
        text = path.read_text(encoding="utf-8")
        lines[name] = len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            uses += isinstance(node, ast.Name) and node.id == "Any"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                sizes[f"{name}:{node.lineno} {node.name}"] = (node.end_lineno or node.lineno) - node.lineno + 1
    return {
        "modules": len(lines),
        "lines": sum(lines.values()),
        "Any": uses,
        "largest modules": largest(lines),
        "largest functions": largest(sizes),
    }


def largest(sizes: dict[str, int]) -> list[str]:
    """Return the largest, with their lines."""
    return [f"{size:4} {name}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:LARGEST]]


class Entered:
    """The package's functions that are entered while it is watched, above the leaves."""

    def __init__(self, folder: Path, leaves: tuple[str, ...]) -> None:
        self.functions: set[str] = set()
        self._leaves = leaves
        self._folder = f"{folder}{os.sep}"
        self._known: dict[CodeType, tuple[str, bool]] = {}
        self._below: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Take in a call or a return, as ``sys.setprofile`` reports it."""
        if self._below is not None:
            if event == "return" and frame is self._below:
                self._below = None
            return
        if event != "call":
            return
        name, is_leaf = self._look(frame.f_code)
        if is_leaf:
            self._below = frame
        elif name:
            self.functions.add(name)

    def _look(self, code: CodeType) -> tuple[str, bool]:
        if code not in self._known:
            ours = code.co_filename.startswith(self._folder)
            place = code.co_filename.removeprefix(self._folder).removesuffix(".py") if ours else ""
            is_leaf = any(place == leaf or place.startswith(f"{leaf}/") for leaf in self._leaves)
            named = ours and (not code.co_name.startswith("<") or code.co_name == "<lambda>")
            self._known[code] = (f"{place}.{code.co_qualname}" if named else "", is_leaf)
        return self._known[code]

    @contextlib.contextmanager
    def watching(self) -> Any:
        """Watch this thread for the length of a block."""
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)


def way_counts(checkout: Path) -> Counts:
    """Transcribe one recording at a URL, deferrable, and return which functions were entered on the way."""
    from airflow_provider_nanostt.emulator import Emulator

    os.environ["NO_PROXY"] = "*"
    with Emulator(processing_seconds=0.05, recogniser="none") as service, tempfile.TemporaryDirectory() as folder:
        service.script("*", text="Good morning.", duration=60.0)
        os.environ["AIRFLOW_CONN_NANOGPT_DEFAULT"] = service.connection_json
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            once(folder, "warm-up", LOWEST, checkout)  # imports, and what is made once for a process
            until, resumed = once(folder, "leaves", LEAVES, checkout)
            deeper, deeper_resumed = once(folder, "lowest", LOWEST, checkout)
    return {
        "functions": sorted(until),
        "... resumed": sorted(until | resumed),
        "... deeper": sorted(deeper),
        "... deeper, resumed": sorted(deeper | deeper_resumed),
    }


def once(folder: str, run_id: str, leaves: tuple[str, ...], checkout: Path) -> tuple[set[str], set[str]]:
    """Run the task once: ``execute``, the trigger, the resume; return the functions of the first and of the last."""
    from airflow_provider_nanostt.operators import TranscribeOperator

    named = inspect.signature(TranscribeOperator.__init__).parameters
    arguments: dict[str, Any] = {
        "audio_url": f"https://192.0.2.7/{run_id}.mp3",
        "model": "Elevenlabs-STT",
        "deferrable": True,
        "output_path" if "output_path" in named else "output": f"{folder}/{run_id}",
        "max_worker_wait" if "max_worker_wait" in named else "defer_after": 0,
    }
    ti = SimpleNamespace(dag_id="d", task_id="transcribe", run_id=run_id, map_index=-1, max_tries=0, try_number=1)
    context: Any = {"ti": ti}
    until, resumed = (Entered(checkout / PACKAGE, leaves) for _ in range(2))
    operator = TranscribeOperator(task_id="transcribe", **arguments)
    try:
        with until.watching():
            operator.execute(context)
    except BaseException as deferred:
        if type(deferred).__name__ != "TaskDeferred":
            raise
        event = fire(deferred.trigger)  # type: ignore[attr-defined]
        again = TranscribeOperator(task_id="transcribe", **arguments)
        resume = getattr(again, deferred.method_name)  # type: ignore[attr-defined]
        with resumed.watching():
            resume(context, event=event)
        return until.functions, resumed.functions
    raise RuntimeError("it did not defer")


def fire(trigger: Any) -> Any:
    """Run a trigger that has been stored, and return the payload of its event."""
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    kept = json.loads(json.dumps(kwargs))
    again = getattr(importlib.import_module(module), name)(
        **{**kept, **({"not_before": 0.0} if "not_before" in kept else {})}
    )

    async def collect() -> list[Any]:
        return [event async for event in again.run()]

    (event,) = asyncio.run(collect())
    return json.loads(json.dumps(event.payload))


def measure(checkout: Path) -> Counts:
    """Count everything of the checkout whose interpreter this is."""
    sys.path.insert(0, str(checkout))
    return {**graph_counts(checkout), **source_counts(checkout), **way_counts(checkout)}


def measured(checkout: Path) -> Counts:
    """Count everything of a checkout, by its own interpreter."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": ""}
        done = subprocess.run(
            [str(checkout / ".venv" / "bin" / "python"), __file__, "--measure", str(checkout)],
            cwd=home, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"architecture: {checkout} cannot be measured:\n{done.stderr[-4000:]}")
    counts: Counts = json.loads(done.stdout.splitlines()[-1])
    return counts


def number(value: Any) -> int:
    """Return a count; of a list how many."""
    return len(value) if isinstance(value, list) else int(value)


def show(counts: dict[str, Counts]) -> None:
    """Print the counts side by side, and the details of the last checkout."""
    names = list(counts)
    print(f"{'':20}{''.join(f'{Path(name).name:>14}' for name in names)}{'limit':>10}")
    for row in (
        "rooms",
        "arrows",
        "circles of rooms",
        "circles of modules",
        "layers",
        "modules",
        "lines",
        "Any",
        "functions",
        "... resumed",
        "... deeper",
        "... deeper, resumed",
    ):
        cells = "".join(f"{number(counts[name][row]):>14,}" for name in names)
        print(f"{row:20}{cells}{LIMITS.get(row, ''):>10}")
    last = counts[names[-1]]
    for title in ("circles of rooms", "circles of modules"):
        for circle in last[title]:
            print(f"{title[:-1]}: {' '.join(circle)}")
    for title in ("largest modules", "largest functions"):
        print(f"\n{title}")
        print("\n".join(last[title]))


def main() -> None:
    """Measure, print, and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="end with 1 beyond the limits")
    parser.add_argument("--way", action="store_true", help="name the functions on the way from execute to the leaves")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    counts = {str(path): measured(path) for path in [one.resolve() for one in given.checkouts] or [HERE]}
    if given.json:
        print(json.dumps(counts, indent=1))
    else:
        show(counts)
        if given.way:
            print("\n" + "\n".join(next(reversed(counts.values()))["... resumed"]))
    last = next(reversed(counts.values()))
    beyond = [
        f"{name}: {number(last[name])}, limit {limit}" for name, limit in LIMITS.items() if number(last[name]) > limit
    ]
    if given.check and beyond:
        sys.exit("architecture: beyond the limits: " + "; ".join(beyond))


if __name__ == "__main__":
    main()
