"""Make the speech samples in example_dags/audio: two WAV files, an Ogg Opus file and what is said in them.

Needs Debian's `flite` (the synthesiser) and PyAV (for the Ogg file):

    python scripts/make_samples.py [FOLDER]

The sentences are this project's own and were chosen because pocketsphinx understands flite's voices when they say them.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from array import array
from pathlib import Path

RATE = 16_000
FOLDER = Path(__file__).resolve().parent.parent / "example_dags" / "audio"

WEEKLY_NOTE = (
    "Good morning everyone. This is the weekly status note from the warehouse. "
    "We shipped four hundred orders on Monday and most of them arrived on time. "
    "Please send me your questions before Friday."
)
CLOSED_OFFICE = (
    "The office will be closed on Monday because of the public holiday. "
    "Please leave a message after the tone and we will call you back."
)
CALL = [
    ("Speaker 1", "kal16", "You have reached the delivery service. How may I help you?"),
    ("Speaker 2", "rms", "My parcel was supposed to arrive on Tuesday, but nobody came to the house."),
    ("Speaker 1", "kal16", "I am very sorry about that. Please tell me the order number?"),
    ("Speaker 2", "rms", "The number is seven four nine two."),
]
GAP = 0.4  # seconds between two turns of the call


def ensure_flite() -> None:
    """Install the synthesiser if it is missing and we may.

    :raises SystemExit: if it is missing and cannot be installed.
    """
    if shutil.which("flite"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit("flite, the synthesiser, is missing: install the package flite and run this again")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "flite"]):
        done = subprocess.run(["apt-get", *arguments], env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"flite is missing, and apt-get {arguments[0]} failed: {done.stderr.strip()[-500:]}")


def speak(voice: str, text: str) -> array[int]:
    """Return `text` spoken by a flite voice: 16 kHz mono 16-bit samples."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        with wave.open(str(path)) as spoken:
            if (spoken.getframerate(), spoken.getnchannels(), spoken.getsampwidth()) != (RATE, 1, 2):
                raise SystemExit(f"flite voice {voice} does not speak 16 kHz mono 16-bit")
            return array("h", spoken.readframes(spoken.getnframes()))


def wav(*channels: array[int]) -> bytes:
    """Return a WAV file of these channels, all of the same length."""
    interleaved = array("h", bytes(2 * len(channels) * len(channels[0])))
    for index, channel in enumerate(channels):
        interleaved[index :: len(channels)] = channel
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(interleaved.tobytes())
    return file.getvalue()


def opus(source: bytes, bit_rate: int = 24_000) -> bytes:
    """Return a WAV file as Ogg Opus."""
    import av

    file = io.BytesIO()
    with (
        av.open(io.BytesIO(source), "r") as spoken,
        av.open(file, "w", format="ogg", options={"fflags": "+bitexact"}) as out,
    ):
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        stream.bit_rate = bit_rate
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000, frame_size=960)
        for frame in [*spoken.decode(audio=0), None]:
            for resampled in resampler.resample(frame):
                out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))
    return file.getvalue()


def call() -> tuple[bytes, list[dict[str, object]]]:
    """Return the two-channel call, one speaker per channel, and its turns with their times in seconds."""
    gap = bytes(2 * int(GAP * RATE))
    channels = {"Speaker 1": array("h", gap), "Speaker 2": array("h", gap)}
    turns: list[dict[str, object]] = []
    for speaker, voice, text in CALL:
        speech = speak(voice, text)
        start = len(channels[speaker]) / RATE
        turns.append(
            {"speaker": speaker, "text": text, "start": round(start, 2), "end": round(start + len(speech) / RATE, 2)}
        )
        for name, channel in channels.items():
            channel.extend(speech if name == speaker else array("h", bytes(2 * len(speech))))
            channel.frombytes(gap)
    return wav(*channels.values()), turns


def main() -> None:
    """Write the samples and their scripts."""
    ensure_flite()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    audio, turns = call()
    (folder / "delivery-call.wav").write_bytes(audio)
    (folder / "delivery-call.json").write_text(json.dumps({"turns": turns}, indent=2) + "\n")
    (folder / "weekly-note.wav").write_bytes(wav(speak("rms", WEEKLY_NOTE)))
    (folder / "weekly-note.txt").write_text(WEEKLY_NOTE + "\n")
    (folder / "closed-office.ogg").write_bytes(opus(wav(speak("awb", CLOSED_OFFICE))))
    (folder / "closed-office.txt").write_text(CLOSED_OFFICE + "\n")
    for path in sorted(folder.glob("*")):
        print(f"{path.stat().st_size:>9,}  {path.name}")


if __name__ == "__main__":
    main()
