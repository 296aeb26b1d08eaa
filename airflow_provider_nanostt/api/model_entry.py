"""Reading one entry of the service's catalogue: what it says of a model, as far as it can be believed.

Its form is not documented, so every spelling that says the same is read alike: names whatever their case and
separators, lists of names and mappings. Only what is said counts: an ability that is not mentioned is unknown, not
absent. Numbers come from outside, and one that no model could have is as good as none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from airflow_provider_nanostt.api import body as bodies
from airflow_provider_nanostt.api.catalogue import Abilities, AudioModel
from airflow_provider_nanostt.api.models import flag_or_none
from airflow_provider_nanostt.common.numbers import number

_PRICES = (0.0, 10.0)
"""USD per minute, above and up to: the dearest seen is a hundredth. Zero is no price: it means "not by the minute"."""

_MEGABYTES = (1.0, 10_000.0)
_MEGABYTE = 1_000_000
"""Bytes; the smaller reading of it."""

_SPEAKERS = ("diarization", "diarize", "speakerdiarization", "speakerlabels", "speakers")
_TIMES = ("wordtimestamps", "wordleveltimestamps", "timestamps", "wordtimes")
_VIDEO = ("videoinput", "video", "videofiles")
_SIZE = "maxfilesizemb"
_MAX_NAMES = 1000


def read_entry(entry: object) -> AudioModel | None:
    """Return what an entry says of a model, None if it does not say which."""
    if not isinstance(entry, Mapping) or not isinstance(given := entry.get("id"), str) or not given:
        return None
    model_id, name, pricing = bodies.label(given), entry.get("name"), entry.get("pricing")
    price = _price(pricing) if isinstance(pricing, Mapping) else None
    shown = bodies.label(name) if isinstance(name, str) else ""
    return AudioModel(model_id, shown or model_id, price, _abilities(entry), raw=entry) if model_id else None


def _price(pricing: Mapping[str, object]) -> float | None:
    if str(pricing.get("currency") or "USD").upper() != "USD":
        return None
    price = number(pricing.get("per_minute"))
    return price if price is not None and _PRICES[0] < price <= _PRICES[1] else None


def _abilities(entry: Mapping[str, object]) -> Abilities:
    said: dict[str, list[object]] = {}
    for place in (entry.get("capabilities"), entry.get("supported_parameters"), entry):
        for name, value in _named(place):
            said.setdefault(name, []).append(value)
    return Abilities(
        diarizes=_flag(said, _SPEAKERS),
        gives_times=_flag(said, _TIMES),
        takes_video=_flag(said, _VIDEO),
        max_bytes=_bytes(said.get(_SIZE, [])),
    )


def _named(place: object) -> Iterator[tuple[str, object]]:
    """Yield names and values; a name in a list, or one with a description as its value, says yes."""
    if isinstance(place, Mapping):
        for name, value in list(place.items())[:_MAX_NAMES]:
            yield _folded(str(name)), value
    elif isinstance(place, list):
        for one in place[:_MAX_NAMES]:
            name = one.get("name") if isinstance(one, Mapping) else one
            if isinstance(name, str):
                yield _folded(name), one if isinstance(one, Mapping) else True


def _flag(said: Mapping[str, list[object]], names: tuple[str, ...]) -> bool | None:
    """Return what is said of an ability under any of its names; one yes is enough."""
    flags = [_as_flag(value) for name in names for value in said.get(name, ())]
    return None if all(one is None for one in flags) else any(flags)


def _as_flag(value: object) -> bool | None:
    """Return whether a value says yes; a mapping or a list describes how, unless it has a word of its own for it."""
    if isinstance(value, Mapping):
        own = [flag_or_none(value.get(name)) for name in ("supported", "enabled")]
        return next((one for one in own if one is not None), True)
    return True if isinstance(value, list) and value else flag_or_none(value)


def _bytes(values: list[object]) -> int | None:
    """Return the smallest of the sizes that are said, in bytes; a description may have it as its maximum."""
    plain = [
        one.get("max", one.get("maximum", one.get("value"))) if isinstance(one, Mapping) else one for one in values
    ]
    sizes = [size for size in map(number, plain) if size is not None and _MEGABYTES[0] <= size <= _MEGABYTES[1]]
    return int(min(sizes) * _MEGABYTE) if sizes else None


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name[:100].lower())
