"""The handle on the recogniser: one child process, started when first needed, fed from one thread.

Nothing here knows about jobs or HTTP. What the child does is in `recogniser_worker`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from airflow_provider_nanostt.emulator.transcript import Word

NOT_INSTALLED = (
    "No recogniser is installed, so this emulator cannot tell what is said in the audio and will not invent it. "
    "Install it with: pip install 'airflow-provider-nanostt[emulator]' - or script a transcript for this file name."
)


class RecogniserError(Exception):
    """The recogniser is missing or gave up; the message is what the job fails with."""


class Recogniser:
    """Speech to words, in a process of its own, so that the event loop is never held up.

    :param enabled: False behaves as if pocketsphinx were not installed.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self.available = enabled and find_spec("pocketsphinx") is not None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recogniser")
        self._lock = threading.Lock()
        self._closed = False

    async def words(self, channels: tuple[bytes, ...]) -> list[Word]:
        """Return the words of all channels in order of time; each channel is one speaker.

        :param channels: 16 kHz mono 16-bit PCM, one per speaker.
        :raises RecogniserError: it is not installed, or the child process ended.
        """
        if not self.available:
            raise RecogniserError(NOT_INSTALLED)
        found: list[Word] = []
        for speaker, pcm in enumerate(channels):
            try:
                heard = await asyncio.get_running_loop().run_in_executor(self._thread, self._listen, pcm)
            except RuntimeError as error:  # the thread takes no more work
                raise RecogniserError("the emulator is stopping") from error
            for text, start, end in heard:
                noise = text.startswith(("[", "+"))
                shown = f"({text.strip('[]+').lower()})" if noise else text
                found.append(Word(shown, start, end, speaker, "audio_event" if noise else "word"))
        return sorted(found, key=lambda word: (word.start, word.speaker))

    def close(self) -> None:
        """End the child process and the thread; a request under way fails."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.kill()
        self._thread.shutdown(wait=True, cancel_futures=True)
        if process is not None:
            process.communicate()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise RecogniserError("the emulator is stopping")
            if self._process is None or self._process.poll() is not None:
                worker = Path(__file__).with_name("recogniser_worker.py")
                # -P keeps this folder off the child's import path, where our module names could hide others.
                self._process = subprocess.Popen(  # noqa: S603  # our own file, no shell
                    [sys.executable, "-P", str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            return self._process

    def _listen(self, pcm: bytes) -> list[tuple[str, float, float]]:
        process = self._started()
        assert process.stdin is not None  # noqa: S101  # for the type checker: both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps({"bytes": len(pcm)}).encode() + b"\n" + pcm)
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):
            line = b""
        if not line:
            process.kill()  # its pipe may break a moment before it is gone: the next request must not meet it again
            raise RecogniserError(f"the recogniser's process ended with status {process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RecogniserError(f"the recogniser failed: {answer['error']}")
        return [(text, start, end) for text, start, end in answer["words"]]
