"""Looking at and steering an emulator: in the process, over HTTP, as a command and as a fixture."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
import requests

from airflow_provider_nanostt.emulator import ControlError, Emulator, EmulatorControl, Fault, Settings, Timing
from airflow_provider_nanostt.emulator.__main__ import main
from airflow_provider_nanostt.emulator.control import control_routes
from airflow_provider_nanostt.emulator.testing import nanogpt_emulator

from .conftest import ASYNC, MP3, SYNC, Caller

assert nanogpt_emulator  # a fixture: pytest finds it by its name


@pytest.fixture
def control(nanogpt):
    return EmulatorControl(nanogpt.url)


def test_both_ways_show_the_same(nanogpt, api, control):
    """Charges, jobs, requests, counts, balances and faults are equal in the process and over HTTP."""
    api.upload(diarize="true")
    api.url(model=SYNC)
    api.status({"runId": "none"})
    nanogpt.fail("/transcribe", status=500, headers={"X": "y"})
    assert len(control.charges) == 2
    assert control.charges == nanogpt.charges
    assert control.jobs == nanogpt.jobs
    assert control.requests == nanogpt.requests
    assert control.counts == nanogpt.counts == {"/transcribe 202": 1, "/transcribe 200": 1, "/transcribe/status 404": 1}
    assert control.balances == nanogpt.balances
    assert control.faults == nanogpt.faults
    assert control.health() == {"status": "ok", "recogniser": False, "jobs": 1, "charges": 2, "requests": 3}


def test_all_can_be_steered_over_http(nanogpt, api, control):
    """Scripts, faults, keys, balances and the reset work from another process as they do in this one."""
    control.script("z.mp3", text="from afar", duration=3)
    assert api.upload("z.mp3", model=SYNC).json()["transcription"] == "from afar"
    control.clear_scripts()
    assert api.upload("z.mp3", model=SYNC).status_code == 500
    control.fail("/check-balance", status=418)
    control.fail("check-balance", Fault(status=419))
    assert [api.post("/check-balance").status_code for _ in range(3)] == [418, 419, 200]
    control.fail("*", status=500)
    control.clear_faults()
    assert nanogpt.faults == []
    key = control.add_key(balance=2.0)
    control.set_balance(3.0, key)
    assert Caller(nanogpt, key).post("/check-balance").json()["usd_balance"] == "3.00000000"
    assert control.keep_books(balance_off=0.5).balance_off == 0.5
    assert Caller(nanogpt, key).post("/check-balance").json()["usd_balance"] == "3.50000000"
    control.reset()
    assert (nanogpt.charges, nanogpt.requests, nanogpt.counts) == ([], [], {})
    assert nanogpt.balances[key] == 2.0


def test_a_reset_forgets_jobs(nanogpt, api):
    """After a reset a run is unknown, and failed jobs of before refund nothing."""
    nanogpt.script("slow.mp3", status="failed", processing_seconds=0.2)
    ticket = api.url("https://files.test/slow.mp3").json()
    nanogpt.reset()
    assert api.status(ticket).status_code == 404
    assert nanogpt.balances[api.key] == 100.0


@pytest.mark.parametrize(
    "request_",
    [
        lambda control: control.fail("*", kind="explode"),
        lambda control: control.script("a", colour="red"),
        lambda control: control.set_balance(1.0, "nobody"),
        lambda control: control.keep_books(honest=True),
        lambda control: control.set_model("New-STT", honest=True),
        lambda control: control.drop_model("New-STT"),
    ],
)
def test_a_control_request_that_makes_no_sense_is_refused(control, request_):
    """The control client raises what the emulator says is wrong."""
    with pytest.raises(ControlError, match="400"):
        request_(control)


async def test_control_answers_loopback_only(nanogpt):
    """A request that comes from elsewhere is a 403."""

    class Elsewhere:
        remote = "192.0.2.1"

    (route,) = [route for route in control_routes(nanogpt, listens=False) if route.path == "/_emulator/charges"]
    assert (await route.handler(Elsewhere())).status == 403


def test_requests_are_logged_with_what_matters(nanogpt, api):
    """A record names method, path, key, headers, fields and connection; the key is not among the headers shown."""
    api.upload(language="en")
    api.call("GET", "/v1/usage", params={"group_by": "day"})
    upload, usage = nanogpt.requests
    assert (upload.method, upload.path, upload.endpoint) == ("POST", "/api/transcribe", "/transcribe")
    assert (upload.status, upload.key) == (202, api.key)
    assert upload.fields["audio"] == {"file_name": "a.mp3", "content_type": "audio/mpeg", "size": 64}
    assert (upload.fields["model"], upload.fields["language"]) == (ASYNC, "en")
    assert "x-api-key" in upload.header_names
    assert "authorization" not in upload.header_names
    assert api.key not in json.dumps(upload.headers)
    assert upload.headers["content-type"].startswith("multipart/form-data")
    assert upload.connection != usage.connection
    assert usage.fields == {"group_by": "day"}


def test_the_request_log_is_bounded_but_the_counts_are_not():
    """The log keeps the latest requests, the counts all of them."""
    with Emulator(request_log=3) as nanogpt:
        for _ in range(5):
            Caller(nanogpt).post("/check-balance")
        assert len(nanogpt.requests) == 3
        assert nanogpt.counts == {"/check-balance 200": 5}


def test_charges_of_many_at_once_all_count(nanogpt):
    """Forty submits from eight threads are forty charges with forty runs, and the balance is their sum less."""
    with ThreadPoolExecutor(8) as pool:
        runs = {answer.json()["runId"] for answer in pool.map(lambda _: Caller(nanogpt).url(), range(40))}
    assert {charge.run_id for charge in nanogpt.charges} == runs
    assert len(runs) == 40
    assert nanogpt.balances[nanogpt.api_key] == pytest.approx(100 - 40 * 0.045)


def test_the_ledger_file_is_written_before_the_answer(tmp_path):
    """A charge whose answer is lost is in the file; a refund is a line of its own."""
    file = tmp_path / "ledger.jsonl"
    with Emulator(ledger=str(file), processing_seconds=0) as nanogpt:
        nanogpt.script("bad.mp3", status="failed", duration=60)
        nanogpt.fail("/transcribe", kind="reset", after_charge=True)
        with pytest.raises(requests.exceptions.ConnectionError):
            Caller(nanogpt).url("https://files.test/bad.mp3")
        (line, *_) = file.read_text().splitlines()
        assert json.loads(line)["run_id"] == nanogpt.charges[0].run_id
        while not nanogpt.charges[0].refunded:
            time.sleep(0.01)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["event"], line["cost"], line["refunded"]) for line in lines] == [
        ("charge", 0.03, 0.0),
        ("refund", 0.03, 0.03),
    ]


async def test_it_runs_in_an_event_loop_that_is_there():
    """serve_async needs no thread; afterwards nobody listens."""
    async with (
        Emulator.serve_async(Settings(processing_seconds=0), balance=7.0) as nanogpt,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(nanogpt.url + "/check-balance", headers={"x-api-key": nanogpt.api_key}) as answer:
            assert (await answer.json())["usd_balance"] == "7.00000000"
        url = nanogpt.url
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post(url + "/check-balance")


def test_the_fixture_points_airflow_at_it(nanogpt_emulator):
    """The fixture for users is a running emulator, and the default connection leads to it."""
    connection = json.loads(os.environ["AIRFLOW_CONN_NANOGPT_DEFAULT"])
    assert connection == {"conn_type": "nanogpt", "password": nanogpt_emulator.api_key, "host": nanogpt_emulator.url}
    assert EmulatorControl(connection["host"]).health()["status"] == "ok"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_only_loopback_without_leave(host):
    """Any other address is refused unless allowed, when entered as well as on the command line."""
    with pytest.raises(ValueError, match="loopback"), Emulator(host=host):
        pass
    assert main(["--host", host]) == 2


def test_remote_can_be_allowed_and_loopback_has_several_names():
    """allow_remote permits any address; localhost and ::1 are loopback."""
    with Emulator(host="0.0.0.0", allow_remote=True) as nanogpt:
        assert EmulatorControl(nanogpt.url.replace("0.0.0.0", "127.0.0.1")).health()["status"] == "ok"
    for host in ("localhost", "::1"):
        with Emulator(host=host) as nanogpt:
            assert EmulatorControl(nanogpt.url).health()["status"] == "ok"


def test_a_taken_port_is_an_error():
    """A second emulator on the same port does not start."""
    with Emulator() as nanogpt:
        port = int(nanogpt.url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="ddress"), Emulator(port=port):
            pass
        assert main(["--port", str(port)]) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_starts_says_where_and_stops(tmp_path, number):
    """The command says where it is, obeys its options, and ends with 0 on a signal, its ready file gone."""
    ready, ledger = tmp_path / "ready.json", tmp_path / "ledger.jsonl"
    options = ["--key", "sk-nano-mine", "--balance", "5", "--processing-seconds", "0", "--mode", "async", "--seed", "3"]
    options += ["--ready-file", str(ready), "--ledger", str(ledger), "--extra-model", "new", "--recogniser", "none"]
    command = [sys.executable, "-m", "airflow_provider_nanostt.emulator", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        facts = json.loads(ready.read_text())
        connection = json.loads(lines[2].split("'")[1])
        assert connection == {"conn_type": "nanogpt", "password": "sk-nano-mine", "host": lines[0].split()[-1]}
        control = EmulatorControl(connection["host"])
        control.script("a.mp3", text="hi", duration=60)
        answer = requests.post(
            connection["host"] + "/transcribe",
            json={"audioUrl": "https://files.test/a.mp3", "model": "new"},
            headers={"x-api-key": "sk-nano-mine"},
            timeout=10,
        )
        assert answer.status_code == 202
        assert control.balances == {"sk-nano-mine": 4.99}
        assert json.loads(ledger.read_text())["model"] == "new"
        assert (facts["url"], facts["key"], facts["pid"]) == (connection["host"], "sk-nano-mine", process.pid)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert not ready.exists()
    with pytest.raises(urllib.error.URLError):
        control.health()


def test_the_command_can_be_called(tmp_path, capsys):
    """main() runs until a signal comes and returns 0; without a ready file it prints all there is to know."""
    ready = tmp_path / "ready.json"

    def stop_when_ready():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop_when_ready, daemon=True)
    stopper.start()
    assert main(["--ready-file", str(ready), "--recogniser", "none"]) == 0
    stopper.join()
    assert "AIRFLOW_CONN_NANOGPT_DEFAULT='{" in capsys.readouterr().out
    assert not ready.exists()


def test_job_times_follow_the_published_formula():
    """Of many drawn times the median is that of the formula, four lanes help long files, and a seed repeats itself."""
    timing, rng = Timing(), random.Random(1)
    short = [timing.job(60, rng)[1] for _ in range(4000)]
    assert statistics.median(short) == pytest.approx(2.0 + 1.3 + 60 / 11.6, rel=0.15)
    assert max(short) > 60
    hours = [timing.job(10_800, rng)[1] for _ in range(4000)]
    assert statistics.median(hours) == pytest.approx(2.0 + 1.3 + 10_800 / (11.6 * 4), rel=0.1)
    assert timing.job(60, random.Random(5)) == timing.job(60, random.Random(5))
    assert all(queue < total for queue, total in (timing.job(1, rng) for _ in range(100)))
    assert 0.5 + 600 / 190 <= timing.sync(600, rng) <= 0.5 + 600 / 60


def test_times_come_from_script_setting_list_or_formula():
    """A script's time goes first, then a list one by one, then the formula over the speed."""
    nanogpt = Emulator(processing_seconds=[5.0, 7.0], speed=1e9)
    script = nanogpt.script("a", processing_seconds=3.0)
    draws = [
        nanogpt.draw_times(60, script, sync=False)[1],
        *(nanogpt.draw_times(60, None, sync=False)[1] for _ in range(3)),
    ]
    assert draws[:3] == [3.0, 5.0, 7.0]
    assert draws[3] < 1e-6
    assert nanogpt.draw_times(60, None, sync=True)[1] < 1e-6
    assert Emulator(processing_seconds=4).draw_times(60, None, sync=True)[1] == 4


def test_nothing_else_of_the_package_is_imported():
    """The emulator shares no module with the client it tests, and loads without Airflow, pytest or recogniser."""
    code = "import sys, airflow_provider_nanostt.emulator.__main__; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in found if name.startswith("airflow")}
    assert {name.split(".")[1] for name in ours if "." in name} == {"emulator"}
    assert not {"airflow", "pytest", "requests", "pocketsphinx", "av"} & set(found)


async def test_hundreds_wait_without_a_task_each():
    """A scripted job that waits costs no task in the loop."""
    async with (
        Emulator.serve_async(requests_per_second=0, processing_seconds=60) as nanogpt,
        aiohttp.ClientSession() as session,
    ):
        nanogpt.script("a.mp3", text="hi", duration=1)
        headers = {"x-api-key": nanogpt.api_key}
        body = {"audioUrl": "https://files.test/a.mp3", "model": ASYNC}
        for _ in range(300):
            async with session.post(nanogpt.url + "/transcribe", json=body, headers=headers) as answer:
                assert answer.status == 202
        assert len(nanogpt.jobs) == 300
        assert len(asyncio.all_tasks()) < 20


def test_the_catalogue_can_be_changed_while_it_runs(nanogpt, api, control):
    """A price, a mode, a size, a new model, one that vanishes or is unknown: from the next request on."""

    def listed() -> dict[str, float]:
        answer = requests.get(f"{nanogpt.url}/v1/audio-models?type=stt&detailed=true", timeout=5)
        return {entry["id"]: entry["pricing"]["per_minute"] for entry in answer.json()["data"]}

    before = listed()
    nanogpt.script("*", text="hello", duration=60)
    assert control.set_model("New-STT", per_minute=0.5, mode="async").per_minute == 0.5
    assert control.set_model(SYNC, per_minute=0.25, mode="async", max_megabytes=1.5) == nanogpt.models[SYNC]
    control.set_model("Wizper", listed=False)
    control.drop_model(ASYNC)
    wanted = {**before, "New-STT": 0.5, SYNC: 0.25}
    assert listed() == {name: price for name, price in wanted.items() if name not in ("Wizper", ASYNC)}
    assert [api.url(model=model).status_code for model in ("New-STT", SYNC, "Wizper", ASYNC)] == [202, 202, 200, 400]
    assert [charge.cost / charge.minutes for charge in nanogpt.charges] == pytest.approx([0.5, 0.25, 0.01])
    assert api.upload("a.mp3", MP3 + bytes(1_600_000), model=SYNC).status_code == 413
    nanogpt.set_model("New-STT", entry={"pricing": None})
    with pytest.raises(TypeError):
        listed()
    control.reset()
    assert listed() == before
