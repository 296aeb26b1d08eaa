"""Which formats a transcript can be written in, one line each; nothing about how one is made, and no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """What is known of a format without making one.

    :param suffix: of its file, without the dot before it.
    :param needs_times: whether it says when something was said, and so needs a model that gives times.
    :param may_estimate: whether these may be estimated times, if the user wants so.
    """

    suffix: str
    needs_times: bool = False
    may_estimate: bool = False


REGISTRY: Mapping[str, Format] = {
    "json": Format("json"),
    "txt": Format("txt"),
    "srt": Format("srt", needs_times=True, may_estimate=True),
    "vtt": Format("vtt", needs_times=True, may_estimate=True),
    "html": Format("html"),
    "md": Format("md"),
    "chunks": Format("chunks.jsonl"),
    "whisperx": Format("whisperx.json", needs_times=True),
    "diarized_json": Format("diarized.json", needs_times=True),
    "podcast": Format("podcast.json", needs_times=True),
    "tsv": Format("tsv", needs_times=True),
}
"""All formats. New ones come last, since a manifest has a column for each."""

FORMATS = tuple(REGISTRY)
"""All formats of a transcript, in the order in which they are listed everywhere."""

_INNER_SUFFIXES = tuple(f".{one.suffix.rpartition('.')[0]}" for one in REGISTRY.values() if "." in one.suffix)


def file_name(stem: str, name: str) -> str:
    """Return the name of the file of a format."""
    return f"{stem}.{REGISTRY[name].suffix}"


def suffix_of(file: str) -> str:
    """Return the suffix of a file's name: the longest that a format has, else what follows the last dot."""
    suffixes = (one.suffix for one in REGISTRY.values() if file.endswith(f".{one.suffix}"))
    return max(suffixes, key=len, default=file.rpartition(".")[2])


def unambiguous(stem: str) -> str:
    """Return a stem none of whose files has the name of another stem's.

    If ``b.json`` is the suffix of a format, ``a.b.json`` is that format of ``a``, so the stem ``a.b`` becomes ``a_b``.
    """
    inner = next((one for one in _INNER_SUFFIXES if stem.lower().endswith(one)), "")
    return f"{stem[: -len(inner)]}_{stem[1 - len(inner) :]}" if inner else stem
