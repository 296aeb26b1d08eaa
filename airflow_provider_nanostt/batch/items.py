"""What a user hands to a batch becomes a list of items: lists are flattened, patterns looked up, options checked.

Looking up a pattern lists a folder; nothing else is read, sent or paid for here.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_nanostt import storage
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.signed_urls import shown

OPTIONS = ("model", "language", "diarize", "tag_audio_events", "actual_duration", "speaker_names", "page_audio_url")
"""What an item may say for itself; what it does not say, the operator says for all."""

if TYPE_CHECKING:
    from collections.abc import Sequence

_WEB = ("http://", "https://")
_TELLING = 6
_WRITING = ("speaker_names", "page_audio_url")
_PATTERN = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Item:
    """One recording of a batch.

    :param audio: a path, a web address, or an object storage URI.
    :param name: what its files are called, without suffix; None for the recording's own name.
    :param options: what it says for itself, by the names of :data:`OPTIONS`.
    """

    audio: str
    name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The recording as it may be stored and shown: without what signs an address."""
        return str(shown(self.audio))


def expand(audio: Any) -> list[Item]:
    """Return the items, in the order they were given; what a pattern finds is in the order of names.

    :param audio: one of, or a list of: a path, URI or address; a pattern with ``*``, ``?``, ``[…]`` or ``**`` in a path
        or an object storage URI; a mapping with ``audio``, and ``name`` or any of :data:`OPTIONS`.
    :raises InvalidInput: for anything else, and for a folder that cannot be listed.
    """
    if isinstance(audio, Mapping | str | Path) or hasattr(audio, "__fspath__"):
        audio = [audio]
    if not isinstance(audio, Iterable):
        raise InvalidInput(f"audio is a list of recordings, or a pattern; this is of type {type(audio).__name__}")
    return [item for one in audio for item in _expanded(one)]


def _expanded(one: Any) -> list[Item]:
    told: dict[str, Any] = dict(one) if isinstance(one, Mapping) else {"audio": one}
    where = told.pop("audio", None)
    text = str(where).strip() if isinstance(where, str | Path) or hasattr(where, "protocol") else ""
    if not text:
        raise InvalidInput(f"an item of audio names no recording: {sorted(told) or type(where).__name__}")
    name = told.pop("name", None)
    if unknown := set(told) - set(OPTIONS):
        raise InvalidInput(
            f"the item for {shown(text)!r} has {', '.join(sorted(map(str, unknown)))}; an item may have "
            f"audio, name, {', '.join(OPTIONS)}"
        )
    if not _is_pattern(text):
        return [Item(text, None if name in (None, "") else str(name), told)]
    found = _found(text)
    if name and len(found) > 1:
        raise InvalidInput(f"{text!r} finds {len(found)} recordings, which cannot all be named {name!r}")
    return [Item(one, name, told) for one in found]


def _is_pattern(text: str) -> bool:
    if text.lower().startswith(_WEB) or not _PATTERN & set(text):
        return False
    return "://" in text or not Path(text).exists()  # a file may have brackets in its name


def _found(pattern: str) -> list[str]:
    """Return what a pattern finds, by name: files only."""
    if pattern.startswith("file://"):
        pattern = unquote(urlsplit(pattern.replace("#", "%23").replace("?", "%3F")).path)
    if "://" not in pattern:
        if not Path(pattern).is_absolute():
            raise InvalidInput(f"{pattern!r} is a relative pattern; name the folder from the root")
        names = glob.glob(pattern, recursive=True)  # noqa: PTH207  Path.glob takes no pattern from the root
        return sorted(name for name in names if Path(name).is_file())
    return _found_in_storage(pattern)


def _found_in_storage(pattern: str) -> list[str]:
    """Return the URIs of what lies in object storage, with the connection that the pattern names."""
    scheme, _, rest = pattern.partition("://")
    authority, _, below = rest.partition("/")
    root = storage.location(f"{scheme}://{authority}")
    base = str(root.path).strip("/")
    try:
        found = root.fs.glob(f"{base}/{below}" if base else below, detail=True)
    except Exception as error:  # whatever a storage raises, it is not the answer "no files"
        raise InvalidInput(f"{pattern!r} cannot be listed: {type(error).__name__}: {error}") from error
    names = sorted(name for name, facts in found.items() if facts.get("type") == "file")
    return [f"{scheme}://{authority}/{name.lstrip('/').removeprefix(base).lstrip('/')}" for name in names]


def keys(items: Sequence[Item]) -> list[str]:
    """Return what the ledger knows each item by: where it lies, and what it says for itself.

    The same for every signing of an address, and whatever the operator says for all: a changed model is then told
    from another recording.
    """
    return [
        hashlib.sha256(
            json.dumps([item.shown, item.name, sorted(item.options.items())], default=str).encode("utf-8", "replace")
        ).hexdigest()[:24]
        for item in items
    ]


def own_names(items: Sequence[Item], known_by: Sequence[str], pattern: str) -> list[dict[str, Any]]:
    """Return how each item's files are to be written, as far as that differs from the others.

    Recordings of the same name in several folders are told apart by a few characters, whatever order they come in.

    :param known_by: their :func:`keys`.
    :param pattern: of the files' names, for all.
    """
    stems = [item.name or PurePosixPath(urlsplit(item.shown).path or item.shown).stem for item in items]
    counts = Counter({key: stem.casefold() for stem, key in zip(stems, known_by, strict=True)}.values())
    own = []
    for item, stem, key in zip(items, stems, known_by, strict=True):
        name = pattern
        if item.name:
            name = name.replace("{name}", item.name.replace("{", "{{").replace("}", "}}"))
        if counts[stem.casefold()] > 1:
            name = f"{name}-{key[:_TELLING]}"
        told: dict[str, Any] = {} if name == pattern else {"name": name}
        told |= {option: item.options[option] for option in _WRITING if option in item.options}
        own.append(told)
    return own
