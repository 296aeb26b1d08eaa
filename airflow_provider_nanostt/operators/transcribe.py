"""The operator for one recording."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import conf, mask_secret
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL, KNOWN_MODELS
from airflow_provider_nanostt.operators._arguments import none_if_blank, parse_bool, parse_number, parse_seconds
from airflow_provider_nanostt.operators._base import WaitSettings, WaitsForJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.ledger import RecoveryPolicy
    from airflow_provider_nanostt.workflow.request import Order

_SIGNED_MARGIN = 300.0
_TELL_EVERY = 15.0
_NAMES = ("audio", "audio_path", "audio_url")
_FOR_ITSELF = ("model", "language", "diarize", "tag_audio_events", "actual_duration")


class TranscribeOperator(WaitsForJob):
    """Transcribe one recording; waiting happens in the triggerer and holds no worker slot.

    Exactly one of ``audio``, ``audio_path`` and ``audio_url`` is needed. What was paid for is found again by retries
    and clears: in ``output`` if there is one, else, on Airflow 3.3 and newer, in the task's state.

    :param audio: the recording: a path on the worker's disk, a ``file://`` URI, a web address the service can fetch, or
        any object storage URI (``s3://conn@bucket/key``). (templated)
    :param audio_path: the explicit form for a file on the worker's disk. (templated)
    :param audio_url: the explicit form for a web address. (templated)
    :param model: the service's model id; ``Elevenlabs-STT`` knows speakers and times. (templated)
    :param language: ISO 639-1 or 639-3 code, or ``auto``. (templated)
    :param diarize: tell speakers apart, with a model that can. (templated)
    :param tag_audio_events: mark laughter, applause and the like, with a model that can. (templated)
    :param actual_duration: length of the audio in minutes, for accurate billing; measured if not given. (templated)
    :param oversize: what may be done with a recording that is too large for an upload (3 MB) and has no address that
        the service could fetch it from, in order: ``stage`` it in ``staging``, ``compress`` it, ``split`` it. The last
        two need the extra ``[audio]``.
    :param staging: a folder in object storage that can sign addresses; what is put there is removed again. (templated)
    :param codec: ``opus`` or ``mp3``: what recordings are compressed to.
    :param split_diarized: split although speakers are told apart; their labels do not match across parts.
    :param max_cost: USD; what would cost more, with all that earlier attempts have cost, is not submitted. (templated)
    :param max_cost_unknown: for a recording of unknown length: ``worst`` takes the longest its size allows, ``fail``
        refuses, ``allow`` lets it pass.
    :param check_balance_above: USD of expected cost above which the account must hold as much; None never asks.
    :param signed_for: seconds, or a timedelta, that an address signed for the service is good for; None for as long as
        the job is waited for. (templated)
    :param output: where the transcript goes as a file, and the ledger of what was paid for: a folder, local or anything
        ``ObjectStoragePath`` knows (``s3://conn@bucket/key/``), the same for every attempt. None puts the text into
        XCom. (templated)
    :param formats: what to write into ``output``: any of ``json``, ``txt``, ``srt``, ``vtt``, ``html``; ``json`` is
        always written. (templated)
    :param speaker_names: new names for speakers, as in ``{"Speaker 1": "Agent"}``. (templated)
    :param captions: the reading rules of ``srt`` and ``vtt``, by the names in
        :class:`~airflow_provider_nanostt.outputs.style.CaptionStyle`.
    :param estimated_captions: guess the times of captions if the model gives none.
    :param xcom_limit: bytes of JSON that may go to XCom when ``output`` is None.
    :param name: pattern of the files' names, with ``{name}``, ``{run_id}``, ``{model}``, ``{language}`` and
        ``{map_index}``. (templated)
    :param page_audio_url: a web address at which a browser finds the recording, for the ``html`` page to play. It is
        written into the page as it is, with its signature if it has one. (templated)
    :param nanogpt_conn_id: the connection with the API key. (templated)
    :param deferrable: wait in the triggerer rather than in the worker; default from ``[operators] default_deferrable``.
    :param wait: False returns the ticket at once, for a ``TranscriptionSensor`` to wait for; what a model answers at
        once is the result all the same, and the sensor passes it on.
    :param poll_interval: seconds; the longest gap between two questions for a lone young job, and about the mean gap
        otherwise. (templated)
    :param timeout: seconds, or a timedelta, to wait for a job; the job itself goes on, paid for, when this is over, and
        the next attempt waits on. (templated)
    :param defer_after: seconds; a job expected within them is waited for in the worker, since a resume costs a new task
        process, for at most twice as long. 0 always defers.
    :param force: submit afresh, whatever was paid for before; once for each clear, so that an automatic retry does not
        pay again. (templated)
    :param on_changed_input: ``submit`` or ``fail`` if audio, model or options are not those submitted before.
    :param on_ambiguous_submit: ``fail`` or ``resubmit`` if nobody knows whether the last submit was charged.
    :param on_lost_job: ``fail`` or ``submit`` if the service no longer knows the job.
    :return: without ``output``: ``transcription``, ``segments`` (``speaker``, ``start``, ``end``, ``text``),
        ``metadata``, ``run_id``, ``model``, ``language``, ``charged_minutes``, ``cost_usd``; with ``output``: ``files``
        (URIs by format), ``speakers`` and ``words`` (a count) in place of the first three; with ``wait=False``:
        ``run_id``, ``model``, ``cost_usd`` and ``job``, the ticket.
    """

    template_fields: Sequence[str] = (
        "audio",
        "audio_path",
        "audio_url",
        "model",
        "language",
        "diarize",
        "tag_audio_events",
        "actual_duration",
        "staging",
        "max_cost",
        "signed_for",
        "output_location",
        "formats",
        "speaker_names",
        "name",
        "page_audio_url",
        "nanogpt_conn_id",
        "poll_interval",
        "timeout",
        "force",
    )
    ui_color = "#d9e8f6"

    def __init__(
        self,
        *,
        audio: str | Path | None = None,
        audio_path: str | Path | None = None,
        audio_url: str | None = None,
        model: str = DEFAULT_MODEL,
        language: str = "auto",
        diarize: bool | str = False,
        tag_audio_events: bool | str = False,
        actual_duration: float | str | None = None,
        oversize: Sequence[str] = ("stage", "compress", "split"),
        staging: str | None = None,
        codec: str = "opus",
        split_diarized: bool = False,
        max_cost: float | str | None = None,
        max_cost_unknown: str = "worst",
        check_balance_above: float | None = 1.0,
        signed_for: float | str | timedelta | None = None,
        output: str | None = None,
        formats: Sequence[str] | str = ("json",),
        speaker_names: Mapping[str, str] | str | None = None,
        captions: Mapping[str, Any] | None = None,
        estimated_captions: bool = False,
        xcom_limit: int = 48_000,
        name: str = "{name}",
        page_audio_url: str | None = None,
        nanogpt_conn_id: str = "nanogpt_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        wait: bool = True,
        poll_interval: float | str = 5.0,
        timeout: float | str | timedelta = timedelta(hours=6),
        defer_after: float = 5.0,
        force: bool | str = False,
        on_changed_input: str = "submit",
        on_ambiguous_submit: str = "fail",
        on_lost_job: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audio: Any = audio
        self.audio_path = audio_path
        self.audio_url = audio_url
        self.model = model
        self.language = language
        self.diarize = diarize
        self.tag_audio_events = tag_audio_events
        self.actual_duration = actual_duration
        self.oversize = oversize
        self.staging = staging
        self.codec = codec
        self.split_diarized = split_diarized
        self.max_cost = max_cost
        self.max_cost_unknown = max_cost_unknown
        self.check_balance_above = check_balance_above
        self.signed_for = signed_for
        self.output_location = output
        self.formats = formats
        self.speaker_names = speaker_names
        self.captions = captions
        self.estimated_captions = estimated_captions
        self.xcom_limit = xcom_limit
        self.name = name
        self.page_audio_url = page_audio_url
        self.nanogpt_conn_id = nanogpt_conn_id
        self.deferrable = deferrable
        self.wait = wait
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.defer_after = defer_after
        self.force = force
        self.on_changed_input = on_changed_input
        self.on_ambiguous_submit = on_ambiguous_submit
        self.on_lost_job = on_lost_job

    def execute(self, context: Context) -> dict[str, Any]:
        """Find or submit, then wait: not at all for an answer that is there, else in the triggerer or here."""
        return self._finished(context, self._explained(lambda: self._execute(context)))

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_nanostt.api.models import Transcript
        from airflow_provider_nanostt.workflow.recovery import Landed

        wait = self._wait_settings()
        order = self._order(wait)
        self._output_settings().check_model(order.options.model)
        attempt = self._attempt(context)
        found = attempt.start(order, whole=not self.wait)
        if isinstance(found, Landed):
            return found.result
        if isinstance(found, list):
            return self._wait_for_parts(attempt, found, wait)
        job = None if self.wait else attempt.job_of(found)
        if job is not None:
            self.log.info("Not waiting for run %s: wait is False", job.run_id)
            return {"run_id": job.run_id, "model": job.model, "cost_usd": job.cost, "job": job.to_json()}
        if isinstance(found, Transcript):
            return self._land(attempt, found)
        return self._wait_for(attempt, found, wait)

    def _rules(self) -> RecoveryPolicy:
        from airflow_provider_nanostt.ledger import RecoveryPolicy

        return RecoveryPolicy(
            force=parse_bool("force", self.force),
            on_changed_input=self.on_changed_input,
            on_ambiguous_submit=self.on_ambiguous_submit,
            on_lost_job=self.on_lost_job,
        )

    def _order(self, wait: WaitSettings, *, audio: Any = None, own: Mapping[str, Any] | None = None) -> Order:
        """Return what is to be transcribed, every argument checked.

        :param audio: a recording that none of the operator's own arguments names.
        :param own: what it says for itself, in place of what the operator says.
        """
        from airflow_provider_nanostt.api.models import Options
        from airflow_provider_nanostt.audio import AudioPreparation
        from airflow_provider_nanostt.workflow.request import Budget

        named = (self.audio, self.audio_path, self.audio_url) if audio is None else (audio, None, None)
        said = {name: getattr(self, name) for name in _FOR_ITSELF} | dict(own or {})
        model = str(said["model"])
        if model not in KNOWN_MODELS:
            self.log.info("Model %r is not in this provider's table; the service decides whether it exists", model)
        signed = (
            wait.timeout if none_if_blank(self.signed_for) is None else parse_seconds("signed_for", self.signed_for)
        )
        return self.hook.order(
            **{name: none_if_blank(value) for name, value in zip(_NAMES, named, strict=True)},
            options=Options(
                model,
                str(said["language"]),
                parse_bool("diarize", said["diarize"]),
                parse_bool("tag_audio_events", said["tag_audio_events"]),
            ),
            minutes=parse_number("actual_duration", said["actual_duration"], "minutes"),
            means=AudioPreparation(self.oversize, none_if_blank(self.staging), self.codec, self.split_diarized),
            budget=Budget(
                parse_number("max_cost", self.max_cost, "USD"), self.max_cost_unknown, self.check_balance_above
            ),
            signed_seconds=signed + _SIGNED_MARGIN,
            progress=self._progress(),
        )

    def _progress(self) -> Callable[[float], None]:
        """Return what tells the log now and then how far long work on a recording has come."""
        told_at = time.monotonic()

        def tell(seconds: float) -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= _TELL_EVERY:
                told_at = time.monotonic()
                self.log.info("Worked through %.0f minutes of sound", seconds / 60)

        return tell

    def _wait_settings(self) -> WaitSettings:
        """Return the settings in seconds, however they were given."""
        return WaitSettings(
            poll_interval=parse_seconds("poll_interval", self.poll_interval),
            timeout=parse_seconds("timeout", self.timeout),
            defer_after=parse_seconds("defer_after", self.defer_after) if self.defer_after else 0.0,
        )

    def _do_render_template_fields(self, parent: Any, *arguments: Any, **named: Any) -> None:
        # Also what a mapped task is rendered through. Airflow stores rendered fields, after masking what it knows.
        super()._do_render_template_fields(parent, *arguments, **named)
        if parent is self:
            self._mask([getattr(self, name, None) for name in self.template_fields])

    def _mask(self, value: Any) -> None:
        """Have Airflow hide what signs the addresses in a value."""
        for url in _texts(value):
            if "://" in url and ("?" in url or "@" in url):
                from airflow_provider_nanostt.common.urls import secrets

                for secret in secrets(url):
                    mask_secret(secret)

    def _inputs(self) -> list[object]:
        return [self.audio or self.audio_path or self.audio_url]


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
