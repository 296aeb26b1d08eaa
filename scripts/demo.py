"""The demo: a real Airflow and the emulator, transcribing the speech samples while you watch.

``make demo`` runs it. Everything lives under ``.demo/``, listens on loopback only, and is ended by process id at the
end, whatever happens; ``--keep`` leaves it up, ``--stop`` ends what was left up. ``--distributed`` runs it on what
would be many machines, and prints which of them did what.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_api import ENDED, WaitTimeoutError, wait_for
from distributed import OUTPUT, Distributed
from local_airflow import LocalAirflow
from local_emulator import start_emulator
from processes import record, stop_all, stop_recorded

from airflow_provider_nanostt.emulator.control import EmulatorControl

if TYPE_CHECKING:
    from airflow_api import TaskInstance
    from processes import Service

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
PIDS = DEMO / "pids.json"
DAG_ID = "example_transcribe"
MEETING = "example_meeting"
RUN_LIMIT = 180  # seconds from the start of the run to its end
SPEED = 2  # the emulator's: jobs take half the time they take at the service
BEGAN = time.monotonic()


class DemoError(Exception):
    """The demo did not do what it is meant to show; the message says why."""


def say(text: str) -> None:
    """Print a line of progress with the seconds since the start."""
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", flush=True)


def start_listening_emulator() -> tuple[Service, dict[str, Any]]:
    """Start the emulator and return it with what it says about itself.

    :raises DemoError: if it cannot transcribe speech here.
    """
    emulator, facts = start_emulator(DEMO, "--speed", str(SPEED))
    if not EmulatorControl(facts["url"]).health()["recogniser"]:
        emulator.stop()
        raise DemoError("the emulator has no recogniser here: pocketsphinx is missing, or does not work")
    say(f"emulator is up at {facts['url']}")
    return emulator, facts


class Show:
    """One run of an example DAG, from its start to what it brought."""

    def __init__(self, airflow: LocalAirflow, control: EmulatorControl, dag_id: str = DAG_ID) -> None:
        self.dag_id = dag_id
        self.airflow = airflow
        self.api = airflow.api
        self.control = control
        self.run_id = ""
        self._states: dict[str, tuple[str | None, int]] = {}

    def start(self) -> None:
        """Start the run."""
        self.api.wait_for_dag(self.dag_id)
        self.api.unpause(self.dag_id)
        self.run_id = self.api.trigger_dag(self.dag_id)
        say(f"started {self.dag_id}, run {self.run_id}")

    def watch(self) -> str:
        """Print every change of state, and return the run's last one."""

        def ended() -> str | None:
            for service in self.airflow.services.values():
                if not service.alive:
                    raise DemoError(f"{service.name} ended by itself:\n{service.tail()}")
            state = self.api.dag_run_state(self.dag_id, self.run_id)
            self._print_changes()
            return state if state in ENDED else None

        try:
            return wait_for(ended, "the end of the run", RUN_LIMIT, 0.4)
        except WaitTimeoutError as error:
            states = ", ".join(f"{name} {state}" for name, (state, _) in self._states.items())
            raise DemoError(f"{error}; the tasks are: {states}") from error

    def _print_changes(self) -> None:
        for instance in self.tasks():
            now = (instance.state, instance.try_number)
            if instance.state and self._states.get(instance.name) != now:
                again = f" (try {instance.try_number})" if instance.try_number > 1 else ""
                say(f"  {instance.name:<12} {instance.state}{again}")
            self._states[instance.name] = now

    def tasks(self) -> list[TaskInstance]:
        """Return the run's task instances in a steady order."""
        return sorted(self.api.task_instances(self.dag_id, self.run_id), key=lambda i: (i.map_index, i.task_id))

    def failure(self) -> str:
        """Say which tasks did not succeed, with the end of their logs."""
        parts = []
        for instance in self.tasks():
            if instance.state != "success":
                log = self.api.task_log(
                    self.dag_id, self.run_id, instance.task_id, instance.try_number, instance.map_index
                )
                end = "\n".join(f"    {line}" for line in log.splitlines()[-25:])
                parts.append(f"{instance.name} is {instance.state}; the end of its log:\n{end}")
        return "\n".join(parts)

    def page(self) -> str:
        """Return the URI of the transcript's page."""
        (instance,) = self.tasks()
        return str(self.api.xcom(self.dag_id, self.run_id, instance.task_id)["files"]["html"])

    def report(self, others: int) -> None:
        """Print each transcript, then what everything cost.

        :param others: how many transcripts other runs have brought.
        :raises DemoError: if a transcript is missing, or the charges are not one for each.
        """
        found = 0
        for instance in self.tasks():
            value = self.api.xcom(self.dag_id, self.run_id, instance.task_id, map_index=instance.map_index)
            if not isinstance(value, dict) or not value.get("transcription"):
                raise DemoError(f"{instance.name} brought no transcript: {value!r}")
            print_transcript(instance.name, value)
            found += 1
        found += others
        charges = self.control.charges
        total = sum(charge.cost - charge.refunded for charge in charges)
        print(f"\n{found} transcripts, {len(charges)} charges, ${total:.4f} in all (emulated money)", flush=True)
        if len(charges) != found:
            raise DemoError(f"{found} transcripts were charged {len(charges)} times")


def print_transcript(name: str, value: dict[str, Any]) -> None:
    """Print one transcript, speaker by speaker where the model told them apart."""
    cost = value.get("cost_usd")
    facts = [str(value.get("model")), f"run {value.get('run_id') or '- (answered at once)'}"]
    facts.append("cost unknown" if cost is None else f"${cost:.4f}")
    print(f"\n{name}: {', '.join(facts)}")
    segments = [segment for segment in value.get("segments") or [] if segment.get("speaker")]
    lines = [(f"{s['start']:6.1f} s  {s['speaker']}: ", s["text"]) for s in segments] or [("", value["transcription"])]
    for lead, text in lines:
        print(textwrap.fill(text.strip(), 110, initial_indent=f"    {lead}", subsequent_indent=" " * (4 + len(lead))))


def run(services: list[Service], addresses: list[str]) -> None:
    """Start everything, run the DAG, report; what is started is added to ``services``, where it is to ``addresses``."""
    emulator, facts = start_listening_emulator()
    services.append(emulator)
    record(services, PIDS)
    airflow = LocalAirflow(
        Path(sys.executable),
        DEMO / "airflow",
        ROOT / "example_dags",
        # Another example, that of watching, would start by itself and be charged beside what is shown.
        env={
            **connection(facts),
            "NANOSTT_OUTPUT": str(DEMO / "transcripts"),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        },
        progress=say,
    )
    say(f"starting Airflow {airflow.version}")
    try:
        airflow.start()
    finally:
        services += airflow.services.values()
        record(services, PIDS)
    addresses += [
        f"Airflow   {airflow.url} (login: none is asked for, every visitor of this loopback address is admin)",
        f"emulator  {facts['url']} (API key {facts['key']})",
    ]
    shows = perform(airflow, facts)
    page = Path(shows[1].page().removeprefix("file://"))
    if not page.is_file():
        raise DemoError(f"there is no page at {page}")
    print(f"The meeting as a page, for any browser: {page.as_uri()}", flush=True)


def run_on_many(services: list[Service]) -> None:
    """Do the same on what would be many machines, and print which of them did what; all but the emulator is ended."""
    emulator, facts = start_listening_emulator()
    services.append(emulator)
    env = {**connection(facts), "NANOSTT_OUTPUT": f"{OUTPUT}/demo"}
    with Distributed(DEMO / "machines", ROOT / "example_dags", env=env, progress=say) as many:
        shows = perform(many.airflow, facts)
        page = shows[1].page()
        if not many.store.keys(page.removeprefix(f"{OUTPUT}/")):
            raise DemoError(f"there is no page at {page}")
        print(f"The meeting as a page, in the object store: {page}\n\nWhich machine did what:", flush=True)
        for show in shows:
            for task, machines in sorted(many.machines(show.dag_id, show.run_id).items()):
                print(f"    {f'{show.dag_id}.{task}':<28} {' -> '.join(machines)}", flush=True)
        say("stopping everything")


def connection(facts: dict[str, Any]) -> dict[str, str]:
    """Return the environment variable that makes the emulator Airflow's default connection."""
    return {"AIRFLOW_CONN_NANOGPT_DEFAULT": json.dumps(facts["connection"])}


def perform(airflow: LocalAirflow, facts: dict[str, Any]) -> list[Show]:
    """Run both DAGs to their ends, and print what the first has brought and everything cost."""
    control = EmulatorControl(facts["url"])
    shows = [Show(airflow, control), Show(airflow, control, MEETING)]
    for show in shows:
        show.start()
    for show in shows:
        state = show.watch()
        if state != "success":
            raise DemoError(f"the run of {show.dag_id} has {state}\n{show.failure()}")
    shows[0].report(others=1)
    return shows


def clean_up(services: list[Service]) -> None:
    """End what runs, undisturbed by Ctrl-C, and forget its record."""
    deafen()
    stop_all(services)
    PIDS.unlink(missing_ok=True)
    say("everything is stopped")


def deafen() -> None:
    """Let nothing interrupt what ends the processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def interrupt(*_: object) -> NoReturn:
    """Turn SIGTERM into what Ctrl-C does, once."""
    deafen()
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave Airflow and the emulator up")
    parser.add_argument("--stop", action="store_true", help="only end what was left up")
    parser.add_argument("--distributed", action="store_true", help="on what would be many machines; not with --keep")
    options = parser.parse_args()
    if options.keep and options.distributed:
        parser.error("--keep and --distributed do not go together")
    if ended := stop_recorded(PIDS):
        say(f"ended {ended} processes of an earlier demo")
    if options.stop:
        return 0
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: it is ignored in what a script starts in background
        signal.signal(number, interrupt)
    return show_all(keep=options.keep, distributed=options.distributed)


def show_all(*, keep: bool, distributed: bool) -> int:
    """Run the demo and return its exit status; with ``keep``, what has come up stays up, also after a failure."""
    services: list[Service] = []
    addresses: list[str] = []
    status = 0
    try:
        if distributed:
            run_on_many(services)
        else:
            run(services, addresses)
    except KeyboardInterrupt:
        say("interrupted")
        keep, status = False, 130
    except (DemoError, RuntimeError, OSError) as error:
        print(f"\ndemo failed: {error}", file=sys.stderr, flush=True)
        status = 1
    finally:
        if not (keep and addresses):
            clean_up(services)
    if keep and addresses:
        print("\n".join(["", *addresses, "`make demo-stop` ends both"]), flush=True)
    elif not status:
        say("the demo worked")
    return status


if __name__ == "__main__":
    sys.exit(main())
