"""The counters of what was paid, as Airflow's metrics get them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.operators import TranscribeBatchOperator, TranscribeOperator, YouTubeTranscribeOperator

VIDEOS = [f"https://www.youtube.com/watch?v=parcels-00{number}" for number in range(3)]


def operators(wav: Any, folder: str) -> dict[str, Any]:
    common = {"task_id": "t", "output_path": folder}
    return {
        "one": TranscribeOperator(audio=str(wav), **common),
        "one that is waited for": TranscribeOperator(
            audio=str(wav), model="Elevenlabs-STT", poll_interval=0.05, **common
        ),
        "batch": TranscribeBatchOperator(audio=[str(wav)], model="Elevenlabs-STT", poll_interval=0.05, **common),
        "videos": YouTubeTranscribeOperator(urls=[*VIDEOS, "https://youtu.be/has-none-00"], **common),
    }


@pytest.mark.parametrize("kind", ["one", "one that is waited for", "batch", "videos"])
def test_all_money_is_counted(emulator: Emulator, wav, files, counted, kind):
    """``nanostt.cost_micro_usd`` is the sum of the service's charges, whatever they were for."""
    for url in VIDEOS:
        emulator.script(url, text="Parcels", title="Parcels")
    made = operators(wav, str(files.folder))[kind]
    if kind == "videos":
        with pytest.raises(Exception, match="1 of 4 recordings have no transcript"):
            made.execute(files.context())
    else:
        made.execute(files.context())
    assert emulator.charges
    assert counted["nanostt.cost_micro_usd"] == pytest.approx(
        sum(charge.cost for charge in emulator.charges) * 1e6, abs=1
    )


def test_uncertain_submits_are_counted(emulator: Emulator, wav, files, counted):
    """Once for the try whose answer was lost, and once for each later try that finds its record."""
    emulator.fail("/transcribe", kind="reset", after_charge=True)
    one = operators(wav, str(files.folder))["one"]
    for times in (1, 2):
        with pytest.raises(Exception, match="may have been"):
            one.execute(files.context())
        assert counted["nanostt.uncertain_submits"] == times
    assert len(emulator.charges) == 1


def test_refusals_of_tasks_are_counted(emulator: Emulator, wav, files, counted, no_pauses):
    """A submit that was refused twice, and a free call once."""
    emulator.fail("/transcribe", status=429, retry_after=0, times=2)
    emulator.fail("/v1/audio-models", status=429, retry_after=0)
    operators(wav, str(files.folder))["one"].execute(files.context())
    assert counted["nanostt.refusals"] == 3
    assert counted["nanostt.uncertain_submits"] == 0
