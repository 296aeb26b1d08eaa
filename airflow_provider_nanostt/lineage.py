"""What a task that has ended announces: asset events for what was written, and facets for OpenLineage.

Addresses lose what may be secret in them, and the connection they were read through; nothing here fails a task that
has written its transcript. An asset's URI is percent-encoded: Airflow's server refuses one that is not ASCII after the
task has ended, and makes none of its events.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import Asset, AssetAlias
from airflow_provider_nanostt.common.errors import describe_exception
from airflow_provider_nanostt.common.parsing import is_null
from airflow_provider_nanostt.common.reprs import redacted_repr
from airflow_provider_nanostt.common.uris import named, plain
from airflow_provider_nanostt.common.urls import display
from airflow_provider_nanostt.metrics import StatsMeter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)

_FACTS_OF_FACET = ("model", "language", "charged_minutes", "cost_usd", "run_id", "next_step")
_FACTS = (*_FACTS_OF_FACET, "total", "written", "skipped", "failed", "not_started")


@dataclass(frozen=True, slots=True)
class LineageRecord:
    """What a task has read and written."""

    __repr__ = redacted_repr

    inputs: Sequence[str] = ()  # recordings: paths, URIs or web addresses
    outputs: Sequence[str] = ()  # addresses of what was written
    facts: Mapping[str, Any] = field(default_factory=dict)  # model, minutes, cost, and the like

    @classmethod
    def of(cls, inputs: Iterable[object], result: Mapping[str, object]) -> LineageRecord:
        """Return the facts of a task's result; of a batch the manifest stands for its files, beside its tables."""
        written = [result.get(kind) for kind in ("files", "manifest", "tables")]
        facts = {name: result[name] for name in _FACTS if result.get(name) is not None}
        outputs = [str(uri) for files in written if isinstance(files, Mapping) for uri in files.values()]
        return cls([display(str(one)) for one in inputs if not is_null(one)], outputs, facts)


def emit_asset_events(context: Mapping[str, Any], outlets: Iterable[object], finished: LineageRecord) -> None:
    """Emit Airflow's asset events: a declared asset gets the facts, an alias each file with the facts."""
    events = context.get("outlet_events")
    if events is None:
        return
    for outlet in outlets:
        is_alias = isinstance(outlet, AssetAlias)
        for uri in finished.outputs if is_alias else ("",):
            try:
                if is_alias:
                    events[outlet].add(Asset(plain(uri)), extra=dict(finished.facts))
                elif isinstance(outlet, Asset):
                    events[outlet].extra = {**(events[outlet].extra or {}), **finished.facts}
            except Exception as error:  # noqa: BLE001  the transcript is written, and the other events are made
                what = display(uri) or "a task"
                log.warning("Could not emit the asset event of %s for %r: %s", what, outlet, describe_exception(error))
                StatsMeter().incr("asset_events_failed")


def facets(finished: LineageRecord) -> Any:
    """Return the facets for OpenLineage, None where its provider is not installed."""
    try:
        import attr
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import Dataset
        from openlineage.client.facet_v2 import RunFacet
    except ImportError:
        return None

    facts = {name: finished.facts.get(name) for name in _FACTS_OF_FACET}
    facet = attr.make_class("TranscriptionRunFacet", {name: attr.field(default=None) for name in facts}, (RunFacet,))
    return OperatorLineage(
        inputs=[Dataset(*named(one)) for one in finished.inputs],
        outputs=[Dataset(*named(one)) for one in finished.outputs],
        run_facets={"nanostt_transcription": facet(**facts)},
    )
