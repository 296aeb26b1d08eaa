"""Transcribing in a script, outside of any task: no ledger and no files, so nothing is found again after a failure.

What ``transcribe``, ``estimate`` and ``estimate_list`` of ``NanoGPTHook`` do.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.api.errors import NanoGPTError
from airflow_provider_nanostt.api.models import Job, Options, Transcript
from airflow_provider_nanostt.api.patience import until_accepted
from airflow_provider_nanostt.audio.prepare.prepare import prepared_audio
from airflow_provider_nanostt.audio.prepare.upload_plan import OVERSIZE, OversizeMethod, PreparationRules
from airflow_provider_nanostt.audio.sources import locate_source
from airflow_provider_nanostt.common.parsing import (
    DAY_SECONDS,
    parse_bool,
    parse_choice,
    parse_mapping,
    parse_number,
    parse_seconds,
)
from airflow_provider_nanostt.hooks import DEFAULT_POLL_INTERVAL, DEFAULT_TIMEOUT
from airflow_provider_nanostt.workflow.pricing import UNKNOWN_LENGTH, CostRules, check_limit
from airflow_provider_nanostt.workflow.request import TranscriptionRequest, look_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

    from airflow_provider_nanostt.audio.sources import Recording
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.workflow.batch.list_estimate import ListEstimate
    from airflow_provider_nanostt.workflow.pricing import Estimate

log = logging.getLogger(__name__)


def transcribe(
    service: NanoGPTHook,
    *,
    audio: str | Path | None = None,
    audio_path: str | Path | None = None,
    audio_url: str | None = None,
    model: str = DEFAULT_MODEL,
    language: str = "auto",
    diarize: bool = False,
    tag_audio_events: bool = False,
    extra_parameters: Mapping[str, object] | None = None,
    actual_duration: float | None = None,
    max_cost_usd: float | None = None,
    timeout: float | timedelta = DEFAULT_TIMEOUT,
    poll_interval: float = DEFAULT_POLL_INTERVAL,
    wait_for_completion: bool = True,
) -> Transcript | Job:
    """Submit a recording, which is charged once it is accepted, and wait for its transcript in this thread.

    A recording that is too large for an upload is compressed, a format that the service does not take is converted;
    that needs the extra ``[audio]``. A recording that would have to be staged or split needs a ``TranscribeOperator``,
    which keeps track of the parts. What is not explained here is as for that, or as for the hook's ``wait``.

    :param audio: a file on this machine, an object storage URI, or an address the service can fetch, up to 500 MB;
        ``audio_path`` and ``audio_url`` are the explicit forms.
    :param actual_duration: length of the recording in minutes, for accurate billing; measured if not given.
    :param wait_for_completion: False returns the accepted job at once.
    :raises InvalidInput: before anything was sent, like :class:`CostLimit`.
    :raises AmbiguousSubmit: if no answer came and it may have been charged; it is not repeated.
    :raises NanoGPTError: for everything else the service may say.
    """
    seconds = parse_seconds("timeout", timeout)
    often = parse_seconds("poll_interval", poll_interval, most=DAY_SECONDS)
    is_waiting = parse_bool("wait_for_completion", wait_for_completion)
    request = TranscriptionRequest(
        _locate(service, audio, audio_path, audio_url),
        Options(
            model,
            language,
            parse_bool("diarize", diarize),
            parse_bool("tag_audio_events", tag_audio_events),
            parse_mapping("extra_parameters", extra_parameters),
        ),
        _minutes(actual_duration),
        PreparationRules(("compress",)),
    )
    answer = _submit(service, request, max_cost_usd)
    if isinstance(answer, Transcript) or not is_waiting:
        return answer
    return service.wait(answer, timeout=seconds, poll_interval=often, at_once=False)


def _submit(service: NanoGPTHook, request: TranscriptionRequest, max_cost_usd: float | None) -> Transcript | Job:
    limit = None if max_cost_usd is None else parse_number("max_cost_usd", max_cost_usd, "USD")
    look = look_at(service, request, log)
    check_limit(look.estimate, CostRules(limit), spent=0.0)
    with prepared_audio(request.source, look.info, look.plan, look.options) as (part,):
        submission = request.options.submission(part.audio, request.minutes or part.minutes, known=look.known)

        def send() -> Transcript | Job:
            service.acquire_slot()
            return service.submit(submission)

        return until_accepted(send)


def estimate(
    service: NanoGPTHook | None,
    audio: str | Path,
    *,
    model: str = DEFAULT_MODEL,
    diarize: bool = False,
    actual_duration: float | None = None,
    staging_path: str | None = None,
    oversize: Sequence[OversizeMethod] = OVERSIZE,
) -> Estimate:
    """Estimate the cost of a recording, and how it would be sent. Free; nothing is submitted.

    :param service: None without a connection: the price is then that of the built-in table, whose date it names, and
        addresses inside the network are not looked at.
    :param audio: a file on this machine, an object storage URI, or a web address.
    :param actual_duration: its length in minutes; measured if not given.
    :return: ``minutes``, ``usd`` and ``price`` with its source; None for what is unknown.
    :raises InvalidInput: if it could not be submitted.
    """
    source, options = _locate(service, audio), Options(model, diarize=diarize)
    rules = PreparationRules(tuple(oversize), staging_path)
    return look_at(service, TranscriptionRequest(source, options, _minutes(actual_duration), rules), log).estimate


def estimate_list(
    service: NanoGPTHook,
    audio: object,
    *,
    model: str = DEFAULT_MODEL,
    diarize: bool = False,
    actual_duration: float | None = None,
    staging_path: str | None = None,
    oversize: Sequence[OversizeMethod] = OVERSIZE,
    unknown_length: str = "worst",
) -> ListEstimate:
    """Estimate the cost of a list, one recording after the other. Free; nothing is submitted.

    :param audio: as for a ``TranscribeBatchOperator``: a list, a pattern, items with options of their own.
    :param unknown_length: how a recording of unknown length counts: ``worst``, ``fail`` or ``allow``.
    :return: ``usd``, ``limit_usd``, ``minutes``, ``unknown``, ``subject``, and ``describe()`` as Markdown. What could
        not be submitted is only counted; nothing is known of what is paid for already.
    :raises InvalidInput: if the list cannot be read.
    """
    from airflow_provider_nanostt.workflow.batch import expand
    from airflow_provider_nanostt.workflow.batch.list_estimate import ListEstimate

    own = {"model": model, "diarize": diarize, "actual_duration": actual_duration}
    costing: dict[str, tuple[str, Estimate]] = {}
    free: Counter[str] = Counter()
    for item in expand(audio):
        if item.key in costing:
            free["duplicate"] += 1
            continue
        options: dict[str, Any] = {**own, **{name: item.options[name] for name in own if name in item.options}}
        try:
            if item.problem is not None:
                raise item.problem
            found = estimate(service, item.audio, staging_path=staging_path, oversize=oversize, **options)
        except NanoGPTError as error:
            free["no_match" if item.is_no_match else "failed"] += 1
            log.warning("%s: %s", item.shown, error)
        else:
            costing[item.key] = item.shown, found
    rules = CostRules(unknown_length=parse_choice("unknown_length", unknown_length, UNKNOWN_LENGTH))
    return ListEstimate(tuple(costing.values()), frozenset(costing), free, rules)


def _locate(
    service: NanoGPTHook | None, audio: str | Path | None, path: str | Path | None = None, url: str | None = None
) -> Recording:
    if service is None:
        return locate_source(audio, path, url)
    config = service.get_conn().config
    allow_private = config.allow_private_addresses
    return locate_source(audio, path, url, allow_private=allow_private, base_url=config.base_url)


def _minutes(given: float | None) -> float | None:
    return None if given is None else parse_number("actual_duration", given, "minutes", may_be_zero=False)
