"""Runs the benchmarks, writes RESULTS.md, draws the plots: ``make bench``, with ``ONLY="cpu_per_poll"`` some of them.

Those that measure this machine's time and memory run one after the other; those that wait for jobs most of the time run
together after them. With ONLY, the rows of the scripts named are replaced and the others stay. The quick form,
``QUICK=1``, shows that everything works, in a minute or two; its figures mean nothing and are not recorded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import machine
import plots

HERE = Path(__file__).resolve().parent
RESULTS, RECORDED = HERE / "RESULTS.md", HERE / "results.json"
ALONE = (
    "import_cost",
    "memory_per_trigger",
    "loop_lag",
    "handover",
    "cpu_per_poll",
    "compress",
    "compressed_words",
    "split",
    "durations",
    "child_process",
    "remote_duration",
    "formats_3h",
    "page",
    "transcript_tab",
    "batch_memory",
    "tables",
    "many_items",
    "batch_submit_rate",
    "one_key",
    "batch_vs_mapped",
    "second_night",
    "watched_folder",
    "lag_by_jobs",
)
TOGETHER = ("jobs_1000", "three_triggerers")
IN_TABLE = (
    "cpu_per_poll",
    "memory_per_trigger",
    "loop_lag",
    "handover",
    "jobs_1000",
    "lag_by_jobs",
    "import_cost",
    "three_triggerers",
    "one_key",
    "compress",
    "compressed_words",
    "split",
    "durations",
    "child_process",
    "remote_duration",
    "batch_vs_mapped",
    "batch_submit_rate",
    "batch_memory",
    "tables",
    "many_items",
    "second_night",
    "watched_folder",
    "formats_3h",
    "page",
    "transcript_tab",
)


def measure(name: str, *, quick: bool) -> dict[str, Any]:
    """Run one script and return its rows, with the moment they were measured at."""
    began, when = time.monotonic(), machine.now()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(rows), *(["--quick"] if quick else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        print(f"=== {name} [{time.monotonic() - began:.0f} s]\n{done.stdout}", flush=True)
        if done.returncode:
            raise SystemExit(f"bench: {name} broke")
        return {**when, "rows": json.loads(rows.read_text())}


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("; ", ";<br>")


def render(machine_is: dict[str, str], recorded: dict[str, Any]) -> str:
    """Return RESULTS.md."""
    verdicts = {True: "yes", False: "**no**", None: "-"}
    lines = [
        "# What was measured",
        "",
        "Written by `make bench`, not edited by hand. How a figure is measured stands in the script beside it.",
        "",
        *(f"- {name}: {value}" for name, value in machine_is.items()),
        "",
        "| figure | script | others, or what it is compared with | this provider | to reach | reached |",
        "|---|---|---|---|---|---|",
    ]
    ordered = [name for name in IN_TABLE if name in recorded]
    for name in ordered:
        for row in recorded[name]["rows"]:
            cells = (row["figure"], f"`{name}.py`", row["beside"], row["ours"], row["target"], verdicts[row["met"]])
            lines.append(f"| {' | '.join(map(cell, cells))} |")
    lines += ["", "## Details", ""]
    for name in ordered:
        told = recorded[name]
        lines += [f"### {name}", "", f"Begun {told['date']}, when the machine's load average was {told['load']}.", ""]
        lines += [f"- {note}" for row in told["rows"] for note in row["notes"]]
        if lines[-1]:
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("only", nargs="*", metavar="SCRIPT", help="all of them, if none is named")
    options = arguments.parse_args()
    wanted = options.only or IN_TABLE
    if unknown := set(wanted) - set(IN_TABLE):
        arguments.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(IN_TABLE)}")
    found: dict[str, Any] = {}
    if options.quick:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: measure(name, quick=True), wanted))
        return
    for name in ALONE:
        if name in wanted:
            found[name] = measure(name, quick=False)
    waiting = [name for name in TOGETHER if name in wanted]
    with ThreadPoolExecutor(len(TOGETHER)) as pool:
        found.update(zip(waiting, pool.map(lambda name: measure(name, quick=False), waiting), strict=True))
    before = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    here = machine.describe()
    kept = before.get("figures", {}) if before.get("machine") == here else {}
    recorded = {name: told for name, told in {**kept, **found}.items() if name in IN_TABLE}
    text = json.dumps({"machine": here, "figures": recorded}, indent=1, ensure_ascii=False) + "\n"
    RECORDED.write_text(text, encoding="utf-8")
    RESULTS.write_text(render(here, recorded), encoding="utf-8")
    plots.main()
    print(f"bench: {RESULTS.relative_to(HERE.parent)} and the plots are written")


if __name__ == "__main__":
    main()
