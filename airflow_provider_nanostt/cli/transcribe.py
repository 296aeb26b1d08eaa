"""``nanostt transcribe``: recordings become files, with the workflow and the ledger of the operators, without a DAG.

Who is asked before money is spent, and how a command ends, is decided here; all else is the batch's.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.cli.interrupts import stopping
from airflow_provider_nanostt.cli.output import AddParser, as_given, complain, connected, from_the_root, reason
from airflow_provider_nanostt.cli.wording import counted, with_flags, with_flags_in
from airflow_provider_nanostt.common.errors import InvalidInput, NanoGPTError, describe_exception, usd
from airflow_provider_nanostt.common.parsing import parse_number
from airflow_provider_nanostt.common.urls import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_nanostt.cli.outcome import Outcome
    from airflow_provider_nanostt.cli.stages import Stages
    from airflow_provider_nanostt.operators._arguments import Arguments
    from airflow_provider_nanostt.workflow.batch import Item
    from airflow_provider_nanostt.workflow.batch.list_estimate import Allowance, ListEstimate
    from airflow_provider_nanostt.workflow.batch.run import BatchRun

_YES_UP_TO = 0.10
_LIMIT = "--yes-up-to"
_MAX_NAMED = 10
_OF_THE_JOB = ("model", "language", "diarize", "tag_audio_events")


def add_parser(add_command: AddParser) -> None:
    """Add the command to the others."""
    about = "transcribe recordings into a folder; the same command again pays for nothing twice"
    add = add_command("transcribe", about, run).add_argument
    add("audio", nargs="+", help="a path, a web address, an object storage URI, or a pattern of these")
    add("--output", dest="output_path", required=True, metavar="FOLDER", help="for transcripts and the ledger")
    add("--formats", default="json,txt", help="of the files, with commas between (default %(default)s)")
    add("--model", default=DEFAULT_MODEL, help="the service's model id (default %(default)s)")
    add("--language", default="auto", type=str.lower, help="such as en; default: the service finds out")
    add("--diarize", action="store_true", help="tell speakers apart")
    add("--tag-audio-events", action="store_true", help="mark laughter and the like")
    add(
        "--extra",
        dest="extra_parameters",
        action="append",
        type=_extra,
        default=[],
        metavar="NAME=JSON",
        help="one more field of the request, such as temperature=0.2; may be given several times",
    )
    add("--estimated-captions", action="store_true", help="guess the times of captions if the model gives none")
    add("--review-below", metavar="CONFIDENCE", help="mark what the model was less sure of, such as 0.6")
    add(
        "--transform",
        metavar="FUNCTION",
        help="such as my_module.redact: all text goes through it before it is written",
    )
    add("--tables", metavar="NAMES", help="also write tables, any of segments,words,chunks")
    add("--actual-duration", metavar="MINUTES", help="the length of each recording; default: it is measured")
    add("--staging", dest="staging_path", metavar="URI", help="the folder in which recordings may be staged")
    add("--oversize", metavar="WAYS", help="what may be done with what is too large, of stage,compress,split, in order")
    add("--split-diarized", action="store_true", help="split although the labels of speakers do not match across parts")
    add(
        _LIMIT,
        type=float,
        default=_YES_UP_TO,
        metavar="USD",
        help="ask before more than this is spent (default %(default)s); without a terminal, refuse",
    )
    add("--unknown-length", choices=("worst", "fail", "allow"), help="how an unknown length counts (default worst)")
    add("--max-parallel", metavar="N", help="how many recordings are at work at once, 1 to 64")
    add("--timeout", metavar="SECONDS", help="for which transcripts are waited for (default 6 hours)")
    add("--force", action="store_true", help="submit and pay once more, whatever was paid for before")
    add(
        "--on-ambiguous-submit",
        choices=("fail", "verify", "resubmit"),
        help="what to do if nobody knows whether an earlier submit was charged (default fail)",
    )
    add("--on-lost-job", choices=("fail", "submit"), help="if the service no longer knows a job (default fail)")


def _extra(text: str) -> tuple[str, object]:
    """Read ``--extra``; what is wrong is said without the value, which may be private."""
    name, mark, value = text.partition("=")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        which = f"{name!r} has a value that is not" if mark else "it has no name, or no value in"
        raise argparse.ArgumentTypeError(
            f"{which} JSON; a text or a list needs its quotes: 'NAME=\"a text\"'"
        ) from None


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who runs the batch, as the batch sees it."""

    log: Stages

    def is_retryable(self, error: NanoGPTError, context: object) -> bool:  # noqa: ARG002  an operator needs it
        """Return whether the same command may do better later."""
        return error.retry != "no"


@dataclass(slots=True)
class _Command:
    """What a command has come to so far, whenever it ends.

    :param problem: why nothing was begun.
    :param tables: the URIs of the files that were written, by table.
    """

    stages: Stages | None = None
    batch: BatchRun | None = None
    problem: str = ""
    tables: Mapping[str, str] = field(default_factory=dict)

    def wait_for_what_is_sent(self) -> None:
        """Say why a command that was told to end does not yet."""
        if self.stages is not None and (sending := self.stages.sending):
            self.stages.say(
                f"Stopping. {counted(sending, 'recording is', 'recordings are')} being sent; what that costs is "
                "recorded first. Ctrl-C once more ends this at once, and nobody knows then whether that is paid for."
            )

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.stages is not None:
            self.stages.close()


def run(given: argparse.Namespace) -> int:
    """Transcribe what is not transcribed yet; return the exit code of the outcome."""
    command = _Command()
    with stopping(command.wait_for_what_is_sent, command.close) as stop:
        from airflow_provider_nanostt.cli import outcome

        is_done = stop.work(partial(_work, given, command))
        end = outcome.BAD_INPUT if command.problem else _end(command)
        end = end if is_done else outcome.interrupted_by(stop.signal)
        if given.force:
            end = end.after_force()
        if command.problem:
            complain(command.problem)
        found = outcome.Found(end, escaped(command.problem), tables=command.tables)
        if command.batch is not None:
            found = replace(found, rows=with_flags_in(command.batch.rows), spent=command.batch.budget.spent)
        if given.json:
            outcome.write_document(given.out, found)
        elif not command.problem:
            outcome.show(given.out, found)
        given.code = end.code  # all is said
        return end.code


def _work(given: argparse.Namespace, command: _Command) -> None:
    """Read all, submit and wait."""
    from airflow_provider_nanostt.cli.stages import Stages
    from airflow_provider_nanostt.workflow.batch import collect

    try:
        items, arguments = _read(given)
        stages = Stages([as_given(item.shown) for item in items], sys.stderr, is_quiet=given.json)
        batch = _open(given, arguments, stages)
    except Exception as error:  # noqa: BLE001  whatever it is, nothing was begun
        command.problem = reason(error)
        return
    batch.allow = partial(_allow, given, stages, batch)
    batch.on_stage = stages.on_stage
    command.stages, command.batch = stages, batch
    with stages.shown():
        pending = batch.submit_all(items)
        if pending:
            deadline = time.time() + arguments.timeout
            collect.wait(batch, pending, deadline=deadline, poll_interval=arguments.poll_interval)


def _end(command: _Command) -> Outcome:
    """Write the tables, also of a command that was interrupted, and return what all has come to."""
    from airflow_provider_nanostt.cli import outcome
    from airflow_provider_nanostt.workflow.batch import collect

    batch, stages = command.batch, command.stages
    if batch is None or stages is None:
        return outcome.DONE
    stages.close()
    collect.resolve_duplicates(batch)
    end = outcome.outcome_of(batch.rows)
    try:
        command.tables = batch.tables.write(batch.rows, batch.tables.assign(batch.rows, batch.open_items))
    except NanoGPTError as error:
        stages.error("%s", error)
        end = outcome.UNFINISHED if end is outcome.DONE else end
    for line in stages.errors:  # what is not in the line of a recording
        if not any(row.error and row.error in line for row in batch.rows):
            stages.say(with_flags(line))
    return end


def _read(given: argparse.Namespace) -> tuple[list[Item], Arguments]:
    """Read all that is given, before anything is asked or sent.

    :raises InvalidInput: for what means nothing, or if there is no recording.
    """
    from airflow_provider_nanostt.api.models import Options
    from airflow_provider_nanostt.operators._arguments import read_arguments
    from airflow_provider_nanostt.workflow.batch import expand

    given.nanogpt_conn_id, given.output_path = given.conn, from_the_root(given.output_path)
    given.on_no_match = "fail"  # whoever types a name wants to know that it is none
    extra = dict(given.extra_parameters)
    if len(extra) < len(given.extra_parameters):
        raise InvalidInput("--extra has the same name twice")
    given.extra_parameters = extra
    parse_number(_LIMIT, given.yes_up_to, unit="USD")
    arguments = read_arguments(given)
    # Said by each recording, the options are part of what the ledger knows it by: another model replaces nothing.
    job = {name: getattr(given, name) for name in _OF_THE_JOB}
    extra = dict(Options(**job, extra_parameters=extra).extra_parameters)  # refuses what no model takes
    items = expand([{"audio": from_the_root(name), **job} for name in given.audio])
    if extra:
        items = [replace(item, options={**item.options, "extra_parameters": extra}) for item in items]
    if all(item.problem for item in items):
        raise items[0].problem or InvalidInput("there is no recording")
    return items, arguments


def _open(given: argparse.Namespace, arguments: Arguments, stages: Stages) -> BatchRun:
    """Return the batch, once it is certain that key and model are good and that results can be written."""
    from airflow_provider_nanostt.common import object_storage
    from airflow_provider_nanostt.operators._batch import FROM_THE_SHELL, open_batch

    connected(arguments.nanogpt_conn_id)
    batch = open_batch(_Owner(stages), arguments, FROM_THE_SHELL)
    try:
        _ = batch.folder.fs  # an unknown storage is only found out here on Airflow 2
        if object_storage.is_local(batch.folder):
            folder = Path(batch.folder.path)
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                pass
    except (OSError, ImportError, ValueError) as error:
        raise InvalidInput(f"--output cannot be written to: {describe_exception(error)}") from error
    batch.service.try_balance()
    known = batch.service.known_models()
    known.check(given.model, diarize=given.diarize, tag_audio_events=given.tag_audio_events)
    arguments.settings.check_model(given.model, known)
    batch.tables.begin(time.time() + arguments.timeout)
    return batch


def _allow(given: argparse.Namespace, stages: Stages, batch: BatchRun, found: ListEstimate) -> Allowance:
    """Return what may be spent on what is not paid for; a person is asked if it is more than ``--yes-up-to``."""
    from airflow_provider_nanostt.workflow.batch.list_estimate import Allowance
    from airflow_provider_nanostt.workflow.pricing import countable_usd

    boundless = [name for name, one in found.costing if countable_usd(one, found.rules) is None]
    is_open = bool(boundless) and found.rules.unknown_length == "worst"
    if found.new_usd <= given.yes_up_to and not is_open:
        return Allowance(found.earlier_usd + given.yes_up_to, _LIMIT)
    most = math.ceil(found.new_usd * 102.0) / 100.0  # what is charged may be for a little more sound
    question = _describe(found, boundless if is_open else [], given.yes_up_to)
    if _agrees(given, stages, question, most, is_open=is_open):
        if is_open:
            batch.budget.rules = replace(batch.budget.rules, unknown_length="allow")
        return Allowance(math.inf if is_open else found.earlier_usd + most, "what was agreed to")
    return Allowance(found.earlier_usd, _LIMIT, frozenset())


def _describe(found: ListEstimate, boundless: Sequence[str], yes_up_to: float) -> list[str]:
    """Say what would be spent, and on what; the dearest first."""
    from airflow_provider_nanostt.workflow.pricing import likely_usd

    head = f"{counted(len(found.costing), 'recording is', 'recordings are')} not paid for: {usd(found.new_usd)} for "
    head += f"{found.minutes:.1f} minutes"
    lines = [f"{head}; {_LIMIT} is {usd(yes_up_to)}."]
    dearest = sorted(found.costing, key=lambda one: -likely_usd(one[1], found.rules))
    known = [(name, one) for name, one in dearest if name not in boundless]
    for name, one in known[:_MAX_NAMED]:
        length = "unknown length" if one.minutes is None else f"{one.minutes:.1f} min"
        lines.append(f"  {as_given(name)}: {length}, up to {usd(likely_usd(one, found.rules))}")
    if len(known) > _MAX_NAMED:
        lines.append(f"  and {len(known) - _MAX_NAMED} more")
    if boundless:
        lines.append(f"{len(boundless)} of unknown length or price may cost any amount:")
        lines += [f"  {as_given(name)}" for name in boundless[:_MAX_NAMED]]
    sources = dict.fromkeys(one.price.source for _, one in found.costing if one.price.per_minute is not None)
    return [*lines, *(f"Prices from {escaped(source)}." for source in sources)]


def _agrees(given: argparse.Namespace, stages: Stages, question: Sequence[str], most: float, *, is_open: bool) -> bool:
    """Ask a person; without one, nobody agrees."""
    with stages.paused():  # meanwhile sys.stderr is what it was: the stand-in of an older rich is never a terminal
        can_ask = not given.json and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
        for line in question:
            stages.say(line)
        if not can_ask:
            remedy = "--actual-duration MINUTES or --unknown-length allow" if is_open else f"{_LIMIT} {most:.2f}"
            stages.say(f"Nobody can be asked here, so nothing is submitted. To go on: {remedy}")
            return False
        amount = "any amount" if is_open else f"up to {usd(most)}"
        sys.stderr.write(f"Spend {amount}? [y/N] ")
        sys.stderr.flush()
        try:
            return sys.stdin.readline().strip().lower() in ("y", "yes")
        except (OSError, ValueError):  # a terminal that is gone, bytes that are no text: that is no yes
            return False
