"""What a DAG file that uses the operators costs to parse, over ``airflow.sdk`` alone.

Each module is imported in a fresh interpreter after ``airflow.sdk``, with byte code present; time and number of
modules are what it adds. Median of seven rounds, each with every module in turn, after one that is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from report import Row, run

OURS = "airflow_provider_nanostt.operators"
PEERS = {
    "Databricks": "airflow.providers.databricks.operators.databricks",
    "dbt Cloud": "airflow.providers.dbt.cloud.operators.dbt",
    "OpenAI": "airflow.providers.openai.operators.openai",
}
SHARE = 0.1
PROGRAM = """
import json, sys, time
import airflow.sdk
from airflow.sdk import DAG, task, BaseOperator
modules, began = len(sys.modules), time.perf_counter()
__import__(sys.argv[1])
print(json.dumps([(time.perf_counter() - began) * 1000, len(sys.modules) - modules]))
"""


def once(module: str) -> tuple[float, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, module], capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def measure(options: argparse.Namespace) -> list[Row]:
    rounds = 1 if options.quick else 7
    found: dict[str, list[tuple[float, int]]] = {module: [] for module in (OURS, *PEERS.values())}
    for count in range(rounds if options.quick else rounds + 1):
        for module, all_told in found.items():
            told = once(module)
            if count or options.quick:
                all_told.append(told)

    def cost(module: str) -> float:
        return statistics.median(milliseconds for milliseconds, _ in found[module])

    ours, cheapest = cost(OURS), min(map(cost, PEERS.values()))
    return [
        Row(
            "import cost at DAG parse, over airflow.sdk",
            "; ".join(f"{name} {cost(module):.0f} ms, {found[module][0][1]} modules" for name, module in PEERS.items()),
            f"{ours:.1f} ms, {found[OURS][0][1]} modules; {ours / cheapest:.1%} of the cheapest",
            "≤ a tenth of the cheapest",
            ours <= SHARE * cheapest,
            [
                f"{module}: {', '.join(format(milliseconds, '.1f') for milliseconds, _ in all_told)} ms"
                for module, all_told in found.items()
            ],
        )
    ]


if __name__ == "__main__":
    run(measure, __doc__)
