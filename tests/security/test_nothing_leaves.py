"""Operators run to their end against a service that says everything it was sent: nothing of it is left anywhere."""

from __future__ import annotations

import http.server
import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_nanostt.common.known_secrets import forget_all
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from tests.conftest import fire

from .spellings import KEY, PASSWORD, SPELLINGS, URL, USER, found_in

ENDS = ("completed", "failed", "gone", "refused", "broken")


class Echo(http.server.ThreadingHTTPServer):
    """A service that repeats what it was sent; ``write`` says how, and ``end`` what becomes of a job."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.write: Callable[[str], str] = str
        self.end = "completed"
        self.url = ""
        self.asked = 0

    def said(self, what: str = "cannot fetch") -> str:
        """All that it was sent, as it writes it."""
        return f"{what} {self.write(self.url)} with {self.write(KEY)} now"

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path.endswith("check-balance"):
            return 200, {"usd_balance": "50", "note": self.said()}
        if path.endswith("/status"):
            return self._status()
        if path.endswith("/transcribe"):
            self.url = json.loads(body)["audioUrl"] if b"audioUrl" in body else "https://none.example/"
            more = {"fileName": self.said(), "input": {"url": self.said(), "list": [self.said()]}, "audioUrl": self.url}
            if self.end == "refused":
                return 400, {"error": {"message": self.said(), "code": self.said("code")}}
            return 202, {"runId": "RID-1", "status": "pending", "cost": 0.001, "chargedDuration": 1.0, **more}
        return 200, {"data": []}

    def _status(self) -> tuple[int, Any]:
        self.asked += 1
        if self.asked == 1:
            return 200, {"status": self.said("waiting for")}
        if self.end == "completed":
            words = [{"text": "Good", "start": 0, "end": 1, "speaker_id": self.said("who"), "note": self.said()}]
            metadata = {"audioUrl": self.url, "model": "Elevenlabs-STT", "input": {"note": self.said()}}
            return 200, {"status": "completed", "transcription": "Good morning", "words": words, "metadata": metadata}
        if self.end == "failed":
            return 200, {"status": "failed", "error": self.said()}
        if self.end == "gone":
            return 404, {"error": self.said(), "code": self.said()}
        return 200, [self.said()]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Echo

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.server.answer(self.path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Request-Id", self.server.write(KEY).replace("\n", " "))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST  # noqa: N815  its name in http.server

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Echo]:
    """The service, behind the connection; a proxy with a password is for other hosts."""
    with Echo() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = {
            "conn_type": "nanogpt",
            "password": f" {KEY}\n",
            "host": f"http://127.0.0.1:{server.server_port}/api",
        }
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("HTTPS_PROXY", f"http://{USER}:{PASSWORD}@127.0.0.1:9")
        yield server
        server.shutdown()


def run(make: Callable[[], Any], context: dict[str, Any]) -> list[Any]:
    """Run an operator as Airflow would, and return all that it hands over: arguments, events, results, errors."""
    left: list[Any] = []
    made = make()
    made.render_template_fields({})
    try:
        left.append(made.execute(context))
    except BaseException as raised:  # noqa: BLE001  deferring is one
        if type(raised).__name__ != "TaskDeferred":
            return [*left, *told(raised)]
        left.append(raised.trigger.serialize())  # type: ignore[attr-defined]
        forget_all()  # the triggerer is another process
        left.append(event := fire(raised.trigger))  # type: ignore[attr-defined]
        forget_all()
        made = make()
        made.render_template_fields({})
        try:
            left.append(made.execute_complete(context, event=event))
        except Exception as error:  # noqa: BLE001  whichever it is
            left += told(error)
    return left


def told(error: BaseException) -> list[str]:
    """Return all that may be shown of an exception."""
    return [str(error), repr(error), "".join(traceback.format_exception(error)), repr(error.__cause__)]


@pytest.fixture
def left_by(
    echo: Echo,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    run_task: Any,
    no_pauses: None,
    asked_often: None,
) -> Callable[..., dict[str, str]]:
    """Return a function that runs a task, and returns all that it leaves, by where."""

    def leave(operator: Any, **arguments: Any) -> dict[str, str]:
        caplog.set_level(logging.DEBUG)
        pushed: list[Any] = []
        names = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1, "max_tries": 0}
        ti = SimpleNamespace(**names, xcom_push=lambda key, value: pushed.append((key, value)))
        shared = {"model": "Elevenlabs-STT", "output_path": str(tmp_path / "out"), "actual_duration": 1}
        waiting = {"max_worker_wait": 0, "poll_interval": 0.05, "timeout": 1}
        left = run(lambda: operator(task_id="t", **shared, **waiting, **arguments), {"ti": ti})
        files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
        logged = [f"{one.getMessage()} {one.exc_text} {one.exc_info}" for one in caplog.records]
        captured = capsys.readouterr()
        assert echo.url == URL
        return {
            "handed over": repr(left) + json.dumps(left, default=str),
            "XCom": repr(pushed),
            "files": "\n".join(f"{file}\n{file.read_text()}" for file in files),
            "logs": "\n".join(logged) + captured.out + captured.err,
        }

    return leave


@pytest.mark.parametrize("write", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize(
    "end", ["completed", *(pytest.param(end, marks=pytest.mark.long) for end in ("failed", "refused"))]
)
def test_no_secret_is_in_anything_that_a_task_leaves(echo: Echo, left_by: Any, write: Any, end: str):
    """However the service writes it: in logs, XCom, ledger, results, events and arguments of triggers."""
    echo.write, echo.end = write, end
    left = left_by(TranscribeOperator, audio_url=URL, formats=["json", "txt", "html"], deferrable=True)
    assert {place: found_in(text) for place, text in left.items() if found_in(text)} == {}
    assert end != "completed" or "Good morning" in left["files"]


@pytest.mark.parametrize("write", ["slashes"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", ["one", "batch"])
@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "waited for"])
def test_no_secret_is_left_however_a_task_ends(
    echo: Echo, left_by: Any, write: str, end: str, kind: str, deferrable: bool
):
    """Also in the manifest of a batch."""
    echo.write, echo.end = SPELLINGS[write], end
    if kind == "one":
        left = left_by(TranscribeOperator, audio_url=URL, deferrable=deferrable)
    else:
        left = left_by(TranscribeBatchOperator, audio=[URL], manifest_formats=["jsonl", "csv"], deferrable=deferrable)
        assert "manifest.csv" in left["files"]
    assert {place: found_in(text) for place, text in left.items() if found_in(text)} == {}
