"""The HTTP face of the emulator: the gate every request passes (key, limits, faults) and the endpoints of the service.

What a submit means is in `submissions`, what becomes of it in `work`, what a job answers in `jobs`, what is remembered
in `state`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from airflow_provider_nanostt.emulator import bodies, faults
from airflow_provider_nanostt.emulator.bodies import Body, Refused
from airflow_provider_nanostt.emulator.records import Charge, RequestRecord
from airflow_provider_nanostt.emulator.state import Account, State
from airflow_provider_nanostt.emulator.submissions import read_submission
from airflow_provider_nanostt.emulator.usage import usage_report
from airflow_provider_nanostt.emulator.work import Workshop, day_over

Handler = Callable[[web.Request, Account, Body], Awaitable[web.Response]]
UPLOAD_OVERHEAD = 65_536  # what a multipart body may hold besides the file


class Service:
    """The endpoints, over one :class:`State`."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.settings = state.settings
        self.stopping = asyncio.Event()
        self.workshop = Workshop(state)
        self._session: aiohttp.ClientSession | None = None
        self._request_prefix = uuid.uuid4().hex[:12]
        self._request_count = 0

    def routes(self) -> list[web.RouteDef]:
        """Return the service's routes, below ``/api``."""
        post, get = web.post, web.get
        return [
            post("/api/transcribe", self._endpoint("/transcribe", self.transcribe)),
            post("/api/transcribe/status", self._endpoint("/transcribe/status", self.status)),
            post("/api/youtube-transcribe", self._endpoint("/youtube-transcribe", self.youtube)),
            post("/api/check-balance", self._endpoint("/check-balance", self.balance)),
            get("/api/v1/audio-models", self._endpoint("/v1/audio-models", self.audio_models, key_needed=False)),
            get("/api/v1/usage", self._endpoint("/v1/usage", self.usage)),
            web.route("*", "/api{other:.*}", self._endpoint("?", self.unknown)),
        ]

    async def close(self) -> None:
        """Stop hangs, jobs and the recogniser."""
        self.stopping.set()
        if self._session is not None:
            await self._session.close()
        await self.workshop.close()

    # The gate

    def _endpoint(
        self, endpoint: str, handler: Handler, *, key_needed: bool = True
    ) -> Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            record = self._arrived(request, endpoint)
            try:
                account = self._admit(request, key_needed=key_needed)
                body = await bodies.read(request, self.settings.max_upload_bytes + UPLOAD_OVERHEAD)
                record.fields = body.shown() or dict(request.query)

                async def proceed() -> web.StreamResponse:
                    if body.problem is not None:
                        raise body.problem
                    return await handler(request, account, body)

                fault = self.state.take_fault(endpoint, body.subject())
                answer = await (self._play(fault, request, record, proceed) if fault else proceed())
            except Refused as refusal:
                answer = _refusal(refusal)
            if not answer.prepared:
                answer.headers["X-Request-ID"] = record.request_id
            # Nothing was answered where the fault took the connection down.
            record.status = 0 if record.fault in ("reset", "hang") else answer.status
            self.state.count(endpoint, record.status)
            return answer

        return serve

    async def _play(
        self,
        fault: faults.Fault,
        request: web.Request,
        record: RequestRecord,
        proceed: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        headers = {"X-Request-ID": record.request_id}
        if fault.after_charge:
            try:
                answer = await proceed()
            except Refused:
                self.state.put_back_fault(fault)
                raise

            async def proceed() -> web.StreamResponse:
                return answer

        record.fault = fault.name
        return await faults.play(fault, request, self.stopping, proceed, headers)

    def _arrived(self, request: web.Request, endpoint: str) -> RequestRecord:
        self._request_count += 1
        transport = request.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        headers = request.headers
        record = RequestRecord(
            time=time.time(),
            method=request.method,
            path=request.path,
            endpoint=endpoint,
            key=headers.get("x-api-key"),
            header_names=tuple([name.lower() for name in headers]),
            headers={}
            if endpoint == "/transcribe/status"
            else {name.lower(): value for name, value in headers.items() if name.lower() != "x-api-key"},
            connection=peer[1] if peer else 0,
            request_id=f"req-{self._request_prefix}-{self._request_count}",
        )
        self.state.remember(record)
        return record

    def _admit(self, request: web.Request, *, key_needed: bool) -> Account:
        """Check key and limits.

        :raises Refused: 401, or 429 of the second or of the day.
        """
        key = request.headers.get("x-api-key")
        if key is None and not key_needed and "Authorization" not in request.headers:
            return Account("", 0, self.settings)
        if "Authorization" in request.headers:
            raise Refused(401, "Send the API key in x-api-key only, without an Authorization header")
        account = self.state.account(key)
        if account is None:
            raise Refused(401, "Invalid API key" if key else "Missing API key: send it in the x-api-key header")
        retry_after = account.window.refuse(time.monotonic())
        if retry_after is not None:
            raise _too_many(f"Rate limit of {account.window.limit} requests per second exceeded", retry_after)
        now = dt.datetime.now(dt.UTC)
        if not account.day.count_request(now):
            raise day_over("daily_rpd_limit_exceeded", "Daily request limit of this API key reached", now)
        return account

    # The endpoints

    async def transcribe(self, _: web.Request, account: Account, body: Body) -> web.Response:
        """``POST /transcribe``: 200 with the text, or 202 with a run id."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300, sock_connect=10))
        asked = await read_submission(body, self.settings, self.state.models, self.state.script_for, self._session)
        if (self.settings.mode or asked.model.mode) == "async":
            return web.json_response(self.workshop.start(account, asked).ticket(), status=202)
        job = await self.workshop.run(account, asked)
        if job.outcome != "completed":
            raise Refused(500, job.error or f"The transcription ended as {job.outcome}")
        return web.json_response(job.result())

    async def status(self, _: web.Request, account: Account, body: Body) -> web.Response:
        """``POST /transcribe/status``: how a job stands, and its result once it is completed."""
        run_id = body.fields.get("runId")
        if not isinstance(run_id, str) or not run_id:
            raise Refused(400, "runId is required")
        job = self.state.job(run_id)
        if job is None or job.key != account.key:
            raise Refused(404, "Transcription job not found")
        if self.settings.strict_echo:
            mistake = job.echo_mistake(body.fields)
            if mistake:
                raise Refused(400, mistake)
        return web.Response(body=job.answer(time.monotonic(), time.time()), content_type="application/json")

    async def youtube(self, _: web.Request, account: Account, body: Body) -> web.Response:
        """``POST /youtube-transcribe``: what is scripted for each URL; nothing is fetched and nothing invented."""
        retry_after = account.youtube_window.refuse(time.monotonic())
        if retry_after is not None:
            raise _too_many(
                f"Limit of {account.youtube_window.limit} YouTube requests per minute exceeded", retry_after
            )
        urls = body.fields.get("urls")
        if not isinstance(urls, list) or not 1 <= len(urls) <= 10 or not all(isinstance(url, str) for url in urls):
            raise Refused(400, "Please provide an array of 1 to 10 YouTube URLs")
        self.workshop.afford(account, self.settings.youtube_price * len(urls))
        transcripts = [self._video(account, url) for url in urls]
        successful = sum(item["success"] for item in transcripts)
        summary = {
            "requested": len(urls),
            "processed": len(urls),
            "successful": successful,
            "failed": len(urls) - successful,
            "totalCost": round(successful * self.settings.youtube_price, 6),
        }
        return web.json_response({"transcripts": transcripts, "summary": summary})

    async def balance(self, _: web.Request, account: Account, __: Body) -> web.Response:
        """``POST /check-balance``: numbers as strings, as the service sends them."""
        return web.json_response(
            {
                "usd_balance": f"{self.state.shown_balance(account, time.time()):.8f}",
                "nano_balance": "0.00000000",
                "nanoDepositAddress": "nano_" + "1" * 60,
            }
        )

    async def audio_models(self, request: web.Request, _: Account, __: Body) -> web.Response:
        """``GET /v1/audio-models``: the catalogue; ``type=stt`` leaves out voice cloning."""
        detailed = request.query.get("detailed") == "true"
        kind = request.query.get("type")
        models = [
            model.catalogue_entry(detailed=detailed)
            for model in self.state.models.values()
            if model.listed and (kind is None or (kind == "stt") == (model.mode != "voice-clone"))
        ]
        return web.json_response({"object": "list", "data": models}, headers={"Cache-Control": "public, max-age=300"})

    async def usage(self, request: web.Request, account: Account, _: Body) -> web.Response:
        """``GET /v1/usage``: what this key spent, as far as the books show it."""
        now, books = time.time(), self.state.books
        charges, age = self.state.shown_charges(account, now), books.usage_delay if books.tells_delay else 0.0
        moment = dt.datetime.fromtimestamp(now, dt.UTC)
        return web.json_response(usage_report(charges, account.number, dict(request.query), moment, age))

    async def unknown(self, request: web.Request, _: Account, __: Body) -> web.Response:
        """Whatever else is asked for: 404."""
        raise Refused(404, f"There is no {request.method} {request.path}")

    def _video(self, account: Account, url: str) -> dict[str, Any]:
        host = (urlsplit(url).hostname or "").removeprefix("www.").removeprefix("m.")
        if host not in ("youtube.com", "youtu.be"):
            return {"url": url, "success": False, "error": "Invalid YouTube URL"}
        script = self.state.script_for(url)
        if script is None or script.status != "completed":
            reason = "No transcript is scripted for this video, and this emulator does not go to YouTube"
            return {"url": url, "success": False, "error": (script and script.error) or reason}
        transcript = script.transcript(
            script.seconds() or self.settings.default_seconds, diarize=False, events=False, label=False
        )
        price = self.settings.youtube_price
        charge = Charge(time.time(), account.key, "/youtube-transcribe", "youtube", uuid.uuid4().hex, 0.0, price, url)
        self.state.charge(account, charge)
        return {"url": url, "success": True, "title": script.title or url, "transcript": transcript.text}


def _refusal(refusal: Refused) -> web.Response:
    if refusal.code is not None:
        body = faults.error_envelope("error_object", refusal.status, refusal.message, refusal.code)
    else:
        body = {**faults.error_envelope("error_text", refusal.status, refusal.message), **refusal.extra}
    return web.Response(
        status=refusal.status, text=json.dumps(body), content_type="application/json", headers=refusal.headers
    )


def _too_many(message: str, retry_after: int) -> Refused:
    return Refused(429, message, headers={"Retry-After": str(retry_after)})
