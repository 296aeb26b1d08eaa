"""Models and prices that change between two nights, or between the estimate and the submit."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator
from tests.conftest import TEXT, Memory

ASYNC, SYNC = "Elevenlabs-STT", "Whisper-Large-V3"


def operator(**arguments: Any) -> TranscribeOperator:
    return TranscribeOperator(task_id="transcribe", **{"model": SYNC, "poll_interval": 0.03, **arguments})


def submits(emulator: Emulator) -> list[dict[str, Any]]:
    return [dict(request.fields) for request in emulator.requests if request.endpoint == "/transcribe"]


@pytest.fixture
def hours_later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the clock by which the catalogue is asked for again go on, as it does until the next night."""
    clock, ahead = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + ahead[0])

    def later(hours: float = 2.0) -> None:
        ahead[0] += hours * 3600

    return later


def test_a_price_that_rises_after_the_estimate_is_refused(emulator: Emulator, wav, hours_later):
    """What was estimated in the evening is a limit at night; the price of the night counts, and nothing is paid."""
    estimate = NanoGPTHook().estimate(wav, model=ASYNC)
    emulator.set_model(ASYNC, per_minute=0.051)
    hours_later()
    with pytest.raises(AirflowFailException, match=r"\$0\.051/min.*catalogue of 20") as caught:
        operator(audio=str(wav), model=ASYNC, max_cost_usd=estimate.usd).execute({})
    assert f"max_cost_usd = ${estimate.usd:.6f}".rstrip("0") in str(caught.value)
    assert emulator.charges == []


def test_a_price_that_rises_within_the_hour_stops_the_batch(emulator: Emulator, wav, tmp_path):
    """The first item is charged more than the catalogue has said; what the service says then counts for the next."""
    NanoGPTHook().known_models()
    emulator.set_model(ASYNC, per_minute=0.3)
    audio = [{"audio": str(wav), "language": language} for language in ("en", "en-GB", "en-US", "en-AU")]
    cost = 12.036 / 60 * 0.03
    made = TranscribeBatchOperator(
        task_id="batch",
        audio=audio,
        output_path=str(tmp_path / "out"),
        model=ASYNC,
        max_cost_usd=3.5 * cost,
        max_parallel=1,
        poll_interval=0.03,
    )
    with pytest.raises(Exception, match="max_cost_usd"):
        made.execute({"ti": None, **Memory("files", tmp_path / "out").context()})
    assert len(emulator.charges) == 1


def test_a_vanished_model_is_submitted_with_a_warning(emulator: Emulator, wav, run_task, logged):
    """The service may still have it; if it has not, it says so, and nothing is charged."""
    emulator.set_model(SYNC, listed=False)
    assert run_task(lambda: operator(audio=str(wav), max_cost_usd=0.01))["transcription"] == TEXT
    assert any(f"Model '{SYNC}' is in the built-in table of" in line and "not in" in line for line in logged())
    emulator.drop_model(SYNC)
    with pytest.raises(AirflowFailException, match=f"{SYNC}.*not a known"):
        operator(audio=str(wav)).execute({})
    assert len(emulator.charges) == 1


def test_a_vanished_price_rounds_up(emulator: Emulator, wav):
    """Without the catalogue's price, the highest that was seen counts against the limit, with both dates."""
    emulator.set_model(SYNC, listed=False)
    words = r"not certain.*\$0\.000495/min.*table of 2026-08-24.*at most \$0\.002.*\$0\.01/min.*of August 2026"
    with pytest.raises(AirflowFailException, match=words):
        operator(audio=str(wav), max_cost_usd=0.001).execute({})
    assert emulator.charges == []


def test_a_new_model_is_used_as_the_catalogue_says(emulator: Emulator, wav, run_task, logged):
    """Its price, its speakers and its way of answering are known without a new version of this provider."""
    emulator.set_model("New-STT", per_minute=0.2, mode="async", timestamps=True)
    result = run_task(lambda: operator(audio=str(wav), model="New-STT", diarize=True, max_cost_usd=0.05))
    assert result["segments"]
    assert any("$0.2/min for New-STT (price from the service's catalogue of" in line for line in logged())


def test_an_unknown_model_is_submitted_and_the_log_says_so(emulator: Emulator, wav, run_task, logged):
    """A limit counts it as the dearest of all."""
    emulator.set_model("Secret-STT", listed=False)
    run_task(lambda: operator(audio=str(wav), model="Secret-STT", max_cost_usd=0.05))
    assert any("Model 'Secret-STT' is not in the built-in table" in line for line in logged())
    with pytest.raises(AirflowFailException, match=r"unknown price.*\$0\.102/min, of 'openai-whisper-with-video'"):
        operator(audio=str(wav), model="Secret-STT", max_cost_usd=0.02).execute({})


@pytest.mark.parametrize(("model", "mode", "before", "after"), [(SYNC, "async", 0, 1), (ASYNC, "sync", 1, 0)])
def test_a_model_may_turn_async_or_sync(emulator: Emulator, wav, files: Memory, run_task, model, mode, before, after):
    """The answer says whether to wait; a retry of either finds what was paid for."""

    def result(**more: Any) -> Any:
        return run_task(lambda: operator(audio=str(wav), model=model, **files.arguments, **more), files.context())

    first = result()
    assert len(emulator.jobs) == before
    emulator.set_model(model, mode=mode)
    assert result()["run_id"] == first["run_id"]
    result(language="en")
    assert len(emulator.jobs) == before + after
    result(language="en")
    assert len(emulator.charges) == 2


def test_a_size_that_the_model_does_not_take_is_compressed(emulator: Emulator, tmp_path, run_task):
    """The limit of the catalogue counts where it is lower than the service's."""
    pytest.importorskip("av")
    from tests.audio.sounds import hiss, note
    from tests.audio.sounds import wav as wav_of

    file = tmp_path / "call.wav"
    file.write_bytes(wav_of(note() + hiss(20)))
    assert 1_000_000 < file.stat().st_size < 3_000_000
    emulator.set_model(SYNC, max_megabytes=1.0)
    emulator.script("call.ogg", text="Hello.", duration=32.0)
    assert run_task(lambda: operator(audio=str(file)))["transcription"] == "Hello."


def test_a_recording_that_needs_speakers_is_refused_once_the_model_has_none(emulator: Emulator, wav):
    """Before anything is paid for, with who says so and what else there is."""
    emulator.set_model(ASYNC, entry={"capabilities": {"diarization": False}, "supported_parameters": ["model"]})
    emulator.set_model("New-STT", timestamps=True)
    with pytest.raises(AirflowFailException, match=r"diarize=True.*says the service's catalogue of.*'New-STT'"):
        operator(audio=str(wav), model=ASYNC, diarize=True).execute({})
    assert emulator.charges == []


@pytest.mark.parametrize("price", [-1, 0, 1e12, "NaN", "free", None, [], {"usd": 1}])
def test_a_nonsensical_price_lifts_no_limit(emulator: Emulator, wav, price):
    """What the catalogue says comes from outside; the table's price counts where it cannot be meant."""
    emulator.set_model(ASYNC, entry={"pricing": {"per_minute": price}})
    with pytest.raises(AirflowFailException, match=r"max_cost_usd = \$0\.005.*table of 2026-08-24"):
        operator(audio=str(wav), model=ASYNC, max_cost_usd=0.005).execute({})
    assert submits(emulator) == []
