"""The operator for one recording: its arguments. The work is in ``_single``, which ``@task.transcribe`` shares."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt._compat import conf
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.common.parsing import as_mapping
from airflow_provider_nanostt.operators._base import NanoGPTOperator, TaskResult, arguments_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.operators.options import AudioPreparation, CostLimits, OutputOptions, RecoveryPolicy


class TranscribeOperator(NanoGPTOperator):
    """Transcribe one recording; waiting happens in the triggerer and holds no worker slot.

    Exactly one of ``audio``, ``audio_path`` and ``audio_url`` is needed. What was paid for is found again by retries
    and clears: in ``output_path`` if there is one, else, on Airflow 3.3 and newer, in the task's state.

    :param audio: the recording: a path on the worker's disk, a ``file://`` URI, a web address the service can fetch, or
        any object storage URI (``s3://conn@bucket/key``). (templated)
    :param audio_path: the explicit form for a file on the worker's disk. (templated)
    :param audio_url: the explicit form for a web address. (templated)
    :param model: the service's model id; ``Elevenlabs-STT`` knows speakers and times. (templated)
    :param language: ISO 639-1 or 639-3 code, or ``auto``. (templated)
    :param diarize: tell speakers apart, with a model that can. (templated)
    :param tag_audio_events: mark laughter, applause and the like, with a model that can. (templated)
    :param extra_parameters: more fields of the request, by the names that the service's model has for them, such as
        ``{"keyterms": ["Kowalski"]}``; they are passed on as they are. Another value is another job. (templated)
    :param actual_duration: length of the recording in minutes, for accurate billing; measured if not given. (templated)
    :param output_path: the folder for the transcript's files and for the ledger of what was paid for: local, or
        anything ``ObjectStoragePath`` knows (``s3://conn@bucket/key/``), the same for every try. None puts the text
        into XCom. (templated)
    :param formats: files to write into ``output_path``, by the names in
        :data:`~airflow_provider_nanostt.outputs.FORMATS`; ``json`` is always written. (templated)
    :param filename: pattern of the files' names, with ``{name}``, ``{run_id}``, ``{model}``, ``{language}`` and
        ``{map_index}``. (templated)
    :param max_cost_usd: a recording that would cost more, with all that earlier tries have cost, is not submitted.
        (templated)
    :param nanogpt_conn_id: the connection with the API key. (templated)
    :param deferrable: wait in the triggerer rather than in the worker; default from ``[operators] default_deferrable``.
        (templated)
    :param wait_for_completion: False returns the job at once, for a ``TranscriptionSensor`` to wait for; an answer that
        a model gives at once is the result all the same, and the sensor passes it on. (templated)
    :param poll_interval: seconds; the longest gap between two questions for a lone young job, and about the mean gap
        otherwise. (templated)
    :param timeout: seconds, or a timedelta, to wait for a job; the job itself goes on, paid for, when this is over, and
        the next try waits on. (templated)
    :param max_worker_wait: seconds; a job expected within them is waited for in the worker, since a resume costs a new
        task process, for at most twice as long. 0 always defers. (templated)
    :param force: submit afresh, whatever was paid for before; once for each clear, so that an automatic retry does not
        pay again. (templated)
    :param audio_preparation: how the recording may be made fit for the service, as
        :class:`~airflow_provider_nanostt.operators.options.AudioPreparation` or a dict. (templated)
    :param output_options: how results are written, as
        :class:`~airflow_provider_nanostt.operators.options.OutputOptions` or a dict. (templated)
    :param recovery_policy: what to do about an earlier try, as
        :class:`~airflow_provider_nanostt.operators.options.RecoveryPolicy` or a dict. (templated)
    :param cost_limits: how costs are limited beside ``max_cost_usd``, as
        :class:`~airflow_provider_nanostt.operators.options.CostLimits` or a dict. (templated)
    :return: without ``output_path``: ``transcription``, ``segments`` (``speaker``, ``start``, ``end``, ``text``),
        ``metadata``, ``run_id``, ``model``, ``language``, ``charged_minutes``, ``cost_usd``; with it: ``files`` (URIs
        by format), ``speakers`` and ``words`` (a count) in place of the first three; with
        ``wait_for_completion=False``: ``run_id``, ``model``, ``cost_usd`` and ``job``.
    """

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
        extra_parameters: Mapping[str, object] | str | None = None,
        actual_duration: float | str | None = None,
        output_path: str | None = None,
        formats: Sequence[str] | str = ("json",),
        filename: str = "{name}",
        max_cost_usd: float | str | None = None,
        nanogpt_conn_id: str = "nanogpt_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        wait_for_completion: bool | str = True,
        poll_interval: float | str = 5.0,
        timeout: float | str | timedelta = timedelta(hours=6),
        max_worker_wait: float | str = 5.0,
        force: bool | str = False,
        audio_preparation: AudioPreparation | Mapping[str, object] | None = None,
        output_options: OutputOptions | Mapping[str, object] | None = None,
        recovery_policy: RecoveryPolicy | Mapping[str, object] | None = None,
        cost_limits: CostLimits | Mapping[str, object] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.audio = audio
        self.audio_path = audio_path
        self.audio_url = audio_url
        self.model = model
        self.language = language
        self.diarize = diarize
        self.tag_audio_events = tag_audio_events
        self.extra_parameters = extra_parameters
        self.actual_duration = actual_duration
        self.output_path = output_path
        self.formats = formats
        self.filename = filename
        self.max_cost_usd = max_cost_usd
        self.nanogpt_conn_id = nanogpt_conn_id
        self.deferrable = deferrable
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_worker_wait = max_worker_wait
        self.force = force
        self.audio_preparation = as_mapping(audio_preparation)
        self.output_options = as_mapping(output_options)
        self.recovery_policy = as_mapping(recovery_policy)
        self.cost_limits = as_mapping(cost_limits)

    template_fields: Sequence[str] = arguments_of(__init__)

    def run_task(self, context: Context) -> TaskResult:
        """Transcribe the recording."""
        from airflow_provider_nanostt.operators._single import run_single

        recording = self.audio, self.audio_path, self.audio_url
        return TaskResult(run_single(self, context, *recording), recording)

    def estimate_task(self, context: Context) -> None:
        """Log what the recording would cost."""
        from airflow_provider_nanostt.operators._single import estimate_single

        estimate_single(self, context, self.audio, self.audio_path, self.audio_url)

    def resume_task(self, context: Context, event: Mapping[str, object]) -> TaskResult:
        """Write the transcript."""
        from airflow_provider_nanostt.operators._single import resume_single

        return TaskResult(resume_single(self, context, event), [self.audio, self.audio_path, self.audio_url])
