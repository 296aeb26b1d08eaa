"""The command: ``python -m airflow_provider_nanostt.emulator``, also installed as ``nanostt-emulator``.

Options become :class:`Settings`, the address is printed, and the server runs until it is told to stop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from airflow_provider_nanostt.emulator.running import Emulator
from airflow_provider_nanostt.emulator.settings import Model, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_VARIABLE = "NANOSTT_EMULATOR_KEY"


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    default = Settings()
    grammar = argparse.ArgumentParser(prog="nanostt-emulator", description="A local NanoGPT speech-to-text service.")
    add = grammar.add_argument
    add("--host", default=default.host, help="loopback address to listen on (%(default)s)")
    add("--allow-remote", action="store_true", help="allow a --host that is not loopback")
    add("--port", type=int, default=default.port, help="0 takes a free one (%(default)s)")
    add(
        "--key",
        action="append",
        default=[],
        help="an API key to accept; may be repeated (one is made up); shows in the list of processes",
    )
    add(
        "--key-file",
        metavar="FILE",
        help=f"API keys to accept, one a line; as well in {KEY_VARIABLE}, with blanks between",
    )
    add("--balance", type=float, default=default.balance, help="USD each key starts with (%(default)s)")
    add(
        "--speed",
        type=float,
        default=default.speed,
        help="how many times faster than the service jobs run (%(default)s)",
    )
    add("--processing-seconds", type=float, help="every job takes exactly this long instead")
    add("--mode", choices=["async", "sync"], help="make every model answer this way")
    add("--seed", type=int, default=default.seed, help="of what is drawn at random (%(default)s)")
    add(
        "--requests-per-second",
        type=int,
        default=default.requests_per_second,
        help="per key; 0 is no limit (%(default)s)",
    )
    add("--daily-requests", type=int, help="requests per key and UTC day")
    add("--daily-usd", type=float, help="USD per key and UTC day")
    add(
        "--extra-model",
        action="append",
        default=[],
        metavar="ID",
        help="a synchronous model to accept as well; may be repeated",
    )
    add("--recogniser", choices=["auto", "none"], default=default.recogniser, help="none: scripted transcripts only")
    add("--ledger", metavar="FILE", help="append each charge as a JSON line")
    add("--ready-file", metavar="FILE", help="write url, key and connection here as JSON once listening")
    add("--log-level", default="warning", choices=["debug", "info", "warning", "error"], help="(%(default)s)")
    return grammar


def _keys(options: argparse.Namespace) -> list[str]:
    """Return the keys that are given as options, in a file or in the environment."""
    in_file = Path(options.key_file).read_text(encoding="utf-8").split() if options.key_file else []
    return [*options.key, *in_file, *os.environ.get(KEY_VARIABLE, "").split()]


def settings_from(options: argparse.Namespace) -> Settings:
    """Return the settings the options ask for."""
    return Settings(
        host=options.host,
        allow_remote=options.allow_remote,
        port=options.port,
        keys=_keys(options),
        balance=options.balance,
        speed=options.speed,
        processing_seconds=options.processing_seconds,
        mode=options.mode,
        seed=options.seed,
        requests_per_second=options.requests_per_second,
        daily_requests=options.daily_requests,
        daily_usd=options.daily_usd,
        extra_models={name: Model(name, name, 0.01) for name in options.extra_model},
        recogniser=options.recogniser,
        ledger=options.ledger,
    )


def announce(emulator: Emulator, ready_file: str | None) -> None:
    """Write the ready file in one piece, then print how to reach the emulator."""
    if ready_file:
        ready = {"url": emulator.url, "key": emulator.api_key, "connection": emulator.connection, "pid": os.getpid()}
        with NamedTemporaryFile("w", dir=Path(ready_file).parent, delete=False, encoding="utf-8") as unfinished:
            unfinished.write(json.dumps(ready))  # it has the key, and only its owner may read it
        Path(unfinished.name).replace(ready_file)
    sys.stdout.write(
        f"NanoGPT emulator at {emulator.url}\n"
        f"API key {emulator.api_key}\n"
        f"AIRFLOW_CONN_NANOGPT_DEFAULT='{emulator.connection_json}'\n"
    )
    sys.stdout.flush()


async def serve(emulator: Emulator, ready_file: str | None) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with emulator.listening():
        announce(emulator, ready_file)
        await stop.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the emulator until it is stopped, and return the exit status: 2 if it cannot listen.

    :param argv: arguments without the program's name; None takes the command line's.
    """
    options = parser().parse_args(argv)
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(serve(Emulator(settings_from(options)), options.ready_file))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"nanostt-emulator: {str(error).encode('unicode_escape').decode()}\n")
        return 2
    if options.ready_file:
        Path(options.ready_file).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
