"""What a finished task announces: asset events for what was written, and facets for OpenLineage.

Addresses lose what may be secret in them, and the connection they were read through; nothing here fails a task that
has written its transcript.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_nanostt._compat import Asset, AssetAlias
from airflow_provider_nanostt.common.urls import display

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FACTS_OF_TRANSCRIPT = ("model", "language", "charged_minutes", "cost_usd")
_FACTS = (*_FACTS_OF_TRANSCRIPT, "run_id", "total", "written", "skipped", "failed", "not_started")


@dataclass(frozen=True, slots=True)
class LineageRecord:
    """What a task has read and written."""

    inputs: Sequence[str] = ()  # recordings: paths, URIs or web addresses
    outputs: Sequence[str] = ()  # addresses of what was written
    facts: Mapping[str, Any] = field(default_factory=dict)  # model, minutes, cost, and the like

    @classmethod
    def of(cls, inputs: Iterable[object], result: Mapping[str, object]) -> LineageRecord:
        """Return the facts of a task's result; of a batch the manifest stands for all its files."""
        places = result.get("files") or result.get("manifest") or {}
        facts = {name: result[name] for name in _FACTS if result.get(name) is not None}
        outputs = [str(uri) for uri in places.values()] if isinstance(places, Mapping) else []
        return cls([str(one) for one in inputs if one], outputs, facts)


def emit_asset_events(context: Mapping[str, Any], outlets: Iterable[object], finished: LineageRecord) -> None:
    """Emit Airflow's asset events: a declared asset gets the facts, an alias each file with the facts."""
    events = context.get("outlet_events")
    if events is None:
        return
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            for uri in finished.outputs:
                events[outlet].add(Asset(plain(uri)), extra=dict(finished.facts))
        elif isinstance(outlet, Asset):
            events[outlet].extra = {**(events[outlet].extra or {}), **finished.facts}


def plain(address: str) -> str:
    """Return an address as others know it: without signature, and without the connection it is reached through."""
    text = display(address)
    if "://" not in text:
        return Path(text).as_uri() if text.startswith("/") else text
    scheme, _, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def named(address: str) -> tuple[str, str]:
    """Return namespace and name of an address, by OpenLineage's naming rules."""
    uri = plain(address)
    scheme, mark, rest = uri.partition("://")
    if scheme == "file" or not mark:
        return "file", urlsplit(uri).path or address
    place, _, name = rest.partition("/")
    if scheme in ("http", "https"):  # what is behind a question mark is a part of a key, but not of these names
        name = urlsplit(uri).path.lstrip("/")
    return f"{scheme}://{place}", name or "/"


def facets(finished: LineageRecord) -> Any:
    """Return the facets for OpenLineage, None where its provider is not installed."""
    try:
        import attr
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import Dataset
        from openlineage.client.facet_v2 import RunFacet
    except ImportError:
        return None

    @attr.define
    class TranscriptionRunFacet(RunFacet):
        """Model, minutes and cost of a transcription."""

        model: str | None = None
        language: str | None = None
        charged_minutes: float | None = None
        cost_usd: float | None = None

    facts: dict[str, Any] = {name: finished.facts.get(name) for name in _FACTS_OF_TRANSCRIPT}
    return OperatorLineage(
        inputs=[Dataset(*named(one)) for one in finished.inputs],
        outputs=[Dataset(*named(one)) for one in finished.outputs],
        run_facets={"nanostt_transcription": TranscriptionRunFacet(**facts)},
    )
