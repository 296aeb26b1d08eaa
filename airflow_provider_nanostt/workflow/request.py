"""A request for a transcript, and the free look at its recording that says how it would be sent and what it may cost.

Nothing is prepared, sent or paid for here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.catalogue import KnownModels
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare.prepare import PrepareOptions
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, plan_upload
from airflow_provider_nanostt.audio.sources import LocalFile
from airflow_provider_nanostt.workflow.pricing import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_nanostt.api.models import Options
    from airflow_provider_nanostt.audio.inspect.probe import AudioInfo
    from airflow_provider_nanostt.audio.prepare.staging import Staging
    from airflow_provider_nanostt.audio.prepare.upload_plan import UploadPlan
    from airflow_provider_nanostt.audio.sources import Recording, SourceVersion
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.ledger import RequestFingerprint
    from airflow_provider_nanostt.workflow.attempt import Log


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """One recording, and how it is to be transcribed.

    :param source: where it is.
    :param minutes: its length as the user states it; None to measure it.
    :param preparation: what may be done to get it to the service.
    :param presign_seconds: how long an address that is signed for the service is good for.
    :param progress: called with the seconds of sound done by long work.
    """

    source: Recording
    options: Options
    minutes: float | None = None
    preparation: PreparationRules = field(default_factory=PreparationRules)
    presign_seconds: float = 86_400.0
    progress: Callable[[float], object] | None = None


@dataclass(frozen=True, slots=True)
class Identified:
    """What is asked for now.

    :param version: what a record keeps to know the recording again.
    :param source: the recording, with what its storage said of it.
    :param info: what the recording is, if it had to be read anyway.
    """

    request: RequestFingerprint
    version: SourceVersion | None
    source: Recording
    info: AudioInfo | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a recording before it is prepared: what it is, how it gets to the service, what it may cost.

    :param known: what was known of the models.
    """

    info: AudioInfo
    plan: UploadPlan
    options: PrepareOptions
    estimate: Estimate
    known: KnownModels


def look_at(
    service: NanoGPTHook | None,
    request: TranscriptionRequest,
    log: Log,
    wanted: Identified | None = None,
    *,
    staging: Staging | None = None,
) -> Look:
    """Look at a recording, and log how it gets to the service and what it is expected to cost. Free.

    :param service: is asked for its catalogue; None without a connection, which leaves the built-in table.
    :param wanted: what is known of the recording already.
    :param staging: where it may be staged.
    :raises InvalidInput: if it could not be submitted.
    """
    options, source, info, digest = request.options, request.source, None, None
    if wanted is not None:
        source, info = wanted.source, wanted.info
        if wanted.version is not None and isinstance(source, LocalFile):
            digest = wanted.version.key
    known = KnownModels() if service is None else service.known_models()
    known.check(options.model, diarize=options.diarize, tag_audio_events=options.tag_audio_events)
    if news := known.news(options.model):
        (log.warning if known.has_vanished(options.model) else log.info)("%s", news)
    info = info or probe(source)
    plan = plan_upload(
        source,
        info,
        model=options.model,
        diarize=options.diarize,
        preparation=request.preparation,
        base_url="" if service is None else service.get_conn().config.base_url,
        known=known,
    )
    length = info.length.played if plan.makes_anew else info.length
    minutes, how = length.minutes, length.source
    if request.minutes is not None:
        minutes, how = request.minutes, "stated"
    estimate = Estimate(
        options.model, minutes, known.facts(options.model).price, info.size, method=plan.method, length_source=how
    )
    prepare = PrepareOptions(request.preparation, staging, request.presign_seconds, request.progress, digest)
    log.info(
        "%s: %s (%s). Expected cost: %s",
        request.source.name,
        "length unknown" if minutes is None else f"{minutes:.2f} minutes",
        how,
        estimate.describe(),
    )
    log.info("Upload method: %s%s", plan.method, f" ({plan.reason})" if plan.reason else "")
    return Look(info, plan, prepare, estimate, known)
