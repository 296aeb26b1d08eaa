"""How much of what is said survives compressing: word errors of an offline recogniser, before and after.

Three voices of Debian's ``flite`` say the same five minutes of text, some 900 words: with a fifth of that, a word more
or less is half a hundredth, and chance decides. The bit rates are the highest that is used, the one that 25 minutes get
to fit an upload, and the MP3 that is the fallback. The recogniser is the emulator's. Each voice by itself has to stay
within the limit.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import recordings
import report

if TYPE_CHECKING:
    import argparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

VOICES = ("rms", "slt", "awb")
MOST_MORE = 0.02
SENTENCES = Path(__file__).with_name("sentences.txt")
PAUSE = 0.8  # seconds between two sentences


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def errors(said: list[str], heard: list[str]) -> int:
    """How many words must be changed, added or left out to get from one to the other."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        before, row[0] = row[0], at
        for other, found in enumerate(heard, 1):
            before, row[other] = row[other], min(row[other] + 1, row[other - 1] + 1, before + (word != found))
    return row[-1]


def compressed(spoken: array[int], codec: str, seconds: float) -> array[int]:
    """The speech as it sounds after being compressed at the bit rate that a recording of this length gets."""
    from airflow_provider_nanostt.audio.prepare.transcode import Output, compress

    source = io.BytesIO()
    recordings.wav_to(source, [spoken])
    with tempfile.TemporaryDirectory() as folder:
        made = compress(source, Output(Path(folder), 3_000_000), seconds=seconds, codec=codec)
        assert made is not None
        return recordings.samples(made.path.read_bytes())


def measure(options: argparse.Namespace) -> list[report.Row]:
    import make_samples
    import pocketsphinx

    from airflow_provider_nanostt.emulator.recogniser_worker import listen

    make_samples.ensure_flite()
    decoder = pocketsphinx.Decoder(samprate=recordings.RATE, loglevel="FATAL")
    turns = [make_samples.WEEKLY_NOTE, make_samples.CLOSED_OFFICE, *(text for _, _, text in make_samples.CALL)]
    turns = turns[:1] if options.quick else [*turns, *SENTENCES.read_text(encoding="utf-8").splitlines()]
    said = words(" ".join(turns))
    forms = {
        "original": None,
        "Opus, 24 kb/s": ("opus", 60.0),
        "Opus, 25 minutes to fit": ("opus", 1500.0),
        "MP3, 32 kb/s": ("mp3", 60.0),
    }
    rates: dict[str, list[float]] = {name: [] for name in forms}
    pause = array("h", bytes(2 * int(PAUSE * recordings.RATE)))
    for voice in VOICES[:1] if options.quick else VOICES:
        spoken = array("h")
        for turn in turns:
            spoken += make_samples.speak(voice, turn) + pause
        for name, form in forms.items():
            sound = compressed(spoken, *form) if form else spoken
            heard = words(" ".join(word for word, _, _ in listen(decoder, sound.tobytes())))
            rates[name].append(errors(said, heard) / len(said))
    mean = {name: sum(values) / len(values) for name, values in rates.items()}
    worst = {
        name: max(after - before for before, after in zip(rates["original"], values, strict=True))
        for name, values in rates.items()
    }
    return [
        report.Row(
            figure=f"word error of the compressed against the original: {name}",
            beside=f"{mean['original']:.3f} before",
            ours=f"{mean[name]:.3f} ({mean[name] - mean['original']:+.3f}; its worst voice {worst[name]:+.3f})",
            target=f"within {MOST_MORE}, for each of {len(rates[name])} voices",
            met=worst[name] <= MOST_MORE,
            notes=[
                f"{len(said)} words, by voice: "
                + ", ".join(
                    f"{voice} {before:.3f} → {after:.3f}"
                    for voice, before, after in zip(VOICES, rates["original"], rates[name], strict=False)
                )
            ],
        )
        for name in list(forms)[1:]
    ]


if __name__ == "__main__":
    report.run(measure, __doc__ or "")
