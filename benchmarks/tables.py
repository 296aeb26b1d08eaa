"""What the transcripts of a batch as tables cost: CPU, the worker's memory, and the time of a query.

CPU: 27,000 words in about a thousand turns of three speakers, as a task writes them: the five formats that there were
before, then these with chunks and Markdown, and the rows of the tables; the difference, the largest of five rounds.
Memory: as in ``batch_memory``, 1,000 recordings of an hour that are landed and become segments and words. Queries: over
the segments of 1,000 recordings in ten files, one for each night, in a fresh connection each; the slowest of five.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from batch_memory import batch
from report import Row, in_development, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CPU, MEMORY, QUERY = 0.5, 150.0, 1.0  # seconds, MB, seconds
BEFORE = ("json", "txt", "srt", "vtt", "html")
TABLES = ("segments", "words")
HOUR = 9_000  # words
QUERIES = {
    "count": "select count(*) from segments",
    "who speaks how much, per day": """select day, speaker, sum("end" - start) from segments group by all""",
}


def cpu(words: int) -> Row:
    from airflow_provider_nanostt.common import object_storage
    from airflow_provider_nanostt.outputs import OutputSettings, write_outputs
    from airflow_provider_nanostt.outputs.table_files import write_table
    from tests.outputs.talk import talk

    transcript = talk(words)

    def written(formats: tuple[str, ...]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            place, settings = object_storage.resolve(folder), OutputSettings(formats=formats)
            began = time.process_time()
            write_outputs(transcript, folder=place, source="meeting.wav", identity=None, settings=settings)
            return time.process_time() - began

    def tabled() -> float:
        began = time.process_time()
        for name in TABLES:
            with tempfile.TemporaryFile() as file:
                rows = write_table(name, file)
                rows.add(transcript, "s3://calls/meeting.wav")
                rows.close()
        return time.process_time() - began

    written(BEFORE), tabled()
    rounds = [(written(BEFORE), written((*BEFORE, "chunks", "md")), tabled()) for _ in range(5)]
    more = [both - before + tables for before, both, tables in rounds]
    alone = {
        one: min(written(("json", one)) for _ in range(3)) - min(written(("json",)) for _ in range(3))
        for one in ("chunks", "md")
    }
    return Row(
        f"chunks, tables and Markdown of {words:,} words, CPU over the five formats before",
        f"the five: {max(before for before, _, _ in rounds):.2f} s",
        f"{max(more):.2f} s more",
        f"≤ {CPU:g} s",
        max(more) <= CPU,
        [
            f"All rounds: {', '.join(f'{one:.2f}' for one in more)} s.",
            f"The tables for themselves: {max(one[2] for one in rounds):.2f} s.",
            *(f"{name} for itself: {took:.2f} s over JSON." for name, took in alone.items()),
        ],
    )


def memory(recordings: int) -> Row:
    told = batch(recordings, "json", ",".join(TABLES))
    sizes = "; ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sorted(told["bytes"].items()))
    return Row(
        f"worker memory for segments and words of {recordings:,} recordings of an hour as Parquet",
        f"an idle task: {told['idle']:.0f} MB",
        f"{told['above']:.0f} MB above it",
        f"≤ {MEMORY:g} MB",
        told["above"] <= MEMORY,
        [f"Landing all of them with the tables took {told['seconds']:.0f} s; files: {sizes}."],
    )


def queries(recordings: int) -> list[Row]:
    import duckdb

    from airflow_provider_nanostt.outputs.table_files import write_table
    from tests.outputs.talk import talk

    transcript, nights = talk(HOUR), 10
    with tempfile.TemporaryDirectory() as folder:
        for night in range(nights):
            file = Path(folder) / f"day=2026-11-{night + 1:02d}" / "batch.parquet"
            file.parent.mkdir()
            with file.open("wb") as out:
                rows = write_table("segments", out)
                for number in range(night, recordings, nights):
                    rows.add(transcript, f"s3://calls/{number:05d}.wav")
                rows.close()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
        found = []
        for name, query in QUERIES.items():
            times = []
            for _ in range(5):
                began = time.monotonic()
                connection = duckdb.connect()
                view = f"from read_parquet('{folder}/*/*.parquet', hive_partitioning = true)"
                connection.sql(f"create view segments as {view}")
                rows = connection.sql(query).fetchall()
                times.append(time.monotonic() - began)
            if name == "count" and rows != [(recordings * len(transcript.segments),)]:
                raise RuntimeError(f"{rows} are counted")
            found.append(
                Row(
                    f"DuckDB over the segments of {recordings:,} recordings of an hour: {name}",
                    f"{recordings * len(transcript.segments):,} rows in {nights} files",
                    f"{max(times):.3f} s",
                    f"≤ {QUERY:g} s",
                    max(times) <= QUERY,
                    [
                        f"{name}: {', '.join(f'{one:.3f}' for one in times)} s.",
                        f"The files have {size / 1e6:.1f} MB; DuckDB {duckdb.__version__}.",
                    ],
                )
            )
    return found


def measure(options: argparse.Namespace) -> list[Row]:
    return [
        cpu(2_700 if options.quick else 27_000),
        memory(10 if options.quick else 1000),
        *queries(20 if options.quick else 1000),
    ]


if __name__ == "__main__":
    in_development()
    run(measure, __doc__)
