"""``nanostt doctor``: whether connection, key, catalogue, extras and storages can be used."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.cli.output import AddParser, Check, connection_check, printing, tried, write_json
from airflow_provider_nanostt.cli.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator


_SCHEMES = ("s3", "gs", "abfs")


def add_parser(add_command: AddParser) -> None:
    """Add the command to the others."""
    add_command("doctor", "check connection, balance, catalogue and extras", run)


def run(given: argparse.Namespace) -> int:
    """Check one thing after the other and show them; return 1 if one failed."""
    checks = list(_checks(given.conn))
    if given.json:
        write_json(given.out, {"checks": [asdict(check) for check in checks]})
    else:
        styles = {"ok": "green", "warning": "yellow", "failed": "red"}
        with printing(given.out) as console:
            for check in checks:
                console.print(f"{check.state:<8}", style=styles[check.state], end="")
                console.print(check.text)
    return int(any(check.state == "failed" for check in checks))


def _checks(conn_id: str) -> Iterator[Check]:
    from airflow_provider_nanostt.hooks import NanoGPTHook

    yield _airflow()
    hook = NanoGPTHook(conn_id)
    connection = connection_check(hook)
    yield connection
    if connection.state == "ok":
        yield tried("key and balance", lambda: f"the account holds {errors.usd(hook.balance().usd)}")
        yield tried("catalogue", lambda: f"{counted(len(hook.models()), 'speech-to-text model')} with prices")
    yield _extra("audio", "av", "recordings can be converted, compressed and split")
    yield _extra("emulator", "pocketsphinx", "a local NanoGPT can be started")
    yield _storages()


def _airflow() -> Check:
    found = version("apache-airflow")
    major, minor = (int(part) for part in found.split(".")[:2])
    if (major, minor) < (2, 11):
        return Check("Airflow", "failed", f"{found} is not supported", "2.11 is the oldest that is.")
    if (major, minor) < (3, 3):
        keep = "Give operators an output_path: before 3.3 nothing else remembers what was paid for."
        return Check("Airflow", "warning", f"{found}.", keep)
    return Check("Airflow", "ok", f"{found}; what was paid for is remembered in the task's state, and in output_path")


def _extra(extra: str, package: str, use: str) -> Check:
    name = f"extra [{extra}]"
    try:
        return Check(name, "ok", f"{use} ({package} {version(package)})")
    except PackageNotFoundError:
        return Check(name, "warning", "not installed.", f"With 'airflow-provider-nanostt[{extra}]' {use}.")


def _storages() -> Check:
    from airflow_provider_nanostt.common import object_storage

    there = []
    for scheme in _SCHEMES:
        try:
            _ = object_storage.resolve(f"{scheme}://bucket/key").fs
        except (errors.InvalidInput, ImportError, ValueError):
            continue
        except Exception:  # noqa: BLE001, S110  it is there, and lacks a connection, say
            pass
        there.append(f"{scheme}://")
    if not there:
        needs = "Install the Airflow provider of yours, such as apache-airflow-providers-amazon[s3fs]."
        return Check("object storage", "warning", "none is installed.", needs)
    return Check("object storage", "ok", ", ".join(there))
