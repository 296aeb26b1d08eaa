"""Secret values that this process knows: keys, values in the addresses it was given, users of its proxies.

They are found in a text that has them as they are; ``urls`` undoes what a text encodes first. Nothing is ever written.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

MASK = "***"
SHORTEST_KEY = 8
"""Characters of the shortest API key: a shorter one would be cut out of ordinary words."""

_START = 5  # characters by which values are looked up, and of the shortest of them
_MOST = 20_000
_FEW = 50
_OPAQUE = re.compile(r"(?=\S*[a-z])(?:(?=\S*\d)\S{16}|\S{24})\S*", re.IGNORECASE)
_PROXIES = [one for name in ("http", "https", "all", "ftp") for one in (f"{name}_proxy", f"{name}_proxy".upper())]

_lock = threading.Lock()
_values: dict[str, bool] = {}  # in the order they came; True for those that are certain
_by_start: dict[str, tuple[str, ...]] = {}


def look_at_proxies() -> None:
    """Remember the users of the proxies that the environment has now."""
    _remember_proxies(tuple(map(os.environ.get, _PROXIES)))


def is_opaque(value: str) -> bool:
    """Return whether a value looks like nothing that people say or call a file."""
    return _OPAQUE.fullmatch(value) is not None


def remember(values: Iterable[str], *, certain: bool = False) -> None:
    """Have values masked from now on.

    :param certain: whether they are secret whatever they look like; others are forgotten when very many come.
    """
    with _lock:
        for value in values:
            is_word = certain or re.search("[a-z]", value, re.IGNORECASE)  # and no date
            if len(value) < _START or not is_word:
                continue
            if value not in _values:
                _by_start[value[:_START]] = (*_by_start.get(value[:_START], ()), value)
            _values[value] = certain or _values.get(value, False)
            if len(_values) > _MOST:
                _forget(next((one for one, is_certain in _values.items() if not is_certain), next(iter(_values))))


def forget_all() -> None:
    """Forget every value, as a new process has none."""
    with _lock:
        _values.clear()
        _by_start.clear()
        _remember_proxies.cache_clear()


def masked(text: str, *, opaque: bool = False) -> str:
    """Return a text in which what is known to be secret is masked.

    :param opaque: whether only values are masked that cannot be meant in any other way.
    """
    values = tuple(_values) if len(_values) <= _FEW else None
    if len(text) < _START or (values is not None and not any(value in text for value in values)):
        return text
    pieces, done, at = [], 0, 0
    while at <= len(text) - _START:
        there = (value for value in _by_start.get(text[at : at + _START], ()) if text.startswith(value, at))
        meant = (value for value in there if not opaque or _values.get(value) or is_opaque(value))
        found = max(meant, key=len, default="")
        if found:
            pieces += [text[done:at], MASK]
            done = at + len(found)
        at += len(found) or 1
    return "".join([*pieces, text[done:]])


def _forget(value: str) -> None:
    del _values[value]
    rest = tuple(one for one in _by_start[value[:_START]] if one != value)
    if rest:
        _by_start[value[:_START]] = rest
    else:
        del _by_start[value[:_START]]


@lru_cache(maxsize=1)
def _remember_proxies(proxies: tuple[str | None, ...]) -> None:
    """Remember user names and passwords of the environment's proxies, as written and as they are sent."""
    for proxy in filter(None, proxies):
        user, at, _ = proxy.rpartition("://")[2].rpartition("@")
        if at:
            name, _, password = user.partition(":")
            forms = {user, password, name if len(name) >= SHORTEST_KEY else ""}
            remember({*forms, *map(unquote, forms)}, certain=True)
