"""What it costs to have FFmpeg work in a child process: the length of 3 MB of WebM, by its packets, in both ways.

Each way in a fresh process, so that what is imported on the way counts; then again and again, as in a batch.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import report

if TYPE_CHECKING:
    import argparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

MOST_MS = 60.0
MINUTES = 12


def webm() -> bytes:
    """Some 3 MB of Opus in WebM."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="webm") as out:
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        stream.bit_rate = 32_000
        for second in range(60 * MINUTES):
            frame = av.AudioFrame(format="s16", layout="mono", samples=48_000)
            noise = bytes((one * 7 + second) % 251 for one in range(960)) * 100
            frame.planes[0].update(noise.ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate = 48_000
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def one(way: str, path: Path, repeat: int) -> list[float]:
    """Milliseconds by the clock of the first time, and the median of later ones."""
    from airflow_provider_nanostt.audio import sandbox
    from airflow_provider_nanostt.audio.inspect import formats, packets

    times = []
    with path.open("rb") as file:
        kind = formats.identify(file, path.stat().st_size)
        for _ in range(repeat + 1):
            began = time.perf_counter()
            if way == "child":
                found = sandbox.run(
                    packets.by_packets, file, read=dict, demuxer=kind.demuxer, name=kind.name, cpu_seconds=30.0
                )
            else:
                found = packets.by_packets(file, print, demuxer=kind.demuxer, name=kind.name)
            times.append((time.perf_counter() - began) * 1000)
            assert found["seconds"] > 60, found
    return [times[0], statistics.median(times[1:])]


def measure(options: argparse.Namespace) -> list[report.Row]:
    import tempfile

    rounds, repeat = (1, 3) if options.quick else (7, 20)
    found: dict[str, list[list[float]]] = {"here": [], "child": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "note.webm"
        path.write_bytes(webm())
        for _ in range(rounds):
            for way, all_times in found.items():
                all_times.append(report.fresh(Path(__file__).name, "--one", way, path, repeat))
    first, later = ({way: statistics.median(one[at] for one in all_) for way, all_ in found.items()} for at in (0, 1))
    return [
        report.Row(
            figure=f"a child process for FFmpeg, {name}",
            beside=f"{costs['here']:.1f} ms in the same process",
            ours=f"{costs['child']:.1f} ms, {costs['child'] - costs['here']:+.1f} ms",
            target=f"≤ {MOST_MS:.0f} ms more for each recording",
            met=costs["child"] - costs["here"] <= MOST_MS,
            notes=[f"{way}: {', '.join(f'{one[at]:.1f}' for one in found[way])} ms" for way in found],
        )
        for at, (name, costs) in enumerate((("the first recording of a task", first), ("each after that", later)))
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        report.run(measure, __doc__ or "")
