"""How long it takes to split three hours of MP3 for a model that takes 1400 seconds, and whether times stay true.

Nothing is encoded again. Drift is measured on the sound: how far a second of speech near the end of each part lies from
where the part's start says it is, by laying it over the same second of the unsplit recording. A cut is in a silence if
the tenth of a second around it is as quiet as the noise that was put into the pauses, give or take what MP3 adds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

import recordings
import report

if TYPE_CHECKING:
    import argparse

MOST_SECONDS, MOST_DRIFT = 20.0, 0.2
QUIET = 4 * recordings.NOISE  # of 32768; speech peaks at 10,000
RATE, REACH = recordings.RATE, 0.5


def child(path: Path, folder: Path, longest: float) -> dict[str, object]:
    from airflow_provider_nanostt.audio.prepare.silence import measure_loudness
    from airflow_provider_nanostt.audio.prepare.split_points import plan_split_points
    from airflow_provider_nanostt.audio.prepare.transcode import Output, split_copy

    with path.open("rb") as source:
        began, cpu = time.monotonic(), time.process_time()
        loudness = measure_loudness(source)
        cuts = plan_split_points(loudness.seconds, loudness.silences(), longest, quietest=loudness.quietest)
        planned = time.process_time() - cpu
        made = split_copy(source, Output(folder), cuts)
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
    assert made is not None
    return {
        "cpu": cpu,
        "planned": planned,
        "wall": wall,
        "mb": recordings.peak_mb(),
        "seconds": loudness.seconds,
        "parts": [[str(part.path), part.start, part.seconds] for part in made],
    }


def stretches(path: Path, moments: list[float]) -> list[array[int]]:
    """Decode a recording once and return the two seconds after each moment."""
    import av

    kept = [array("h") for _ in moments]
    at = 0
    with av.open(str(path), "r") as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        for frame in container.decode(audio=0):
            for made in resampler.resample(frame):
                for moment, stretch in zip(moments, kept, strict=True):
                    first = max(0, int(moment * RATE) - at)
                    last = min(made.samples, int((moment + 2) * RATE) - at)
                    if first < last:
                        stretch.frombytes(bytes(made.planes[0])[2 * first : 2 * last])
                at += made.samples
    return kept


def lag(first: array[int], second: array[int]) -> float:
    """By how many seconds the second is earlier than the first."""
    reach, step = int(REACH * RATE), 8
    window = first[reach : reach + RATE : step]
    best = min(
        range(-reach, reach, step),
        key=lambda shift: sum(
            abs(a - b) for a, b in zip(window, second[reach + shift : reach + shift + RATE : step], strict=True)
        ),
    )
    return best / RATE


def drifts(path: Path, parts: list[list]) -> list[float]:
    """For each part, how far its sound near its end is from where it should be, in seconds."""
    moments = [start + seconds - 12.0 for _, start, seconds in parts]
    whole = stretches(path, moments)
    found = []
    for (part, start, _), moment, expected in zip(parts, moments, whole, strict=True):
        (heard,) = stretches(Path(part), [moment - start])
        found.append(lag(expected, heard))
    return found


def measure(options: argparse.Namespace) -> list[report.Row]:
    seconds, longest = (300.0, 70.0) if options.quick else (10_800.0, 1400.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.mp3"
        recordings.write_mp3(path, seconds)
        out = Path(folder) / "parts"
        out.mkdir()
        told = report.fresh("split.py", "--child", path, out, longest)
        found = drifts(path, told["parts"])
        starts = [start for _, start, _ in told["parts"][1:]]
        around = [stretch[: int(0.1 * RATE)] for stretch in stretches(path, [start - 0.05 for start in starts])]
    peaks = [max(map(abs, stretch)) for stretch in around]
    silent = sum(peak <= QUIET for peak in peaks)
    most = max(part[2] for part in told["parts"])
    return [
        report.Row(
            figure=f"{seconds / 3600:.3g} hours of MP3 split for a model of {longest:.0f} s without re-encoding",
            beside=f"{told['seconds']:.0f} s of MP3, 64 kb/s, 16 kHz",
            ours=f"{told['wall']:.1f} s; drift {abs(found[-1]):.3f} s at the end; {silent} of {len(starts)} cuts in "
            "silences",
            target=f"≤ {MOST_SECONDS:.0f} s, drift ≤ {MOST_DRIFT} s at the end, cuts in silences",
            met=told["wall"] <= MOST_SECONDS
            and max(map(abs, found)) <= MOST_DRIFT
            and silent == len(starts)
            and most <= longest,
            notes=[
                f"CPU {told['cpu']:.1f} s, of which silences {told['planned']:.1f} s; {told['mb']:.0f} MB resident",
                f"parts begin at {', '.join(f'{start:.2f}' for start in starts)} s; the longest has {most:.1f} s",
                f"peaks around the cuts: {', '.join(map(str, peaks))} of 32768",
                f"drift near the end of each part: {', '.join(f'{drift:+.3f}' for drift in found)} s",
            ],
        )
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))))
    else:
        report.run(measure, __doc__ or "")
