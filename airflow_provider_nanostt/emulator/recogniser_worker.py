"""The child process that turns PCM into words; pocketsphinx holds the interpreter lock while it listens.

It is run by path, as a script: only the standard library and pocketsphinx may be imported here, and nothing of this
package, so that starting it stays cheap. It reads requests from its standard input until that ends: a JSON line
``{"bytes": n}`` and n bytes of 16 kHz mono 16-bit PCM. It answers each with a JSON line
``{"words": [[text, start, end], ...]}`` (seconds) or ``{"error": text}``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from array import array
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE = 16_000
FRAME = 320  # samples: 20 ms, the grain at which pauses are looked for
PAUSE_FRAMES = 25  # half a second of quiet ends an utterance
PADDING_FRAMES = 10  # what is left of the quiet on both sides, which the recogniser wants to hear
LONGEST_FRAMES = 1500  # 30 s: the search slows down on utterances much longer than a sentence
QUIET = 80  # of 32768: below this there is nobody on the channel


def peaks(samples: array[int]) -> list[int]:
    """Return the peak of each whole frame."""
    frames = (samples[at : at + FRAME] for at in range(0, len(samples) - FRAME + 1, FRAME))
    return [max(-min(frame), max(frame)) for frame in frames]  # noqa: PLW3301  # spreading the frame is slower


def utterances(levels: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (first frame, frame after the last) of every stretch of speech, padded, none longer than 30 s and a bit."""
    threshold = max(QUIET, max(levels, default=0) // 40)
    start = last = None
    for at, level in enumerate([*levels, *[0] * (PAUSE_FRAMES + 1)]):
        if level > threshold:
            start = at if start is None else start
            last = at
        if start is None or last is None:
            continue
        too_long = at - start >= LONGEST_FRAMES
        if too_long or at - last > PAUSE_FRAMES:
            # Cutting where it is quietest keeps the cut out of the middle of a word.
            end = min(range(at - 500, at), key=levels.__getitem__) if too_long else last + 1
            yield max(0, start - PADDING_FRAMES), min(len(levels), end + PADDING_FRAMES)
            start = last = None
            if too_long:
                start, last = end, at


def listen(decoder: Any, pcm: bytes) -> list[tuple[str, float, float]]:
    """Return the words heard in 16 kHz mono 16-bit little-endian PCM, with start and end in seconds."""
    samples = array("h", pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    words: list[tuple[str, float, float]] = []
    for first, last in utterances(peaks(samples)):
        decoder.reinit_feat()  # the feature means adapt to what was heard: without this, order would change results
        decoder.start_utt()
        decoder.process_raw(samples[first * FRAME : last * FRAME].tobytes(), full_utt=True)
        decoder.end_utt()
        offset = first * FRAME / RATE
        for segment in decoder.seg():
            text = re.sub(r"\(\d+\)$", "", segment.word)  # "the(2)" is a second pronunciation of "the"
            if text.startswith("<") or text == "[SPEECH]":
                continue
            start, end = segment.start_frame / 100, (segment.end_frame + 1) / 100
            words.append((text, round(offset + start, 2), round(offset + end, 2)))
    return words


def serve(source: BinaryIO, sink: BinaryIO, decoder: Any = None) -> None:
    """Answer requests from `source` on `sink` until `source` ends, with a new decoder if none is given."""
    if decoder is None:
        import pocketsphinx  # half a second: only the process that listens pays it

        decoder = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")
    while line := source.readline():
        pcm = source.read(json.loads(line)["bytes"])
        try:
            answer: dict[str, Any] = {"words": listen(decoder, pcm)}
        except RuntimeError as error:
            answer = {"error": str(error)}
        sink.write(json.dumps(answer).encode() + b"\n")
        sink.flush()


def main() -> None:
    """Serve on the real standard input and output; whatever a library prints goes to standard error instead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the emulator, which ends this process itself
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
