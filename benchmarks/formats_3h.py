"""What writing all five formats of a 3-hour transcript costs: 27,000 words in about a thousand turns of three speakers.

CPU time of this process from the transcript to five files on the disk, as a task does it; the slowest of five, after
one that is not counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from report import Row, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.outputs import OutputSettings, write_outputs
from tests.outputs.talk import talk

TARGET = 1.0  # seconds of CPU
FORMATS = ("json", "txt", "srt", "vtt", "html")


def written(transcript, formats: tuple[str, ...]) -> float:
    """CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        place, settings = object_storage.resolve(folder), OutputSettings(formats=formats)
        began = time.process_time()
        write_outputs(transcript, folder=place, source="meeting.wav", identity=None, settings=settings)
        return time.process_time() - began


def measure(options: argparse.Namespace) -> list[Row]:
    transcript = talk(2_700 if options.quick else 27_000)
    written(transcript, FORMATS)
    took = max(written(transcript, FORMATS) for _ in range(5))
    alone = {one: max(written(transcript, ("json", one)) for _ in range(3)) for one in FORMATS}
    shares = "; ".join(f"{one} {alone[one] - (alone['json'] if one != 'json' else 0):.2f} s" for one in FORMATS)
    return [
        Row(
            f"writing all five formats of {len(transcript.text.split()):,} words",
            "-",
            f"{took:.2f} s CPU",
            f"≤ {TARGET:.1f} s CPU",
            took <= TARGET,
            [f"Each for itself: {shares}."],
        )
    ]


if __name__ == "__main__":
    run(measure, __doc__)
