"""Messages in the words of the shell: they are written for authors of DAGs, whose arguments are flags here.

The only place that knows both names. What a message says is decided where it is made.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_nanostt.workflow.batch import ManifestRow

_OF_ONE_NAME = (
    "actual_duration", "diarize", "estimated_captions", "force", "formats", "language", "max_parallel", "model",
    "on_ambiguous_submit", "on_lost_job", "oversize", "review_below", "split_diarized", "tables", "tag_audio_events",
    "timeout", "transform", "unknown_length",
)  # fmt: skip
FLAGS = {name: f"--{name.replace('_', '-')}" for name in _OF_ONE_NAME} | {
    "extra_parameters": "--extra",
    "max_cost_usd": "--yes-up-to",
    "nanogpt_conn_id": "--conn",
    "output_path": "--output",
    "staging_path": "--staging",
}
"""The flags of ``nanostt transcribe``, by the arguments that they stand for."""

_ARGUMENT = re.compile(
    r"(?<!\w)'[^']*'(?!\w)"
    rf"|(?<![\w./'?&-])({'|'.join(FLAGS)})(?:=('[^']*'|\w*))?(?![\w/'-]|\.\w)"
    r"| in (?:audio_preparation|cost_limits|output_options|recovery_policy)\b"
    r"|\baudio=(?=')|clear the task with (?=force=)|(?:clear|run) the task(?: again)?"
)
"""What is quoted; an argument, perhaps with a value; its group; a recording's; and what is done with a task."""

_AGAIN = "run the command again"


def with_flags(text: str) -> str:
    """Return a message with the flag of the command where it has an argument of an operator."""

    def replaced(found: re.Match[str]) -> str:
        name, value = found.groups()
        if found[0].startswith("'"):
            return found[0]  # most likely a file's name
        if name is None:
            is_of_task = found[0].startswith(("clear", "run"))
            return "add " if found[0].endswith("with ") else _AGAIN if is_of_task else ""
        begins = found.start() == 0 or text[: found.start()].endswith(". ")
        if value is None and "_" not in name and not begins:
            return found[0]  # a word such as "model", which is no argument there
        return FLAGS[name] if value in (None, "", "True") else f"{FLAGS[name]} {shlex.quote(value.strip(chr(39)))}"

    return _ARGUMENT.sub(replaced, text)


def with_flags_in(rows: Iterable[ManifestRow]) -> list[ManifestRow]:
    """Return the rows of a batch with the errors as the shell shows them."""
    return [row if row.error is None else replace(row, error=with_flags(row.error)) for row in rows]


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with the thing that is counted; ``many`` is what several are called, if not ``one`` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
