"""The judge: what the emulator has charged, against what is in the bucket and what tasks say of what is not."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import dataclass

from airflow_api import AirflowApi

from tests.distributed.stack import Run, Stack
from tests.e2e.stage import text_of

UNKNOWN = "An earlier attempt submitted this and never recorded an answer"


@dataclass(frozen=True)
class Verdict:
    """What became of some recordings.

    :param wanted: how many there were.
    :param charges: at the service.
    :param doubles: recordings that were charged more than once.
    :param landed: recordings whose transcript is in its place.
    :param uncertain: recordings of which a task says that they may have been charged.
    :param arrived: of these, those whose request the service has seen.
    :param lost: neither landed nor uncertain, with what is said of them.
    :param refused: requests that were answered 429, and all.
    :param lags: seconds from the end of a job to the answer that said so.
    """

    wanted: int
    charges: int
    doubles: tuple[str, ...]
    landed: int
    uncertain: tuple[str, ...]
    arrived: tuple[str, ...]
    lost: dict[str, str]
    refused: tuple[int, int]
    lags: tuple[float, ...]

    def row(self, name: str) -> str:
        """Return it as a line of the table."""
        refused, requests = self.refused
        share = refused / max(1, requests)
        lag = "-"
        if len(self.lags) > 1:
            lag = f"{statistics.median(self.lags):.1f} / {statistics.quantiles(self.lags, n=20)[-1]:.1f} s"
        cells = [name, self.wanted, self.charges, len(self.doubles), len(self.lost), self.landed, len(self.uncertain),
                 len(self.arrived), f"{refused} of {requests} ({share:.1%})", lag]  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |"


HEAD = (
    "| fault | recordings | charges | paid twice | lost | in their place | uncertain | of these on their way "
    "| refusals | lag, median / p95 |\n|---|---|---|---|---|---|---|---|---|---|"
)


def judge(stack: Stack, runs: list[Run], before: Counter[str]) -> Verdict:
    """Look at everything when the runs have ended.

    :param before: the emulator's counts of answers when they began.
    """
    wanted = {url for run in runs for url in run.urls}
    charged = Counter(charge.source for charge in stack.service.charges if charge.source in wanted)
    landed = {url for run in runs for url in landed_of(stack, run)}
    said = {url: text for run in runs for url, text in said_of(stack, run).items()}
    uncertain = {url for url, text in said.items() if UNKNOWN in text}
    seen = {str(one.fields.get("audioUrl")) for one in stack.service.requests if one.endpoint == "/transcribe"}
    counts = Counter(stack.service.counts) - before
    refused = sum(count for name, count in counts.items() if name.endswith(" 429"))
    jobs = [job for job in stack.service.jobs if job.source in wanted and job.finished and job.seen]
    return Verdict(
        wanted=len(wanted),
        charges=charged.total(),
        doubles=tuple(sorted(url for url, times in charged.items() if times > 1)),
        landed=len(landed),
        uncertain=tuple(sorted(uncertain - landed)),
        arrived=tuple(sorted((uncertain - landed) & seen)),
        lost={url: said.get(url, "nothing is said of it") for url in sorted(wanted - landed - uncertain)},
        refused=(refused, counts.total()),
        lags=tuple(job.seen - job.finished for job in jobs if job.seen and job.finished),
    )


def landed_of(stack: Stack, run: Run) -> set[str]:
    """Return the recordings of a run whose own words are in a file that is called after them."""
    by_name = {url.rpartition("/")[2].removesuffix(".mp3"): url for url in run.urls}
    store, whose = stack.machines.store, {}
    for key in store.keys(f"{run.output}/"):
        name = key.removeprefix(f"{run.output}/").removesuffix(".json")
        stem = next((stem for stem in by_name if name == stem or name.startswith(f"{stem}-")), None)
        if stem and key.endswith(".json"):
            whose[key] = by_name[stem]
    texts = [json.loads(content)["text"] for content in store.read(*whose)]
    return {url for url, text in zip(whose.values(), texts, strict=True) if text == text_of(url)}


def said_of(stack: Stack, run: Run) -> dict[str, str]:
    """Return what is said of the recordings of a run that have not landed."""
    if run.dag_id == "batch":
        manifests = stack.machines.store.read(*stack.machines.store.keys(f"{run.output}/manifest.jsonl"))
        rows = [json.loads(line) for manifest in manifests for line in manifest.decode().splitlines()]
        return {row["audio"]: f"{row['status']}: {row['error']}" for row in rows if row["status"] != "written"}
    api = AirflowApi(stack.machines.airflow.url, 3)
    instances = [one for one in api.task_instances(run.dag_id, run.run_id) if one.task_id == "transcribe"]
    failed = [one for one in instances if one.state != "success"]
    return {
        run.urls[one.map_index]: f"{one.state}, try {one.try_number}: "
        + api.task_log(run.dag_id, run.run_id, "transcribe", one.try_number, one.map_index)
        for one in failed
    }
