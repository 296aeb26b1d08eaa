"""How much of a far recording of 100 MB is fetched to tell its length: requests, bytes, and how exact it is.

A web server on this machine sends pieces of recordings made on the spot: MP3 with a constant bit rate and none of it in
headers, MP3 with a Xing header, WAV, M4A with its table of contents first and last, Ogg Opus.
"""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import report

from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.sources import WebAddress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import av

from tests.audio import odd_files, range_server

MEGABYTE = 1_000_000
MOST_REQUESTS, MOST_BYTES = 4, 512 * 1024


def repeated(data: bytes, container: str, size: int) -> tuple[bytes, float]:
    """The packets of a recording again and again, up to a size, in one file."""
    target, seconds = io.BytesIO(), 0.0
    with av.open(io.BytesIO(data)) as source:
        stream = source.streams.audio[0]
        packets = [(bytes(p), p.pts, p.duration) for p in source.demux(stream) if p.size]
        step = packets[-1][1] + packets[-1][2] - packets[0][1]
        with av.open(target, "w", format=container) as out:
            copy = out.add_stream_from_template(stream)
            shift = written = 0
            while written < size:
                for body, pts, duration in packets:
                    packet = av.Packet(body)
                    packet.stream, packet.time_base = copy, stream.time_base
                    packet.pts = packet.dts = pts + shift
                    packet.duration = duration
                    out.mux(packet)
                    written += len(body)
                shift += step
            seconds = float(shift * stream.time_base)
    return target.getvalue(), seconds


def recordings(size: int) -> Iterator[odd_files.OddFile]:
    cbr, headed, vbr = odd_files.mp3("cbr"), odd_files.mp3("vbr+"), odd_files.mp3("vbr")
    times = size // len(cbr) + 1
    length = odd_files.played(cbr, "mp3")
    yield odd_files.OddFile("constant.mp3", cbr * times, length * times)
    yield odd_files.OddFile("constant-with-cover.mp3", odd_files.id3(900_000) + cbr * times, length * times)
    at = headed.index(b"Xing")
    start, frames = headed.rindex(b"\xff\xfb", 0, at), struct.unpack_from(">I", headed, at + 8)[0]
    first = headed[start : len(headed) - len(vbr)]
    times = size // len(vbr) + 1
    counts = struct.pack(">II", frames * times, len(first) + len(vbr) * times)
    yield odd_files.OddFile(
        "xing.mp3",
        headed[:start] + odd_files.patched(first, b"Xing", 4, counts) + vbr * times,
        odd_files.played(vbr, "mp3") * times,
    )
    yield odd_files.OddFile("plain.wav", (wav := odd_files.wav(seconds=size // 32_000)), (len(wav) - 44) / 32_000)
    last, seconds = repeated(odd_files.m4a(), "ipod", size)
    yield odd_files.OddFile("moov-last.m4a", last, seconds)
    yield odd_files.OddFile("moov-first.m4a", odd_files.moov_first(last), seconds)
    yield odd_files.OddFile("opus.ogg", *repeated(odd_files.opus(), "ogg", size))


def measure(options: argparse.Namespace) -> list[report.Row]:
    size = (4 if options.quick else 100) * MEGABYTE
    requests = received = count = 0
    worst, notes = 0.0, []
    with range_server.RangeServer({}) as server:
        for file in recordings(size):
            server.files = {file.name: file.data}
            server.seen.clear()
            server.sent = 0
            found = probe(WebAddress(server.url(file.name), allow_private=True)).length
            count += 1
            error = abs(found.seconds - file.seconds) / file.seconds if found.seconds else 1.0
            asked, sent = len(server.seen), server.sent
            requests, received, worst = max(requests, asked), max(received, sent), max(worst, error)
            notes.append(
                f"{file.name}: {len(file.data) / MEGABYTE:.0f} MB, {file.seconds / 60:.1f} min, told {found.seconds}, "
                f"off by {100 * error:.3f} %, {asked} requests, {sent / 1024:.0f} KB ({found.source})"
            )
    return [
        report.Row(
            figure=f"length of a far recording of {size // MEGABYTE} MB",
            beside=f"{count} formats; the whole file otherwise",
            ours=f"at most {requests} requests, {received / 1024:.0f} KB, off by {100 * worst:.3f} %",
            target=f"≤ {MOST_REQUESTS} requests and ≤ {MOST_BYTES // 1024} KB",
            met=requests <= MOST_REQUESTS and received <= MOST_BYTES and worst <= 0.01,
            notes=notes,
        )
    ]


if __name__ == "__main__":
    report.run(measure, __doc__ or "")
