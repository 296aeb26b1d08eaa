"""A request for a transcript: one recording, and how it is to be transcribed. A value; nothing is read or sent here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect.url_safety import check_fetchable
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules
from airflow_provider_nanostt.audio.sources import StoredObject, WebAddress, locate_source
from airflow_provider_nanostt.ledger import RequestFingerprint
from airflow_provider_nanostt.workflow.pricing import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_provider_nanostt.api.models import Options
    from airflow_provider_nanostt.audio.inspect.probe import AudioInfo
    from airflow_provider_nanostt.audio.sources import Recording, SourceVersion
    from airflow_provider_nanostt.hooks import NanoGPTHook
    from airflow_provider_nanostt.workflow.pricing import Price

_PRESIGN_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """One recording, and how it is to be transcribed.

    :param source: where it is.
    :param minutes: its length as the user states it; None to measure it.
    :param preparation: what may be done to get it to the service.
    :param base_url: where the service is.
    :param presign_seconds: how long an address that is signed for the service is good for.
    :param progress: called with the seconds of sound done by long work.
    :raises InvalidInput: if the length is not positive.
    """

    source: Recording
    options: Options
    minutes: float | None = None
    preparation: PreparationRules = field(default_factory=PreparationRules)
    base_url: str = ""
    presign_seconds: float = _PRESIGN_SECONDS
    progress: Callable[[float], object] | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise InvalidInput(f"actual_duration must be a positive number of minutes, got {self.minutes:g}")

    def fingerprint(self, version: SourceVersion) -> RequestFingerprint:
        """Return what the ledger knows it by."""
        return RequestFingerprint.of(version.key, self.source.name, self.options)

    def estimate(self, info: AudioInfo, price: Price, *, method: str = "") -> Estimate:
        """Return the expected cost."""
        minutes, how = (
            (self.minutes, "stated") if self.minutes is not None else (info.length.minutes, info.length.source)
        )
        return Estimate(self.options.model, minutes, price, info.size, method=method, length_source=how)


def make_request(
    service: NanoGPTHook,
    *,
    audio: str | Path | None = None,
    audio_path: str | Path | None = None,
    audio_url: str | None = None,
    options: Options,
    minutes: float | None = None,
    preparation: PreparationRules | None = None,
    presign_seconds: float = _PRESIGN_SECONDS,
    progress: Callable[[float], object] | None = None,
    info: Mapping[str, object] | None = None,
) -> TranscriptionRequest:
    """Name a recording and how it is to be transcribed; nothing is sent, made or paid for.

    :param info: what a listing said of the recording, so that its storage need not be asked again.
    :raises InvalidInput: if that cannot work, such as an address that the service cannot reach.
    """
    base_url = service.get_conn().config.base_url
    source = locate_source(audio, audio_path, audio_url, allow_private=service.get_extras().allow_private_addresses)
    if isinstance(source, WebAddress):
        check_fetchable(source.url, base_url)
    if isinstance(source, StoredObject) and info is not None:
        source = StoredObject(source.path, str(audio), info)
    return TranscriptionRequest(
        source, options, minutes, preparation or PreparationRules(), base_url, presign_seconds, progress
    )
