"""Work that would hold up an event loop, done in a thread. What the work is, is not known here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def with_connections(work: Callable[[], T]) -> T:
    """Return what work returns that may take connections from Airflow, which answers only asgiref's thread for them.

    That should wait for no storage; to make a file system may still take a moment, such as for credentials. It is not
    cancelled: Airflow 3.0 and 3.1 would take the answer to this request for the answer to the next one.
    """
    from asgiref.sync import sync_to_async

    working = asyncio.ensure_future(sync_to_async(work)())
    working.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may fail when nobody waits
    return await asyncio.shield(working)


async def in_own_thread(work: Callable[[], T]) -> T:
    """Return what work returns, from a thread that holds up nobody if it never ends, the process's end included.

    Those that asyncio shares out are few, and also look up host names.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def post(take: Callable[[Any], None], value: Any) -> None:
        def given() -> None:
            if not answer.done():
                take(value)

        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(given)

    def run() -> None:
        try:
            value = work()
        except Exception as error:  # noqa: BLE001  it is raised where it is waited for
            post(answer.set_exception, error)
        else:
            post(answer.set_result, value)

    threading.Thread(target=run, name="nanostt-storage", daemon=True).start()
    return await answer
