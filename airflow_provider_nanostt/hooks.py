"""From an Airflow connection to a client: who we are, where the service is, and each call as one method.

The only module that reads connections. Nothing about audio, prices or records; what a status means is decided in
``polling``.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from airflow_provider_nanostt import get_provider_info
from airflow_provider_nanostt._compat import BaseHook, without_loggers
from airflow_provider_nanostt.api import endpoints, errors, transport
from airflow_provider_nanostt.api.catalogue import KnownModels
from airflow_provider_nanostt.api.models import Job, JobStatus, Submission, Transcript
from airflow_provider_nanostt.connection import config_from
from airflow_provider_nanostt.metrics import StatsMeter
from airflow_provider_nanostt.polling import RateLimiter, worker_loop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from airflow_provider_nanostt.api.catalogue import AudioModel
    from airflow_provider_nanostt.api.config import Config
    from airflow_provider_nanostt.api.http import Call
    from airflow_provider_nanostt.api.models import Balance, Usage, YouTubeAnswer

T = TypeVar("T")

DEFAULT_TIMEOUT = timedelta(hours=6)
"""How long a job is waited for by default; waiting costs nothing and holds nothing."""

DEFAULT_POLL_INTERVAL = 5.0

log = logging.getLogger(__name__)

_YOUTUBE_PER_SECOND = 9.5 / 60.0  # of the service's ten a minute
_MAX_LATENESS = 0.2
"""Part of the time between two requests by which one may be late and the next in time all the same."""

_NOT_ADDED_UP = "The service may not have added up these days yet. Ask again in some minutes."
_CATALOGUE_SECONDS = 3600.0
_CATALOGUE_PAUSE_SECONDS = 60.0
_opening = threading.Lock()
_catalogues: dict[Config, tuple[float, KnownModels]] = {}


class NanoGPTHook(BaseHook):
    """Talk to NanoGPT with the key of an Airflow connection.

    The connection (type ``nanogpt``): *password* is the API key, *host* the base URL (default
    ``https://nano-gpt.com/api``). Extras: ``timeout`` (seconds a submit may take, default 300),
    ``requests_per_second`` (default 20 of the service's 25 for each key), ``allow_insecure_http`` (default false),
    ``allow_private_addresses`` (default false: recordings inside the network are not looked at), ``prices`` (USD per
    minute by model, where the service's catalogue has none).

    :param nanogpt_conn_id: the connection's id.
    """

    conn_name_attr = "nanogpt_conn_id"
    default_conn_name = "nanogpt_default"
    conn_type = "nanogpt"
    hook_name = "NanoGPT"
    config_from = staticmethod(config_from)

    def __init__(self, nanogpt_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nanogpt_conn_id = nanogpt_conn_id
        self._open: _Opened | None = None

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
        """Return the client, made once; raises InvalidInput if the connection or the environment cannot be used."""
        return self._opened().client

    def get_limiter(self) -> RateLimiter:
        """Return the limiter of all that this hook sends one by one: submits and questions share the key's limit."""
        return self._opened().slots.limiter

    def _opened(self) -> _Opened:
        with _opening:  # two threads that come first together must not get a pace each
            if self._open is None:
                config = config_from(self.get_connection(self.nanogpt_conn_id))
                client = transport.Client(config)
                client.open()
                paces = (config.requests_per_second, _YOUTUBE_PER_SECOND)
                self._open = _Opened(client, *(_Slots(RateLimiter(pace), threading.Lock()) for pace in paces))
            return self._open

    def __getstate__(self) -> dict[str, Any]:
        """Leave the client behind when the hook is copied or pickled; the copy opens its own."""
        return {**without_loggers(self.__dict__), "_open": None}

    async def aget_config(self) -> Config:
        """Read the connection without blocking the event loop; for triggers."""
        from asgiref.sync import sync_to_async

        # Not asyncio.to_thread: Airflow 3.0 and 3.1 answer only the thread that asgiref runs such calls in.
        return config_from(await sync_to_async(self.get_connection)(self.nanogpt_conn_id))

    def acquire_slot(self) -> None:
        """Wait until a request may be sent; threads that share this hook go one after the other."""
        self._opened().slots.acquire()

    def acquire_youtube_slot(self) -> None:
        """Wait likewise until a request for videos may be sent: a key has ten a minute."""
        self._opened().youtube_slots.acquire()
        self.acquire_slot()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until a request may be sent; if it is refused for being too quick, slow down whatever shares the key."""
        self.acquire_slot()
        with worker_loop.heeding_refusals(self._opened().slots.limiter, meter=StatsMeter()):
            yield

    def _ask(self, call: Call[T], retry: transport.Retry | None = None) -> T:
        """Make a free call; each attempt takes a slot of its own."""
        return self.get_conn().send(call, retry=retry, turn=self._turn)

    def submit(self, submission: Submission) -> Transcript | Job:
        """Submit audio, once; this is charged once it is accepted. Takes no request slot: see :meth:`acquire_slot`.

        Whoever sends it again after a refusal takes another slot first, and records the intent anew.

        :return: the transcript where the model answers at once, else the accepted job.
        :raises AmbiguousSubmit: if no answer came and it may have been charged.
        :raises NanoGPTError: for everything else the service may say.
        """
        opened = self._opened()
        try:
            with worker_loop.heeding_refusals(opened.slots.limiter, meter=StatsMeter()):
                return opened.client.send(endpoints.submit(submission), retry=transport.ONCE)
        except errors.PaymentRequired as error:
            raise error.replace(balance=self.try_balance()) from None
        except errors.AuthError as error:
            raise self._with_connection(error) from None

    def youtube(self, urls: Sequence[str]) -> YouTubeAnswer:
        """Ask once for the transcripts of one to ten YouTube videos; each that exists costs USD 0.01.

        Takes no request slot: see :meth:`acquire_youtube_slot`. Raises as :meth:`submit` does.
        """
        opened = self._opened()
        limiters = (opened.slots.limiter, opened.youtube_slots.limiter)
        with worker_loop.heeding_refusals(*limiters, meter=StatsMeter()):
            return opened.client.send(endpoints.youtube(urls), retry=transport.ONCE)

    def status(self, job: Job | str) -> JobStatus:
        """Ask once how a job stands; a bare run id works too, but the service may then not find it."""
        return self._ask(endpoints.status(_as_job(job)))

    def wait(
        self,
        job: Job | str,
        *,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        at_once: bool = True,
    ) -> Transcript:
        """Wait for a job, in this thread.

        :param timeout: seconds or timedelta, from now.
        :param poll_interval: seconds; the longest gap between two questions while the job is young.
        :param at_once: ask before waiting, whatever the age of the job.
        :raises TranscriptionFailed: if the service gives up.
        :raises TranscriptionTimeout: if it takes too long; the job stays paid for.
        :raises NanoGPTError: if the service refuses to answer.
        """
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        deadline = time.time() + seconds
        return self.wait_until(_as_job(job), deadline=deadline, poll_interval=poll_interval, at_once=at_once)

    def wait_until(
        self, job: Job, *, deadline: float, poll_interval: float = DEFAULT_POLL_INTERVAL, at_once: bool = False
    ) -> Transcript:
        """Wait for a job until a moment in epoch seconds; see :meth:`wait`."""
        jobs = {job.run_id: job}
        ((_, answer),) = self.as_completed(jobs, deadline=deadline, poll_interval=poll_interval, at_once=at_once)
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
        """Wait for many jobs, by any names, in this thread; yield each as it ends, with its transcript or its error."""
        return worker_loop.as_completed(
            self.get_conn(),
            self.get_limiter(),
            jobs,
            deadline=deadline,
            poll_interval=poll_interval,
            at_once=at_once,
            recovery_hint=self.recovery_hint,
        )

    def recovery_hint(self, job: Job) -> str:
        """Say how to get the transcript of a job that nobody waits for any more."""
        return f"To fetch it later: NanoGPTHook({self.nanogpt_conn_id!r}).wait(Job.from_json({job.to_json()!r}))"

    def transcribe(self, **audio_and_options: Any) -> Any:
        """Submit a recording and wait for its transcript, in a script: no ledger, no files.

        :param audio_and_options: as :func:`~airflow_provider_nanostt.workflow.scripts.transcribe` takes them.
        :return: the transcript, or the job.
        """
        return _workflow("scripts").transcribe(self, **audio_and_options)

    def estimate(self, audio: Any, **options: Any) -> Any:
        """Estimate the cost of a recording, and how it would be sent. Free; nothing is submitted.

        Takes and returns what :func:`~airflow_provider_nanostt.workflow.scripts.estimate` does.
        """
        return _workflow("scripts").estimate(self, audio, **options)

    def estimate_list(self, audio: Any, **options: Any) -> Any:
        """Estimate the cost of a list, with a text for the person who decides about it. Free; nothing is submitted.

        Takes and returns what :func:`~airflow_provider_nanostt.workflow.scripts.estimate_list` does.
        """
        return _workflow("scripts").estimate_list(self, audio, **options)

    def balance(self) -> Balance:
        """Ask for the balance of the account. Free."""
        return self._ask(endpoints.balance())

    def try_balance(self) -> float | None:
        """Ask for the balance in USD; None if the service does not say, an AuthError if it refuses the key."""
        found = self._ask_once(endpoints.balance(), "the balance")
        return None if found is None else found.usd

    def models(self) -> tuple[AudioModel, ...]:
        """Ask for the service's speech-to-text models and their prices. Free."""
        return self._ask(endpoints.audio_models())

    def known_models(self) -> KnownModels:
        """Return what is known of the models: by the catalogue, asked for once an hour and process, and the table.

        :raises AuthError: if the service refuses the key.
        """
        config, now = self.get_conn().config, time.monotonic()
        asked_at, known = _catalogues.get(config, (float("-inf"), KnownModels()))
        if now - asked_at > (_CATALOGUE_PAUSE_SECONDS if known.listed is None else _CATALOGUE_SECONDS):
            if found := self._ask_once(endpoints.audio_models(), "the service's catalogue"):
                today = datetime.fromtimestamp(time.time(), UTC).date().isoformat()
                known = KnownModels({one.id: one for one in found}, today)
            _catalogues[config] = (now, known)
        return replace(known, own=config.prices)

    def _ask_once(self, call: Call[T], what: str) -> T | None:
        """Return the answer; None, and a line in the log, if there is none."""
        self.get_conn()  # what is wrong with the connection is no answer
        try:
            return self._ask(call, transport.ONCE)
        except errors.AuthError as error:
            raise self._with_connection(error) from None
        except errors.NanoGPTError as error:
            log.info("Could not ask for %s: %s", what, error)
            return None

    def _with_connection(self, error: errors.AuthError) -> errors.AuthError:
        return error.replace(remedy=f"{error.remedy} The connection is {self.nanogpt_conn_id!r}.")

    def usage(self, start: date | None = None, end: date | None = None, group_by: str = "day,model") -> Usage:
        """Ask what this key spent between two days (UTC, the end inclusive). Free.

        :raises ServiceUnavailable: if the service has not added up these days yet (503), after some tries; a later one
            is worth it.
        """
        try:
            return self._ask(endpoints.usage(start, end, group_by))
        except errors.ServiceUnavailable as error:
            raise error.replace(remedy=_NOT_ADDED_UP if error.status == 503 else error.remedy) from None

    def try_usage(self, start: date, end: date) -> Usage | None:
        """Ask for :meth:`usage` by day and model; None or an AuthError as :meth:`try_balance`."""
        return self._ask_once(endpoints.usage(start, end), "the usage")

    def spending(self, start: date, end: date, folders: Sequence[str] = ()) -> Any:
        """Compare :meth:`usage` by day and model with what the ledgers below some folders have. Free.

        Takes and returns what :func:`~airflow_provider_nanostt.workflow.spending.spending` does.
        """
        return _workflow("spending").spending(self, start, end, folders)

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the connection works, with the balance. Free, and raises nothing."""
        try:
            found = self._ask(endpoints.balance(), transport.Retry(attempts=2))
        except Exception as error:  # noqa: BLE001  Airflow shows what is returned, and breaks on what is raised
            return False, errors.describe_exception(error)
        return True, f"NanoGPT answered; the balance is {errors.usd(found.usd)}"


class _Slots(NamedTuple):
    """Request slots, which threads take one after the other."""

    limiter: RateLimiter
    turn: threading.Lock

    def acquire(self) -> None:
        limiter = self.limiter
        with self.turn:
            due = (now := time.time()) + limiter.delay(now)
            time.sleep(due - now)
            if refused := limiter.delay(due):  # another thread met a 429 meanwhile
                time.sleep(refused)
                due += refused
            # A sleep takes a little longer than it should; booked from when it should have ended, that does not add up.
            late = time.time() - due
            limiter.reserve(due if late < _MAX_LATENESS / limiter.rate else time.time())


class _Opened(NamedTuple):
    """What a hook has once its connection was read."""

    client: transport.Client
    slots: _Slots
    youtube_slots: _Slots


def _workflow(name: str) -> Any:
    """Load a part of the workflow when a script asks: the triggerer reads connections through this module."""
    return import_module(f"airflow_provider_nanostt.workflow.{name}")


def _form() -> dict[str, Any]:
    form: dict[str, Any] = get_provider_info()["connection-types"][0]
    return form


def _as_job(job: Job | str) -> Job:
    if isinstance(job, Job):
        return job
    return Job(run_id=job, model="unknown", submitted_at=time.time())
