"""Transcribing in a script, outside of any task: no ledger and no files, so nothing is found again after a failure.

What ``NanoGPTHook.transcribe`` and ``NanoGPTHook.estimate`` do.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL, Price
from airflow_provider_nanostt.api.models import Job, Options, Transcript
from airflow_provider_nanostt.audio.prepare.prepare import prepared_audio
from airflow_provider_nanostt.audio.prepare.upload_plan import OVERSIZE, OversizeMethod, PreparationRules
from airflow_provider_nanostt.audio.sources import locate_source
from airflow_provider_nanostt.common.parsing import DAY_SECONDS, parse_bool, parse_number, parse_seconds
from airflow_provider_nanostt.hooks import DEFAULT_POLL_INTERVAL, DEFAULT_TIMEOUT
from airflow_provider_nanostt.workflow.pricing import CostRules, check_limit
from airflow_provider_nanostt.workflow.request import TranscriptionRequest, look_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from pathlib import Path

    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.workflow.pricing import Estimate

log = logging.getLogger(__name__)


def transcribe(
    service: NanoGPTHook,
    *,
    timeout: float | timedelta = DEFAULT_TIMEOUT,
    poll_interval: float = DEFAULT_POLL_INTERVAL,
    wait_for_completion: bool = True,
    **audio_and_options: object,
) -> Transcript | Job:
    """Submit a recording and wait for its transcript, in this thread.

    :param wait_for_completion: False returns the accepted job at once.
    :param audio_and_options: as for :func:`submit_once`.
    """
    seconds = parse_seconds("timeout", timeout)
    often = parse_seconds("poll_interval", poll_interval, most=DAY_SECONDS)
    is_waiting = parse_bool("wait_for_completion", wait_for_completion)
    answer = submit_once(service, **audio_and_options)  # type: ignore[arg-type]  # checked by the function itself
    if isinstance(answer, Transcript) or not is_waiting:
        return answer
    return service.wait(answer, timeout=seconds, poll_interval=often, at_once=False)


def submit_once(
    service: NanoGPTHook,
    *,
    audio: str | Path | None = None,
    audio_path: str | Path | None = None,
    audio_url: str | None = None,
    model: str = DEFAULT_MODEL,
    language: str = "auto",
    diarize: bool = False,
    tag_audio_events: bool = False,
    actual_duration: float | None = None,
    max_cost_usd: float | None = None,
) -> Transcript | Job:
    """Submit a recording; this is charged once it is accepted.

    A recording that is too large for an upload is compressed, a format that the service does not take is converted;
    that needs the extra ``[audio]``. A recording that would have to be staged or split needs a ``TranscribeOperator``,
    which keeps track of the parts.

    :param audio: a file on this machine, an object storage URI, or an address the service can fetch; or
    :param audio_path: a file on this machine; or
    :param audio_url: an address the service can fetch, up to 500 MB.
    :param model: the service's model id.
    :param language: ISO 639 code, or ``auto``.
    :param diarize: tell speakers apart, with a model that can.
    :param tag_audio_events: mark laughter and the like, with a model that can.
    :param actual_duration: length of the recording in minutes, for accurate billing; measured if not given.
    :param max_cost_usd: USD; a recording that would cost more is not submitted.
    :return: the transcript where the model answers at once, else the accepted job.
    :raises InvalidInput: before anything was sent.
    :raises CostLimit: likewise.
    :raises AmbiguousSubmit: if no answer came and it may have been charged; it is not repeated.
    :raises NanoGPTError: for everything else the service may say.
    """
    limit = None if max_cost_usd is None else parse_number("max_cost_usd", max_cost_usd, "USD")
    flags = parse_bool("diarize", diarize), parse_bool("tag_audio_events", tag_audio_events)
    options = Options(model, language, *flags)
    request = _request(service, options, actual_duration, ("compress",), audio, audio_path, audio_url)
    look = look_at(service, request, log, price=Price(None, "nobody") if limit is None else None)
    check_limit(look.estimate, CostRules(limit), spent=0.0)
    with prepared_audio(request.source, look.info, look.plan, look.options) as (part,):
        minutes = request.minutes or (part.seconds and part.seconds / 60)
        service.acquire_slot()
        return service.submit(options.submission(part.audio, minutes))


def estimate(
    service: NanoGPTHook,
    audio: str | Path,
    *,
    model: str = DEFAULT_MODEL,
    diarize: bool = False,
    actual_duration: float | None = None,
    staging_path: str | None = None,
    oversize: Sequence[OversizeMethod] = OVERSIZE,
) -> Estimate:
    """Estimate the cost of a recording, and how it would be sent. Free; nothing is submitted.

    :param audio: a file on this machine, an object storage URI, or a web address.
    :param actual_duration: its length in minutes; measured if not given.
    :return: ``minutes``, ``usd`` and ``price`` with its source; None for what is unknown.
    :raises InvalidInput: if it could not be submitted.
    """
    options = Options(model, diarize=diarize)
    request = _request(service, options, actual_duration, oversize, audio, staging=staging_path)
    return look_at(service, request, log).estimate


def _request(  # noqa: PLR0917  the three names of a recording
    service: NanoGPTHook,
    options: Options,
    actual_duration: float | None,
    oversize: Sequence[OversizeMethod],
    audio: str | Path | None,
    audio_path: str | Path | None = None,
    audio_url: str | None = None,
    staging: str | None = None,
) -> TranscriptionRequest:
    config = service.get_conn().config
    source = locate_source(
        audio,
        audio_path,
        audio_url,
        allow_private=config.allow_private_addresses,
        base_url=config.base_url,
    )
    minutes = None
    if actual_duration is not None:
        minutes = parse_number("actual_duration", actual_duration, "minutes", may_be_zero=False)
    return TranscriptionRequest(source, options, minutes, PreparationRules(tuple(oversize), staging))
