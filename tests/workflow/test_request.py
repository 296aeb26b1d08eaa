"""What a recording costs is known before it is paid for, and what costs too much is not submitted."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api.catalogue import TABLE
from airflow_provider_nanostt.api.errors import CostLimit, InvalidInput
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.workflow import scripts
from tests.audio.odd_files import everything
from tests.audio.range_server import RangeServer
from tests.audio.sounds import encoded, hiss, note
from tests.audio.sounds import wav as wav_of
from tests.conftest import AUDIO, TEXT, Memory

ASYNC, SYNC = "Elevenlabs-STT", "Whisper-Large-V3"
COST = 12.036 / 60 * 0.03
"""USD for the note with the asynchronous model."""


def operator(**arguments: Any) -> TranscribeOperator:
    return TranscribeOperator(task_id="transcribe", **{"model": ASYNC, "poll_interval": 0.03, **arguments})


def asked(emulator: Emulator, endpoint: str) -> int:
    return sum(request.endpoint == endpoint for request in emulator.requests)


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    """An M4A of 262 KB that was never finished: nobody can tell how long it is."""
    (file,) = (file for file in everything() if file.name == "never-finished.m4a")
    path = tmp_path / "never-finished.m4a"
    path.write_bytes(file.data)
    return path


def test_what_costs_too_much_is_not_submitted(emulator: Emulator, wav):
    """The failure has limit, length, price and whose price it is; nothing was sent to be paid for."""
    words = r"max_cost_usd = \$0\.001.*0\.20 min x \$0\.03/min for Elevenlabs-STT .price from the service's catalogue"
    with pytest.raises(AirflowFailException, match=words):
        operator(audio=str(wav), max_cost_usd="0.001").execute({})
    assert asked(emulator, "/transcribe") == 0


def test_what_is_within_the_limit_is_submitted(emulator: Emulator, wav, run_task, logged):
    """Its length is sent in minutes, and the log has length, price, source of the price, and the way it takes."""
    result = run_task(lambda: operator(audio=str(wav), max_cost_usd=0.01))
    assert TEXT in result["transcription"]
    (submit,) = (request for request in emulator.requests if request.endpoint == "/transcribe")
    assert float(submit.fields["actualDuration"]) == pytest.approx(12.036 / 60, abs=0.001)
    lines = "\n".join(logged())
    for words in (
        "0.20 minutes (the WAV's bytes of sound)",
        "price from the service's catalogue",
        "Upload method: upload",
    ):
        assert words in lines


def test_what_earlier_attempts_have_cost_counts(emulator: Emulator, wav, files: Memory, run_task):
    """A retry that would go over the limit together with them is refused, and says what they have cost."""
    emulator.script("note.wav", status="failed", error="noise", duration=12.036)
    arguments = {"audio": str(wav), "max_cost_usd": 1.5 * COST, **files.arguments}
    with pytest.raises(Exception, match="noise"):
        run_task(lambda: operator(**arguments), files.context())
    with pytest.raises(AirflowFailException, match=r"\$0\.006018 went to earlier submits"):
        run_task(lambda: operator(**arguments), files.context())
    assert len(emulator.charges) == 1


def test_what_is_paid_for_is_never_refused(emulator: Emulator, wav, files: Memory, run_task):
    """A limit below what was paid keeps nothing back: fetching costs nothing."""
    first = run_task(lambda: operator(audio=str(wav), **files.arguments), files.context())
    again = run_task(lambda: operator(audio=str(wav), max_cost_usd=0.0001, **files.arguments), files.context())
    assert again == first
    assert len(emulator.charges) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_cost_usd": 0.1}, r"may cost up to \$0\.26.*unknown length"),
        ({"max_cost_usd": 9.0, "cost_limits": {"unknown_length": "fail"}}, r"cost is unknown.*Set actual_duration"),
        ({"max_cost_usd": 0.1, "cost_limits": {"unknown_length": "guess"}}, "unknown_length must be one of"),
        ({"max_cost_usd": -1}, "max_cost_usd must be a non-negative number of USD, got -1"),
        ({"max_cost_usd": "cheap"}, "max_cost_usd must be a non-negative number of USD, got 'cheap'"),
        (
            {"cost_limits": {"check_balance_above": float("nan")}},
            "check_balance_above must be a non-negative number of USD",
        ),
    ],
)
def test_an_unknown_length_is_taken_for_the_worst(emulator: Emulator, unknown, arguments, words):
    """The longest recording that its size can hold counts, unless the user says otherwise; nonsense is refused."""
    with pytest.raises(AirflowFailException, match=words):
        operator(audio=str(unknown), **arguments).execute({})
    assert asked(emulator, "/transcribe") == 0


@pytest.mark.parametrize(
    ("arguments", "minutes"),
    [
        ({"max_cost_usd": 0.3}, None),
        ({"max_cost_usd": 0.01, "cost_limits": {"unknown_length": "allow"}}, None),
        ({"max_cost_usd": 0.01, "actual_duration": 0.25}, "0.25"),
        ({}, None),
    ],
)
def test_an_unknown_length_passes_where_the_user_says_so(emulator: Emulator, unknown, run_task, arguments, minutes):
    """Within the worst case, allowed by name, or with its length stated; a length nobody knows is not sent."""
    emulator.script("never-finished.m4a", text="Hello.", duration=15.0)
    assert run_task(lambda: operator(audio=str(unknown), **arguments))["transcription"] == "Hello."
    (submit,) = (request for request in emulator.requests if request.endpoint == "/transcribe")
    assert submit.fields.get("actualDuration") == minutes


def test_a_large_sum_asks_the_account_first(emulator: Emulator, wav):
    """An account that holds less than the expected cost is told so, before anything is submitted."""
    emulator.set_balance(0.002)
    with pytest.raises(AirflowFailException, match=r"account has \$0\.002, which is less.*\$0\.006"):
        operator(audio=str(wav), cost_limits={"check_balance_above": 0.005}).execute({})
    assert asked(emulator, "/check-balance") == 1
    assert asked(emulator, "/transcribe") == 0


@pytest.mark.parametrize("above", [1.0, None])
def test_a_small_sum_does_not(emulator: Emulator, wav, run_task, above):
    """Below the threshold, or without one, no request is spent on it."""
    run_task(lambda: operator(audio=str(wav), cost_limits={"check_balance_above": above}))
    assert asked(emulator, "/check-balance") == 0


def test_the_default_threshold_is_a_dollar(emulator: Emulator, wav):
    """Forty minutes at three cents ask the account, without being told to."""
    emulator.set_balance(1.0)
    with pytest.raises(AirflowFailException, match=r"account has \$1\.00"):
        operator(audio=str(wav), actual_duration=40).execute({})


def test_what_is_paid_is_counted(emulator: Emulator, wav, run_task, counted):
    """Money and audio go to Airflow's metrics, in whole millionths of a USD and seconds."""
    run_task(lambda: operator(audio=str(wav)))
    (charge,) = emulator.charges
    assert counted["nanostt.cost_micro_usd"] == round(charge.cost * 1e6)
    assert counted["nanostt.charged_seconds"] == round(charge.minutes * 60)


def test_an_estimate_is_free_and_says_whose_price_it_is(emulator: Emulator, wav):
    """Minutes, price, cost and way; nothing is submitted."""
    found = NanoGPTHook().estimate(wav, model=ASYNC)
    assert found.minutes == pytest.approx(12.036 / 60, abs=0.001)
    assert found.usd == pytest.approx(COST, rel=0.001)
    assert found.method == "upload"
    assert found.price.source.startswith("the service's catalogue of 20")
    assert asked(emulator, "/transcribe") == 0


def test_an_estimate_needs_no_connection(emulator: Emulator, wav, monkeypatch):
    """The price is then that of the table, with its date; what the model cannot do is refused as ever."""
    monkeypatch.delenv("AIRFLOW_CONN_NANOGPT_DEFAULT")
    found = scripts.estimate(None, wav, model=ASYNC)
    assert (found.price.per_minute, found.price.source, found.method) == (0.051, TABLE, "upload")
    assert found.usd == pytest.approx(12.036 / 60 * 0.051, rel=0.001)
    with pytest.raises(InvalidInput, match="diarize=True does not work"):
        scripts.estimate(None, wav, model=SYNC, diarize=True)
    assert emulator.requests == []


def test_the_catalogue_is_asked_for_once_an_hour(emulator: Emulator, wav, monkeypatch):
    """However many recordings are estimated, by however many hooks; then its prices are asked for anew."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(3):
        NanoGPTHook().estimate(wav)
    assert asked(emulator, "/v1/audio-models") == 1
    now += 3601
    NanoGPTHook().estimate(wav)
    assert asked(emulator, "/v1/audio-models") == 2


@pytest.mark.parametrize(
    ("extra", "price", "source"),
    [({}, 0.051, TABLE), ({"prices": {ASYNC: 0.5}}, 0.5, "the connection")],
)
def test_without_a_catalogue_the_price_is_the_connections_or_ours(
    emulator: Emulator, wav, monkeypatch, extra, price, source
):
    """A service that does not tell stops nothing, and is not asked again for every recording."""
    emulator.fail("/v1/audio-models", status=503, times=100)
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps({**emulator.connection, "extra": extra}))
    for _ in range(3):
        hook = NanoGPTHook()
        found = hook.known_models().facts(ASYNC).price
    assert (found.per_minute, found.source) == (price, source)
    assert asked(emulator, "/v1/audio-models") == 1


def test_the_hook_keeps_to_a_limit_as_well(emulator: Emulator, wav):
    """Without an operator around it."""
    with pytest.raises(CostLimit, match=r"max_cost_usd = \$0\.001"):
        NanoGPTHook().transcribe(wait_for_completion=False, audio=wav, model=ASYNC, max_cost_usd=0.001)
    assert asked(emulator, "/transcribe") == 0


def test_the_hook_compresses_what_is_too_large(emulator: Emulator, tmp_path):
    """Two minutes of WAV travel as Ogg."""
    large = tmp_path / "large.wav"
    large.write_bytes(wav_of(note() + hiss(90)))
    emulator.script("large.ogg", text="Hello.", duration=102.0)
    assert NanoGPTHook().transcribe(audio=large, model=SYNC).text == "Hello."


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.mp3",
        "http://localhost:8000/a.mp3",
        "http://10.0.0.5/a.mp3",
        "http://192.168.1.2/a.mp3",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/a.mp3",
        "http://recorder/a.mp3",
    ],
)
def test_an_address_the_service_cannot_reach_is_refused(monkeypatch, url):
    """Before anything is sent anywhere, with what to do instead."""
    public = {
        "conn_type": "nanogpt",
        "password": "sk-nano-00000000",
        "host": "https://8.8.8.8/api",
    }  # by number: no DNS
    monkeypatch.setenv("AIRFLOW_CONN_PUBLIC", json.dumps(public))
    with pytest.raises(AirflowFailException, match=r"which the service cannot reach.*object storage URI"):
        operator(audio=url, nanogpt_conn_id="public").execute({})
    with pytest.raises(AirflowFailException, match="not an http"):
        operator(audio_url="file:///etc/passwd", nanogpt_conn_id="public").execute({})


def test_addresses_inside_the_network_are_read_where_the_connection_allows_it(emulator: Emulator, monkeypatch):
    """Its length is unknown, with the reason; with the connection's extra, it is told in a few small reads."""
    with RangeServer({"note.wav": (AUDIO / "weekly-note.wav").read_bytes()}) as server:
        url = server.url("note.wav")
        refused = NanoGPTHook().estimate(url)
        assert refused.minutes is None
        assert server.seen == []
        allowed = {**emulator.connection, "extra": {"allow_private_addresses": True, "allow_insecure_http": True}}
        monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(allowed))
        assert NanoGPTHook().estimate(url).minutes == pytest.approx(12.036 / 60, abs=0.001)
        assert 0 < len(server.seen) <= 4


def test_a_format_the_service_refuses_arrives_as_one_it_takes(emulator: Emulator, tmp_path, run_task):
    """A voice message as phones write them, from the file to the transcript."""
    file = tmp_path / "voice.webm"
    file.write_bytes(encoded(note(), "libopus", "webm", rate=48_000))
    emulator.script("voice.ogg", text="Hello.", duration=12.0)
    assert run_task(lambda: operator(audio=f"file://{file}"))["transcription"] == "Hello."
    (submit,) = (request for request in emulator.requests if request.endpoint == "/transcribe")
    assert float(submit.fields["actualDuration"]) == pytest.approx(0.2, abs=0.005)
