"""How fast and in how much memory speech is compressed: 25 minutes to fit an upload, three hours to parts that fit.

Each is done in a process of its own. The factor is seconds of speech per second of CPU, all threads together, so it is
what one core does; memory is the most that was ever resident, the interpreter and FFmpeg included;
Airflow, which a task process has besides, is not loaded for it.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import recordings
import report

if TYPE_CHECKING:
    import argparse

LIMIT = 3_000_000
LEAST_SPEED, MOST_MB = 40.0, 120.0


class Counted(io.FileIO):
    """A file that knows how many bytes of it were read."""

    seen = 0

    def read(self, size: int = -1) -> bytes:
        data = super().read(size) or b""
        self.seen += len(data)
        return data


def rates(made):
    sizes = [part.path.stat().st_size for part in made]
    return sizes, [round(size * 8 / part.seconds) for size, part in zip(sizes, made, strict=True)]


def one_file(source: Counted, folder: Path, seconds: float):
    """Compress to one file and return the sizes and the number of tries, each of which reads the whole file."""
    from airflow_provider_nanostt.audio.prepare.transcode import Output, compress

    made = compress(source, Output(folder, LIMIT), seconds=seconds)
    assert made is not None
    return *rates([made]), round(source.seen / source.seek(0, 2))


def parts(source: Counted, folder: Path, _: float):
    """Find silences, split there, compress to parts; there is but one try, which says so if a part is too large."""
    from airflow_provider_nanostt.audio.prepare.muxer import longest_seconds
    from airflow_provider_nanostt.audio.prepare.silence import measure_loudness
    from airflow_provider_nanostt.audio.prepare.split_points import plan_split_points
    from airflow_provider_nanostt.audio.prepare.transcode import Output, split_compress

    loudness = measure_loudness(source)
    longest = longest_seconds(LIMIT) - 1
    points = plan_split_points(loudness.seconds, loudness.silences(), longest, quietest=loudness.quietest)
    made = split_compress(source, Output(folder, LIMIT), points, seconds=loudness.seconds)
    assert made is not None
    return *rates(made), 1


def child(kind: str, path: Path, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder, Counted(path) as source:
        began, cpu = time.monotonic(), time.process_time()
        sizes, speeds, tries = (one_file if kind == "one" else parts)(source, Path(folder), seconds)
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
    return {"cpu": cpu, "wall": wall, "mb": recordings.peak_mb(), "sizes": sizes, "rates": speeds, "tries": tries}


def row(figure: str, kind: str, seconds: float, folder: Path) -> report.Row:
    path = folder / f"{kind}.wav"
    recordings.write_wav(path, seconds)
    size = path.stat().st_size
    told = report.fresh("compress.py", "--child", kind, path, seconds)
    path.unlink()
    speed, largest = seconds / told["cpu"], max(told["sizes"])
    return report.Row(
        figure=figure,
        beside=f"{seconds / 60:.0f} min, 16 kHz WAV, {size / 1e6:.0f} MB",
        ours=f"{speed:.0f} x real time, {told['mb']:.0f} MB; {len(told['sizes'])} x at most {largest / 1e6:.2f} MB, "
        f"{told['tries']} try",
        target=f"≥ {LEAST_SPEED:.0f} x real time on one core, ≤ {MOST_MB:.0f} MB resident, under the limit at the "
        "first try",
        met=speed >= LEAST_SPEED and told["mb"] <= MOST_MB and largest <= LIMIT and told["tries"] == 1,
        notes=[
            f"CPU {told['cpu']:.1f} s, {told['wall']:.1f} s passed",
            f"bytes: {', '.join(f'{size:,}' for size in told['sizes'])}",
            f"bits per second: {', '.join(f'{rate:,}' for rate in told['rates'])}",
        ],
    )


def measure(options: argparse.Namespace) -> list[report.Row]:
    short, long = (60.0, 240.0) if options.quick else (1500.0, 10_800.0)
    with tempfile.TemporaryDirectory() as folder:
        return [
            row(f"{short / 60:g} minutes of 16 kHz speech compressed to fit an upload", "one", short, Path(folder)),
            row(f"{long / 3600:.3g} hours of 16 kHz speech compressed to parts that fit", "parts", long, Path(folder)),
        ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]))))
    else:
        report.run(measure, __doc__ or "")
