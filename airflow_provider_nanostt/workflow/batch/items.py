"""What a user hands to a batch becomes a list of items: lists are flattened, patterns looked up, options checked.

Looking up a pattern lists a folder; nothing else is read, sent or paid for here. A file that is still being written is
told from a whole one by two looks, so that no clock of a storage is compared with one of a worker.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.find import find
from airflow_provider_nanostt.common.numbers import from_text
from airflow_provider_nanostt.common.parsing import is_null
from airflow_provider_nanostt.common.reprs import redacted_repr
from airflow_provider_nanostt.common.urls import display, identity_url

_OF_THE_JOB = ("model", "language", "diarize", "tag_audio_events")
_OF_THE_KEY = (*_OF_THE_JOB, "extra_parameters")
"""What tells an item from another with the same recording; the last is given from the shell only."""

_WRITING = ("speaker_names", "page_audio_url")
WRITING = ("filename", *_WRITING)
"""Which settings of the outputs may differ from item to item."""
OPTIONS = (*_OF_THE_JOB, "actual_duration", *_WRITING)
"""What an item may say for itself; what it does not say, the operator says for all."""

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_provider_nanostt.api.errors import NanoGPTError

_WEB = ("http://", "https://")
_DISTINCT_CHARS = 6


@dataclass(frozen=True, slots=True)
class Item:
    """One recording of a batch.

    :param audio: a path, a web address, or an object storage URI.
    :param name: what its files are called, without suffix; None for the recording's own name.
    :param options: what it says for itself, by the names of :data:`OPTIONS`.
    :param label: what it is known by, stored and shown as, if that is not its address.
    :param info: what the listing that found it said of it.
    :param version: what tells this content of it from another; empty if it was not looked at.
    :param problem: why nothing was found for it; ``is_no_match`` if that is because there is none.
    """

    __repr__ = redacted_repr

    audio: str
    name: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    label: str | None = None
    info: Mapping[str, object] | None = field(default=None, compare=False, repr=False)
    version: str = field(default="", compare=False, repr=False)
    problem: NanoGPTError | None = field(default=None, compare=False, repr=False)
    is_no_match: bool = False

    @property
    def shown(self) -> str:
        """The recording as it may be stored and shown: without what signs an address, and as text."""
        return (self.label or display(self.audio)).encode("utf-8", "backslashreplace").decode()

    @property
    def bucket(self) -> str:
        """The part of an object storage URI that names a bucket and a connection; empty for anything else."""
        scheme, mark, rest = self.audio.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}" if mark and not self.audio.lower().startswith(_WEB) else ""

    @property
    def key(self) -> str:
        """What the ledger knows it by: where it is, and what it says of the job for itself.

        The same for every signing of an address, and however its results are written; so names, and whatever the
        operator says for all, can change without making it another recording.
        """
        own = {name: value for name, value in self.options.items() if name in _OF_THE_KEY}
        plain = json.dumps([self.label or identity_url(self.audio), own], sort_keys=True, default=str)
        return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()[:24]


def expand(audio: object) -> list[Item]:
    """Return the items, in the order they were given; what a pattern finds is in the order of names.

    :param audio: one of, or a list of: a path, URI or address; a pattern with ``*``, ``?``, ``[…]`` or ``**`` in a path
        or an object storage URI; a mapping with ``audio``, and ``name`` or any of :data:`OPTIONS`; or all that as text.
        What finds nothing, or cannot be looked up, is an item with a problem.
    :raises InvalidInput: for anything else, and for the same recording under two names.
    """
    items = [item for one in _listed(audio) for item in _expanded(one)]
    _check_repeated(items)
    return items


def look(items: Iterable[Item]) -> frozenset[str]:
    """Return how the items that were listed look: a mark of each, which is another one when its content changes."""
    return frozenset(_mark(item) for item in items if item.version)


def settled(items: Sequence[Item], earlier: Collection[str]) -> tuple[list[Item], list[Item]]:
    """Return the items that are the same as in an earlier look, and those that are still being written.

    Files come late, grow or are replaced between two looks: they are left for another run. What is not listed, such as
    an object that is named by its URI, is taken as it is.

    :param earlier: as :func:`look` returned it.
    """
    growing = [item for item in items if item.version and _mark(item) not in earlier]
    left_out = {item.audio for item in growing}
    return [item for item in items if item.audio not in left_out], growing


def _mark(item: Item) -> str:
    return hashlib.sha256(f"{item.audio}\n{item.version}".encode("utf-8", "replace")).hexdigest()[:24]


def _listed(audio: object) -> list[object]:
    """Return what was given as a list."""
    audio = from_text(audio)
    if isinstance(audio, Mapping | str) or hasattr(audio, "__fspath__"):
        return [audio]
    if not isinstance(audio, Iterable):
        raise InvalidInput(f"audio is a list of recordings, or a pattern; this is of type {type(audio).__name__}")
    return list(audio)


def _check_repeated(items: Iterable[Item]) -> None:
    """Refuse to write one transcript in two ways, of which only one could be found again."""
    known: dict[str, Item] = {}
    for item in items:
        first = known.setdefault(item.key, item)
        if item is not first and (item.name, dict(item.options)) != (first.name, dict(first.options)):
            raise InvalidInput(
                f"{item.shown!r} is there twice, as the same job, but with another name, actual_duration or "
                "speaker_names"
            )


def _expanded(one: object) -> list[Item]:
    options: dict[str, object] = dict(one) if isinstance(one, Mapping) else {"audio": one}
    where = options.pop("audio", None)
    text = str(where) if isinstance(where, str | Path) or hasattr(where, "protocol") else ""
    if not text.strip():
        raise InvalidInput(f"an item of audio names no recording: {sorted(map(str, options)) or type(where).__name__}")
    named = options.pop("name", None)
    name = None if is_null(named) else str(named)
    if unknown := set(options) - set(OPTIONS):
        raise InvalidInput(
            f"the item for {display(text)!r} has {', '.join(sorted(map(str, unknown)))}; an item may have "
            f"audio, name, {', '.join(OPTIONS)}"
        )
    options = {option: value for option, value in options.items() if not is_null(value)}
    found = find(text)
    if name and len(found) > 1:
        raise InvalidInput(f"{display(text)!r} finds {len(found)} recordings, which cannot all be named {name!r}")
    return [Item(one.audio, name, options, None, one.info, one.version, one.problem, one.is_no_match) for one in found]


def own_names(items: Sequence[Item], pattern: str, *, distinct_names: bool = True) -> list[dict[str, object]]:
    """Return how each item's files are to be written, as far as that differs from the others.

    :param pattern: of the files' names, for all.
    :param distinct_names: whether recordings of the same name in several folders get a few characters each, in
        whatever order they come; otherwise the first that is written has the name, and keeps it when others come in a
        later run.
    """
    stems = [(item.name or PurePosixPath(item.shown).stem).casefold() for item in items]
    counts = Counter({item.key: stem for stem, item in zip(stems, items, strict=True)}.values())
    own = []
    for item, stem in zip(items, stems, strict=True):
        name = pattern
        if item.name:
            name = name.replace("{name}", item.name.replace("{", "{{").replace("}", "}}"))
        if distinct_names and counts[stem] > 1:
            name = f"{name}-{item.key[:_DISTINCT_CHARS]}"
        writing: dict[str, object] = {} if name == pattern else {"filename": name}
        writing |= {option: item.options[option] for option in _WRITING if option in item.options}
        own.append(writing)
    return own
