"""From an Airflow connection to a client: who we are, where the service is, and each call as one method.

The only module that reads connections. Protocol and retry rules are the client's; what a status means is decided in
``polling``.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt import get_provider_info
from airflow_provider_nanostt._compat import BaseHook
from airflow_provider_nanostt.api import endpoints, errors, transport
from airflow_provider_nanostt.api.catalogue import DEFAULT_MODEL
from airflow_provider_nanostt.api.models import Job, JobStatus, Options, Submission, Transcript
from airflow_provider_nanostt.audio import OVERSIZE, AudioPreparation, WebAddress, named
from airflow_provider_nanostt.audio.inspect.url_safety import check_fetchable
from airflow_provider_nanostt.connection import Extras, config_from, extras_from
from airflow_provider_nanostt.lazily import cached_property
from airflow_provider_nanostt.polling import RateLimiter, worker_loop
from airflow_provider_nanostt.workflow import pricing
from airflow_provider_nanostt.workflow.request import Budget, Order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from airflow.sdk import Connection

    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.api.models import AudioModel, Balance, Usage, YouTubeAnswer
    from airflow_provider_nanostt.workflow.pricing import Estimate, Price

DEFAULT_TIMEOUT = timedelta(hours=6)
"""How long a job is waited for unless told otherwise; waiting costs nothing and holds nothing."""

DEFAULT_POLL_INTERVAL = 5.0

log = logging.getLogger(__name__)


_YOUTUBE_PER_SECOND = 9.5 / 60.0  # of the service's ten a minute
_LATE = 0.2
"""Part of the time between two requests by which one may be late and the next in time all the same."""

_CATALOGUE_SECONDS = 3600.0
_CATALOGUE_PAUSE = 60.0
_catalogues: dict[Config, tuple[float, tuple[AudioModel, ...] | None]] = {}


class NanoGPTHook(BaseHook):
    """Talk to NanoGPT with the key of an Airflow connection.

    The connection (type ``nanogpt``): *password* is the API key, *host* the base URL (default
    ``https://nano-gpt.com/api``). Extras: ``timeout`` (seconds a submit may take, default 300),
    ``requests_per_second`` (default 20 of the service's 25 for each key), ``allow_insecure_http`` (default false),
    ``allow_private_addresses`` (default false: recordings inside the network are not looked at), ``prices`` (USD per
    minute by model, where the service's catalogue does not tell).

    :param nanogpt_conn_id: the connection's id.
    """

    conn_name_attr = "nanogpt_conn_id"
    default_conn_name = "nanogpt_default"
    conn_type = "nanogpt"
    hook_name = "NanoGPT"

    def __init__(self, nanogpt_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nanogpt_conn_id = nanogpt_conn_id
        self._client: transport.Client | None = None
        self._turn = threading.Lock()
        self._youtube_limiter = RateLimiter(_YOUTUBE_PER_SECOND)

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the extra fields of the connection form, for Airflow versions that build it from the hook."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import BooleanField, StringField

        return {
            name: BooleanField(field["label"], description=field["description"])
            if field["schema"]["type"][0] == "boolean"
            else StringField(field["label"], widget=BS3TextFieldWidget(), description=field["description"])
            for name, field in _form()["conn-fields"].items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which standard fields of the connection form are shown, and under which names."""
        behaviour = _form()["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    def get_conn(self) -> transport.Client:
        """Return the client, made once for this hook.

        :raises InvalidInput: if the connection cannot be used.
        """
        if self._client is None:
            connection = self.get_connection(self.nanogpt_conn_id)
            self._extras = extras_from(connection)
            self._client = transport.Client(self.config_from(connection))
        return self._client

    async def aget_config(self) -> Config:
        """Read the connection without blocking the event loop; for triggers."""
        from asgiref.sync import sync_to_async

        # Not asyncio.to_thread: Airflow 3.0 and 3.1 answer only the thread that asgiref runs such calls in.
        return self.config_from(await sync_to_async(self.get_connection)(self.nanogpt_conn_id))

    @staticmethod
    def config_from(connection: Connection) -> Config:
        """Turn a connection into the client's settings.

        :raises InvalidInput: naming the connection, and the field that is wrong.
        """
        return config_from(connection)

    @cached_property
    def extras(self) -> Extras:
        """What else the connection says."""
        self.get_conn()
        return self._extras

    @cached_property
    def limiter(self) -> RateLimiter:
        """Spaces all that this hook sends one by one: submits and questions share the key's limit."""
        return RateLimiter(self.get_conn().config.requests_per_second)

    def submit(
        self,
        *,
        audio: str | Path | None = None,
        audio_path: str | Path | None = None,
        audio_url: str | None = None,
        model: str = DEFAULT_MODEL,
        language: str = "auto",
        diarize: bool = False,
        tag_audio_events: bool = False,
        actual_duration: float | None = None,
        max_cost: float | None = None,
    ) -> Transcript | Job:
        """Submit audio; this is charged once it is accepted.

        What is too large for an upload is compressed, what the service does not take is converted; that needs the extra
        ``[audio]``. A recording that would have to be staged or split needs a
        :class:`~airflow_provider_nanostt.operators.TranscribeOperator`, which keeps track of the pieces.

        :param audio: a file on this machine, an object storage URI, or an address the service can fetch; or
        :param audio_path: a file on this machine; or
        :param audio_url: an address the service can fetch, up to 500 MB.
        :param model: the service's model id.
        :param language: ISO 639 code, or ``auto``.
        :param diarize: tell speakers apart, with a model that can.
        :param tag_audio_events: mark laughter and the like, with a model that can.
        :param actual_duration: length of the audio in minutes, for accurate billing; measured if not given.
        :param max_cost: USD; what would cost more is not submitted.
        :return: the transcript where the model answers at once, else the job's ticket.
        :raises InvalidInput: before anything was sent.
        :raises CostLimit: likewise.
        :raises AmbiguousSubmit: if no answer came and it may have been charged; it is not repeated.
        :raises NanoGPTError: for everything else the service may say.
        """
        order = self.order(
            audio=audio,
            audio_path=audio_path,
            audio_url=audio_url,
            options=Options(model, language, diarize, tag_audio_events),
            minutes=actual_duration,
            means=AudioPreparation(oversize=("compress",)),
            budget=Budget(max_cost),
        )
        if max_cost is not None:
            pricing.check_limit(order.estimate(self.price(model)), max_cost=max_cost, unknown="worst")
        with order.making("0" * 12) as making:
            return self.submit_prepared(making.submission(0))

    def order(
        self,
        *,
        audio: str | Path | None = None,
        audio_path: str | Path | None = None,
        audio_url: str | None = None,
        options: Options,
        means: AudioPreparation | None = None,
        **settings: Any,
    ) -> Order:
        """Name a recording and how it is to be transcribed; nothing is sent, made or paid for.

        :param means: what may be done to get it to the service.
        :param settings: the other fields of :class:`~airflow_provider_nanostt.workflow.request.Order`.
        :raises InvalidInput: if that cannot work, such as an address that the service cannot reach.
        """
        source = named(audio, audio_path, audio_url, allow_private=self.extras.allow_private_addresses)
        base_url = self.get_conn().config.base_url
        if isinstance(source, WebAddress):
            check_fetchable(source.url, base_url)
        return Order(source, options, means=replace(means or AudioPreparation(), base_url=base_url), **settings)

    def estimate(
        self,
        audio: str | Path,
        *,
        model: str = DEFAULT_MODEL,
        diarize: bool = False,
        actual_duration: float | None = None,
        staging: str | None = None,
        oversize: Sequence[str] = OVERSIZE,
    ) -> Estimate:
        """Tell what a recording would cost, and what would be done with it. Free; nothing is submitted.

        :param audio: a file on this machine, an object storage URI, or a web address.
        :param actual_duration: its length in minutes; measured if not given.
        :return: ``minutes``, ``usd`` and ``price`` with where it is from; None for what cannot be told.
        :raises InvalidInput: if it could not be submitted.
        """
        order = self.order(
            audio=audio,
            options=Options(model, diarize=diarize),
            minutes=actual_duration,
            means=AudioPreparation(oversize=tuple(oversize), staging=staging),
        )
        return replace(order.estimate(self.price(model)), way=order.plan.way)

    def price(self, model: str) -> Price:
        """Tell what a minute costs: by the service's catalogue, else the connection, else the built-in table."""
        return pricing.price_of(model, catalogue=self._catalogue(), own=self.extras.prices)

    def _catalogue(self) -> tuple[AudioModel, ...] | None:
        """Return the service's models, asked for once an hour and process; None if it does not tell."""
        config, now = self.get_conn().config, time.monotonic()
        asked_at, known = _catalogues.get(config, (float("-inf"), None))
        if now - asked_at > (_CATALOGUE_SECONDS if known else _CATALOGUE_PAUSE):
            try:
                known = self.get_conn().send(endpoints.audio_models(), retry=transport.ONCE)
            except errors.NanoGPTError as error:
                log.info("The service's prices could not be asked for: %s", error)
            _catalogues[config] = (now, known)
        return known

    def submit_prepared(self, submission: Submission) -> Transcript | Job:
        """Submit what has been checked already; see :meth:`submit`."""
        client = self.get_conn()
        self.acquire_slot()
        try:
            return client.send(endpoints.submit(submission))
        except errors.PaymentRequired as error:
            error.balance = self.try_balance()
            raise
        except errors.AuthError as error:
            error.remedy = f"{errors.AuthError.remedy} The connection is {self.nanogpt_conn_id!r}."
            raise

    def acquire_slot(self) -> None:
        """Wait until a request may go out; threads that share this hook go one after the other."""
        with self._turn:
            pause = self.limiter.delay(now := time.time())
            time.sleep(pause)
            # A sleep takes a little longer than it should; booked from when it should have ended, that does not add up.
            late = time.time() - now - pause
            self.limiter.reserve(now + pause if late < _LATE / self.limiter.rate else time.time())

    def youtube(self, urls: Sequence[str]) -> YouTubeAnswer:
        """Ask for the transcripts of one to ten YouTube videos; those that there are cost USD 0.01 each.

        Spaced so that a key's ten requests a minute are kept.

        :raises AmbiguousSubmit: if no answer came and it may have been charged; it is not repeated.
        :raises NanoGPTError: for everything else the service may say.
        """
        time.sleep(self._youtube_limiter.delay(time.time()))
        self._youtube_limiter.reserve(time.time())
        self.acquire_slot()
        return self.get_conn().send(endpoints.youtube(urls))

    def status(self, job: Job | str) -> JobStatus:
        """Ask once how a job stands.

        :param job: its ticket; a bare run id works too, but the service may then not find it.
        """
        return self.get_conn().send(endpoints.status(_ticket(job)))

    def wait(
        self,
        job: Job | str,
        *,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        at_once: bool = True,
    ) -> Transcript:
        """Wait for a job, in this thread.

        :param job: its ticket.
        :param timeout: seconds or timedelta, from now.
        :param poll_interval: seconds; the longest gap between two questions while the job is young.
        :param at_once: ask before waiting, whatever the age of the job.
        :raises TranscriptionFailed: if the service gives up.
        :raises TranscriptionTimeout: if it takes too long; the job stays paid for.
        :raises NanoGPTError: if the service will not tell.
        """
        ticket = _ticket(job)
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        return self.wait_until(ticket, deadline=time.time() + seconds, poll_interval=poll_interval, at_once=at_once)

    def wait_until(
        self,
        job: Job,
        *,
        deadline: float,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        at_once: bool = False,
    ) -> Transcript:
        """Wait for a job until a moment in epoch seconds; see :meth:`wait`.

        :param at_once: ask before waiting, whatever the age of the job.
        """
        ((_, answer),) = self.as_completed(
            {job.run_id: job}, deadline=deadline, poll_interval=poll_interval, at_once=at_once
        )
        if isinstance(answer, errors.JobError):
            raise answer
        return answer

    def as_completed(
        self,
        jobs: Mapping[str, Job],
        *,
        deadline: float,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        at_once: bool = False,
    ) -> Iterator[tuple[str, Transcript | errors.JobError]]:
        """Wait for many jobs in this thread, and yield each as it ends, with its transcript or its error.

        :param jobs: tickets by any names; the other arguments as for :meth:`wait_until`.
        """
        return worker_loop.as_completed(
            self.get_conn(),
            self.limiter,
            jobs,
            deadline=deadline,
            poll_interval=poll_interval,
            at_once=at_once,
            recovery_hint=self.recovery_hint,
        )

    def recovery_hint(self, job: Job) -> str:
        """Say how to get the transcript of a job that nobody waits for any more."""
        return f"To pick it up: NanoGPTHook({self.nanogpt_conn_id!r}).wait(Job.from_json({job.to_json()!r}))"

    def transcribe(
        self,
        *,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        **audio_and_options: Any,
    ) -> Transcript:
        """Submit audio and wait for its transcript; arguments as for :meth:`submit` and :meth:`wait`."""
        answer = self.submit(**audio_and_options)
        if isinstance(answer, Transcript):
            return answer
        return self.wait(answer, timeout=timeout, poll_interval=poll_interval, at_once=False)

    def balance(self) -> Balance:
        """Ask what is left in the account. Free."""
        return self.get_conn().send(endpoints.balance())

    def models(self) -> tuple[AudioModel, ...]:
        """Ask for the service's speech-to-text models and their prices. Free."""
        return self.get_conn().send(endpoints.audio_models())

    def usage(self, start: date | None = None, end: date | None = None, group_by: str = "day,model") -> Usage:
        """Ask what this key spent between two days (UTC, the end inclusive). Free."""
        return self.get_conn().send(endpoints.usage(start, end, group_by))

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the connection works, with the balance. Free, and raises nothing."""
        try:
            found = self.get_conn().send(endpoints.balance(), retry=transport.Retry(attempts=2))
        except Exception as error:  # noqa: BLE001  Airflow shows what is returned, and breaks on what is raised
            return False, f"{type(error).__name__}: {error}"
        return True, f"NanoGPT answered; the balance is {errors.usd(found.usd)}"

    def try_balance(self) -> float | None:
        """Ask for the balance in USD where it only helps to tell what happened; None if it cannot be told."""
        try:
            return self.get_conn().send(endpoints.balance(), retry=transport.ONCE).usd
        except errors.NanoGPTError as error:
            log.info("The balance could not be asked for: %s", error)
            return None


def _form() -> dict[str, Any]:
    form: dict[str, Any] = get_provider_info()["connection-types"][0]
    return form


def _ticket(job: Job | str) -> Job:
    if isinstance(job, Job):
        return job
    return Job(run_id=job, model="unknown", submitted_at=datetime.now(UTC).timestamp())
