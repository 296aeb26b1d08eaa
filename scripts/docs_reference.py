"""Writes the pages of the site's reference from the code: docstrings by mkdocstrings, tables from values.

Only what needs no Airflow is imported; the rest is read by griffe. No fact is written here: the code has them.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt import get_provider_info, metrics
from airflow_provider_nanostt.api import catalogue, errors
from airflow_provider_nanostt.outputs import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = "airflow_provider_nanostt"
TERMINAL = {"COLUMNS": "100", "NO_COLOR": "1"}
MEANING = {
    "charged": {"no": "nothing", "maybe": "not known", "yes": "charged"},
    "retry": {"yes": "yes", "ledger": "with a ledger", "no": "no"},
    "scope": {"item": "no", "run": "at once", "repeated": "if it repeats"},
}
START = """# Reference

Made from the code of this version, by `make docs`. Nothing on these pages is written by hand.

| page | content |
|---|---|
"""


def pages() -> dict[str, str]:
    """Return every page of the reference, by its file name."""
    made = {
        "operators.md": (
            "Operators and options",
            "every argument of the operators, and the groups of options",
            described(
                *(f"operators.{name}" for name in operators()),
                *(f"operators.options.{name}" for name in options()),
            ),
        ),
        "decorator.md": (
            "Decorator",
            "`@task.transcribe`",
            described("decorators.TranscribeDecoratedOperator", "decorators.transcribe_task"),
        ),
        "sensor.md": (
            "Sensor",
            "waiting for a job that another task submitted",
            described("sensors.TranscriptionSensor"),
        ),
        "hook.md": ("Hook", "the service's calls in tasks of your own", described("hooks.NanoGPTHook", members=True)),
        "triggers.md": (
            "Triggers and assets",
            "what waits in the triggerer, and what starts DAGs",
            described(
                *(f"triggers.{name}Trigger" for name in ("Transcription", "Parts", "Batch", "Pause")),
                "assets.recordings",
                "assets.RecordingsTrigger",
            ),
        ),
        "connection.md": ("Connection", "the fields of the form", connection()),
        "errors.md": ("Errors", "each exception: the money, the retry, the batch", error_table() + error_classes()),
        "command-line.md": ("Command line", "the help of every command", command_line()),
        "metrics.md": ("Metrics", "name and kind of what is counted", metric_table()),
        "schemas.md": ("Files and manifest", "the keys of the JSON file, the columns of a manifest", schemas()),
        "models.md": ("Models", "what is known of each model without asking the service", models()),
        "retry-policy.md": (
            "Retry policy and links",
            "the policy of Airflow 3.3 and newer; the button of a task",
            described("retry_policy.NanoGPTRetryPolicy", "links.TranscriptLink"),
        ),
    }
    rows = "".join(f"| [{title}]({name}) | {about} |\n" for name, (title, about, _) in made.items())
    return {"README.md": START + rows} | {name: f"# {title}\n\n{text}" for name, (title, _, text) in made.items()}


def operators() -> list[str]:
    """Return the names of the operators, which their package exports."""
    return exported("operators/__init__.py")


def options() -> list[str]:
    """Return the names of the groups of options, in the order of their module."""
    return re.findall(
        r"^class ([A-Z]\w+Options|AudioPreparation|CostLimits|RecoveryPolicy)\b",
        source("operators/options.py"),
        re.MULTILINE,
    )


def exported(module: str) -> list[str]:
    """Return what the ``__all__`` of a module names."""
    (names,) = re.findall(r"^__all__ = \[(.*?)\]", source(module), re.DOTALL | re.MULTILINE)
    return re.findall(r'"(\w+)"', names)


def source(module: str) -> str:
    """Return the text of a module of the package."""
    from importlib.resources import files

    return files(PACKAGE).joinpath(module).read_text(encoding="utf-8")


def described(*names: str, members: bool = False) -> str:
    """Return the directives that have mkdocstrings describe some objects, with their methods if these are for users."""
    how = "" if members else "\n    options:\n      members: false"
    return "\n\n".join(f"::: {PACKAGE}.{name}{how}" for name in names) + "\n"


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown."""
    lines: list[list[object]] = [list(header), *map(list, rows)]
    written = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([written[0], "|---" * len(lines[0]) + "|", *written[1:]]) + "\n\n"


def connection() -> str:
    """Return the fields of the connection's form."""
    (kind,) = get_provider_info()["connection-types"]
    behaviour = kind["ui-field-behaviour"]
    shown = [
        (label, "", "`" + behaviour["placeholders"][name] + "`") for name, label in behaviour["relabeling"].items()
    ]
    extras = [(field["label"], f"`{name}`", field["description"]) for name, field in kind["conn-fields"].items()]
    hidden = ", ".join(behaviour["hidden-fields"])
    intro = f"The type is `{kind['connection-type']}`. The form hides {hidden}.\n\n"
    return intro + table(("field", "extra", "meaning, or an example"), [*shown, *extras])


def error_kinds() -> Iterator[type[errors.NanoGPTError]]:
    """Return the classes of errors in the order of the tree that their module draws."""
    tree = inspect.getdoc(errors) or ""
    for name in re.findall(r"[├└]── (\w+)", tree):
        yield getattr(errors, name)


def error_table() -> str:
    """Return what each error means, from its class."""
    rows = (
        (f"`{kind.__name__}`", *(MEANING[trait][getattr(kind, trait)] for trait in MEANING), first_line(kind))
        for kind in error_kinds()
    )
    intro = "What holds for all errors of a class; an error may know better.\n\n"
    header = ("exception", "the money", "worth a retry", "stops a batch", "meaning")
    return intro + table(header, rows) + "The page [errors](../errors.md) has the next step for each.\n\n"


def first_line(thing: object) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split()).replace("``", "`")


def error_classes() -> str:
    """Return the directives for the errors that have fields of their own."""
    return described(
        *(
            f"{kind.__module__.removeprefix(PACKAGE + '.')}.{kind.__name__}"
            for kind in error_kinds()
            if dataclasses.is_dataclass(kind)
        )
    )


def command_line() -> str:
    """Return the help of ``nanostt``, and of each of its commands."""
    whole = printed("--help")
    names = re.findall(
        r"^    ([a-z][\w-]*)(?: |$)", whole.partition("COMMAND")[2].partition("COMMAND\n")[2], re.MULTILINE
    )
    parts = [("nanostt", whole), *((f"nanostt {name}", printed(name, "--help")) for name in names)]
    return "".join(f"## {name}\n\n```text\n{text.rstrip()}\n```\n\n" for name, text in parts)


def printed(*arguments: str) -> str:
    """Return what ``nanostt`` prints, in a process of its own: one of its commands becomes another program."""
    command = [sys.executable, "-m", f"{PACKAGE}.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **TERMINAL}).stdout


def metric_table() -> str:
    """Return the list of metrics."""
    rows = ((f"`{metrics.PREFIX}.{name}`", kind) for name, kind in metrics.METRICS.items())
    return table(("metric", "kind"), rows) + "What each means: [metrics](../metrics.md).\n"


def schemas() -> str:
    """Return the schema of the JSON file as tables, then whole; and the columns of a manifest."""
    import json

    whole: Any = schema()
    word = whole["properties"]["words"]["items"]
    text = "## The JSON file\n\n" + properties(whole) + "### One word\n\n" + properties(word)
    text += "### The schema\n\n```json\n" + json.dumps(whole, indent=2, ensure_ascii=False) + "\n```\n\n"
    return text + "## The manifest of a batch\n\n" + described("workflow.batch.manifest_row.ManifestRow")


def properties(schema_: dict[str, Any]) -> str:
    """Return the properties of an object in a schema as a table."""

    def kind(found: dict[str, Any]) -> str:
        if "$ref" in found:
            return str(found["$ref"]).rpartition("/")[2]
        if "const" in found:
            return json_like(found["const"])
        types = found.get("type", "any")
        return ", ".join(types) if isinstance(types, list) else str(types)

    needed = set(schema_.get("required", ()))
    rows = (
        (f"`{name}`", kind(found), "yes" if name in needed else "no", found.get("description", ""))
        for name, found in schema_["properties"].items()
    )
    return table(("key", "type", "always there", "meaning"), rows)


def json_like(value: object) -> str:
    """Return a constant of a schema as code."""
    return f"`{value}`"


def models() -> str:
    """Return the built-in table of models; the columns are the fields of its rows."""
    rows = [dict(facts_of(model)) for model in catalogue.KNOWN_MODELS.values()]
    intro = first_line(catalogue) + "\n\n"
    after = "Prices are USD a minute; empty is not documented, or no limit. Who says so: [models](../models.md).\n"
    return intro + table((name.replace("_", " ") for name in rows[0]), (row.values() for row in rows)) + after


def facts_of(thing: Any) -> Iterator[tuple[str, str]]:
    """Return the fields of a dataclass, and of those in it, for the cells of a table."""
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if dataclasses.is_dataclass(value):
            yield from facts_of(value)
        else:
            yield field.name, shown(value)


def shown(value: object) -> str:
    """Return a fact for a cell."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else f"`{value}`" if isinstance(value, str) else str(value)
