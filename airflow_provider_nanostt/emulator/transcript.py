"""From words to the bodies the service answers with, and the transcripts a user scripts instead of recognition.

Pure functions of values: no clock, no network, no recognition.
"""

from __future__ import annotations

import fnmatch
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

SEGMENT_PAUSE = 1.0  # seconds of quiet after which one speaker's words become two segments
WORDS_PER_SECOND = 2.5  # how fast a scripted text is spoken when its duration is not given


class Word(NamedTuple):
    """One word, or one sound that is not speech: `start` and `end` in seconds, `speaker` counted from 0."""

    text: str
    start: float
    end: float
    speaker: int = 0
    kind: str = "word"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a completed job answers: the text, and (for models that have them) word and segment dictionaries."""

    text: str
    words: list[dict[str, Any]]
    segments: list[dict[str, Any]]
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Script:
    """A transcript told in advance for a file name or URL.

    :param name: file name, URL, last part of a URL's path, or a pattern of these (``call-*.wav``).
    :param text: the transcript. From it alone, words are spread evenly over the duration.
    :param words: word dictionaries, answered exactly as given.
    :param segments: diarization segments ``{speaker, text, start, end}``, answered exactly as given.
    :param status: ``completed``, ``failed``, or any other word, which the job then keeps saying.
    :param error: the reason a failed job gives.
    :param duration: seconds of audio to charge for; given, the audio is neither fetched nor decoded.
    :param language: what the metadata says the language is.
    :param title: a YouTube video's title.
    :param processing_seconds: how long this job takes, instead of the formula; not scaled by the speed.
    """

    name: str
    text: str | None = None
    words: list[dict[str, Any]] | None = None
    segments: list[dict[str, Any]] | None = None
    status: str = "completed"
    error: str | None = None
    duration: float | None = None
    language: str = "en"
    title: str | None = None
    processing_seconds: float | None = None

    def seconds(self) -> float | None:
        """Return how long the audio is, as far as the script tells."""
        if self.duration is not None:
            return self.duration
        ends = [item["end"] for item in (self.words or self.segments or []) if isinstance(item.get("end"), int | float)]
        return max(ends) if ends else None

    def transcript(self, seconds: float, *, diarize: bool, events: bool, label: bool) -> Transcript:
        """Return the scripted transcript of audio that lasts `seconds`."""
        made = transcribe(self._words(seconds), diarize=diarize, events=events, label=label)
        words, segments = made.words, made.segments
        if self.words is not None:
            words = [word for word in self.words if events or word.get("type") != "audio_event"]
        if self.segments is not None and diarize:
            segments = self.segments
        return Transcript(made.text if self.text is None else self.text, words, segments, self.language)

    def _words(self, seconds: float) -> list[Word]:
        if self.words is not None:
            return [_read_word(word) for word in self.words if word.get("type") != "spacing"]
        if self.segments is not None:
            return [word for segment in self.segments for word in _spread_segment(segment)]
        return _spread(self.text or "", 0.0, seconds, 0)


def transcribe(words: list[Word], *, diarize: bool, events: bool, label: bool) -> Transcript:
    """Return the transcript of `words`, which are in order of time.

    :param diarize: name the speakers.
    :param events: keep sounds that are not speech.
    :param label: begin each turn in the text with "Speaker 1:", as the service does when it diarizes.
    """
    kept = [word for word in words if events or word.kind != "audio_event"]
    turns = _turns(kept)
    text = " ".join(word.text for word in kept)
    segments: list[dict[str, Any]] = []
    if diarize:
        segments = [
            {
                "speaker": f"Speaker {turn[0].speaker + 1}",
                "text": " ".join(word.text for word in turn),
                "start": turn[0].start,
                "end": turn[-1].end,
            }
            for turn in turns
        ]
        if label:
            text = " ".join(f"{segment['speaker']}: {segment['text']}" for segment in segments)
    return Transcript(text, _word_list(kept, diarize=diarize), segments)


def _turns(words: list[Word]) -> list[list[Word]]:
    turns: list[list[Word]] = []
    for word in words:
        last = turns[-1][-1] if turns else None
        if last is None or last.speaker != word.speaker or word.start - last.end > SEGMENT_PAUSE:
            turns.append([])
        turns[-1].append(word)
    return turns


def _word_list(words: list[Word], *, diarize: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for word in words:
        speaker = {"speaker_id": f"speaker_{word.speaker}"} if diarize else {}
        if found:
            gap_start = found[-1]["end"]
            gap_end = max(gap_start, word.start)
            found.append({"text": " ", "start": gap_start, "end": gap_end, "type": "spacing", **speaker})
        entry = {"text": word.text, "start": word.start, "end": word.end, "type": word.kind, **speaker}
        found.append({**entry, "logprob": _made_up_logprob(word)})
    return found


def _made_up_logprob(word: Word) -> float:
    """Return how sure a model might be of a word: the same every time; of one word in twenty it is not."""
    share = zlib.crc32(f"{word.text} {word.start}".encode()) / 2**32
    return -round(0.02 + 1.5 * share**16, 4)


def _spread(text: str, start: float, end: float, speaker: int) -> list[Word]:
    parts = text.split()
    step = (end - start) / max(1, len(parts))
    return [
        Word(part, round(start + at * step, 3), round(start + (at + 1) * step, 3), speaker)
        for at, part in enumerate(parts)
    ]


def _spread_segment(segment: dict[str, Any]) -> list[Word]:
    text = str(segment.get("text") or "")
    start = float(segment.get("start") or 0.0)
    end = float(segment.get("end") or start + len(text.split()) / WORDS_PER_SECOND)
    return _spread(text, start, end, _number(segment.get("speaker"), first=1))


def _read_word(word: dict[str, Any]) -> Word:
    start = float(word.get("start") or 0.0)
    speaker = _number(word.get("speaker_id"), first=0)
    return Word(
        str(word.get("text", "")), start, float(word.get("end") or start), speaker, str(word.get("type", "word"))
    )


def _number(speaker: Any, *, first: int) -> int:
    """Return the index in a label such as "Speaker 2" (first=1) or "speaker_1" (first=0)."""
    digits = "".join(filter(str.isdigit, str(speaker)))
    return max(0, int(digits) - first) if digits else 0


class ScriptBook:
    """The scripts told so far. An exact name goes before a pattern, and the latest before an older one.

    :param default: for whatever has no script of its own.
    """

    def __init__(self, default: Script | None = None) -> None:
        self._default = default
        self._by_name: dict[str, Script] = {}
        self._patterns: list[Script] = []

    def add(self, script: Script) -> None:
        """Tell one more."""
        self._by_name[script.name] = script
        if any(sign in script.name for sign in "*?["):
            self._patterns.insert(0, script)

    def find(self, source: str) -> Script | None:
        """Return the script for a file name or URL, else the default, else None."""
        names = (source, PurePosixPath(urlsplit(source).path).name)
        for name in names:
            if name in self._by_name:
                return self._by_name[name]
        for script in self._patterns:
            if any(fnmatch.fnmatchcase(name, script.name) for name in names):
                return script
        return self._default
