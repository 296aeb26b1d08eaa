"""How a recording gets to the service: decided from its size, format and length, and from the user's preferences.

The decision costs nothing and changes nothing; it is carried out in ``prepare``. Where nothing is possible, the error
says for each method what it would need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.audio.inspect.formats import Format
from airflow_provider_nanostt.audio.inspect.probe import AudioInfo
from airflow_provider_nanostt.audio.inspect.url_safety import unreachable_reason
from airflow_provider_nanostt.audio.prepare.decoding import can_transcode
from airflow_provider_nanostt.audio.prepare.muxer import Codec, codec_spec, longest_seconds
from airflow_provider_nanostt.audio.sources import LocalFile, Recording, StoredObject, WebAddress
from airflow_provider_nanostt.common import object_storage

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

Method = Literal["upload", "url", "presign", "stage", "convert", "compress", "split"]
OversizeMethod = Literal["stage", "compress", "split"]

OVERSIZE: tuple[OversizeMethod, ...] = ("stage", "compress", "split")
"""The methods for a recording that is too large for an upload, in the order in which they are tried."""

MAX_URL_BYTES = 500_000_000
_MARGIN_SECONDS = 10.0
_EXTRA = "needs the extra: pip install 'airflow-provider-nanostt[audio]'"


@dataclass(frozen=True, slots=True)
class PreparationRules:
    """How a recording may be changed so that the service takes it, as the user allows it.

    :param oversize: which of ``stage``, ``compress``, ``split`` may be used, in order.
    :param staging_path: URI of a folder in object storage, None without one.
    :param codec: ``opus`` or ``mp3``, in which recordings are encoded.
    :param split_diarized: split although speakers are told apart; their labels do not match across parts.
    :raises InvalidInput: for any other word.
    """

    oversize: Sequence[OversizeMethod] = OVERSIZE
    staging_path: str | None = None
    codec: Codec = "opus"
    split_diarized: bool = False

    def __post_init__(self) -> None:
        codec_spec(self.codec)
        if isinstance(self.oversize, str) or not set(self.oversize) <= set(OVERSIZE):
            raise InvalidInput(f"oversize must be a list of {', '.join(map(repr, OVERSIZE))}, got {self.oversize!r}")


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """How a recording gets to the service, and why.

    :param longest_seconds: for ``split``: the longest part, seconds.
    """

    method: Method
    reason: str = ""
    longest_seconds: float | None = None


def plan_upload(
    source: Recording,
    info: AudioInfo,
    *,
    model: str,
    diarize: bool,
    preparation: PreparationRules,
    base_url: str = "",
) -> UploadPlan:
    """Decide how a recording gets to the service.

    :param info: see :func:`~airflow_provider_nanostt.audio.inspect.probe.probe`.
    :param model: decides whether video is accepted, and how long a recording may be.
    :param base_url: where the service is, to know which storages it can fetch from; empty if that does not matter.
    :raises InvalidInput: if it is not a recording, or no method is possible; nothing has been spent then.
    """
    _check_media(source, info)
    if isinstance(source, WebAddress):
        return _plan_url(source, info, model)
    if not info.size:
        raise InvalidInput(f"{source.name!r} is empty; there is nothing to transcribe")
    case = _Case(source, info, model, diarize, preparation, base_url)
    if case.is_accepted and not case.is_too_long:
        if case.size <= MAX_UPLOAD_BYTES:
            return UploadPlan("upload")
        if isinstance(source, StoredObject) and case.presigning_reason() is None:
            return UploadPlan("presign", case.reason())
    if not case.is_accepted and not case.is_too_long and case.size <= MAX_UPLOAD_BYTES and can_transcode():
        return UploadPlan("convert", case.reason())
    return _plan_oversize(case)


def longest_of(model: str) -> float | None:
    """Return how many seconds a recording for a model may last, with a margin; None if no limit is known."""
    facts = KNOWN_MODELS.get(model)
    return None if facts is None or facts.max_seconds is None else facts.max_seconds - _MARGIN_SECONDS


def _is_accepted(kind: Format | None, model: str) -> bool:
    """Return whether a model accepts a format, as far as that is known."""
    facts = KNOWN_MODELS.get(model)
    return kind is None or kind.accepted(takes_video=facts is None or facts.takes_video)


def _check_media(source: Recording, info: AudioInfo) -> None:
    if info.format is not None and not info.format.is_media:
        raise InvalidInput(f"{source.name!r} is {info.format.name}, not a recording")
    if info.format is None and not isinstance(source, WebAddress) and info.size:
        raise InvalidInput(f"{source.name!r} has an unrecognised format; its bytes are not those of a recording")


def _plan_url(source: WebAddress, info: AudioInfo, model: str) -> UploadPlan:
    longest, seconds = longest_of(model), info.length.seconds
    if not _is_accepted(info.format, model):
        raise InvalidInput(
            f"{source.name!r}: {_refusal(info.format, model)}. Name the file by its path or object storage URI, and "
            "it is converted"
        )
    if longest is not None and seconds is not None and seconds > longest:
        raise InvalidInput(
            f"{source.name!r} lasts {seconds:,.0f} s; model={model!r} takes at most {longest:,.0f}. Name the file by "
            "its path or object storage URI, and it is split, or take another model"
        )
    if info.size is not None and info.size > MAX_URL_BYTES:
        raise InvalidInput(f"{source.name!r} has {info.size:,} bytes; the service fetches up to {MAX_URL_BYTES:,}")
    return UploadPlan("url")


def _plan_oversize(case: _Case) -> UploadPlan:
    checks = {"stage": case.staging_reason, "compress": case.compressing_reason, "split": case.splitting_reason}
    closed: dict[str, str] = {}
    if isinstance(case.source, StoredObject) and case.is_accepted and not case.is_too_long:
        closed["presign"] = case.presigning_reason() or ""
    for method in case.preparation.oversize:
        reason = checks[method]()
        if reason is None:
            most = min(case.fitting, longest_of(case.model) or case.fitting)
            preferred = {"presign", "stage"} if case.preparation.staging_path else {"presign"}
            passed = [f"; not {other}: {why}" for other, why in closed.items() if why and other in preferred]
            return UploadPlan(method, "".join([case.reason(), *passed]), most if method == "split" else None)
        closed[method] = reason
    reasons = "; ".join(f"{method}: {reason}" for method, reason in closed.items())
    raise InvalidInput(
        f"{case.source.name!r} cannot be submitted: {case.reason()}. {reasons or 'oversize allows no method'}"
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """A file or object, and what decides about it. The ``_reason`` methods say why a method is impossible, or None."""

    source: LocalFile | StoredObject
    info: AudioInfo
    model: str
    diarize: bool
    preparation: PreparationRules
    base_url: str

    @property
    def size(self) -> int:
        return self.info.size or 0

    @property
    def fitting(self) -> float:
        """Seconds that fit into an upload at the lowest bit rate."""
        return longest_seconds(MAX_UPLOAD_BYTES, codec=self.preparation.codec)

    @property
    def is_accepted(self) -> bool:
        return _is_accepted(self.info.format, self.model)

    @property
    def is_too_long(self) -> bool:
        longest, seconds = longest_of(self.model), self.info.length.seconds
        return longest is not None and seconds is not None and seconds > longest

    def reason(self) -> str:
        """Return why it cannot simply be uploaded."""
        if self.is_too_long:
            seconds, longest = self.info.length.seconds, longest_of(self.model)
            return f"it lasts {seconds:,.0f} s and model={self.model!r} takes {longest:,.0f}"
        if not self.is_accepted:
            return _refusal(self.info.format, self.model)
        return f"{self.size:,} bytes exceed the {MAX_UPLOAD_BYTES:,}-byte upload limit"

    def presigning_reason(self) -> str | None:
        if self.size > MAX_URL_BYTES:
            return f"the service fetches up to {MAX_URL_BYTES:,} bytes"
        return _unfetchable_reason(self.source.path, self.base_url) if isinstance(self.source, StoredObject) else None

    def staging_reason(self) -> str | None:
        if not self.preparation.staging_path:
            return "needs staging_path, a folder in object storage from which the service can fetch it"
        if not self.is_accepted or self.is_too_long:
            return "would change neither its format nor its length"
        if self.size > MAX_URL_BYTES:
            return f"the service fetches up to {MAX_URL_BYTES:,} bytes"
        return _unfetchable_reason(_staged(self.preparation.staging_path), self.base_url) if self.base_url else None

    def compressing_reason(self) -> str | None:
        if self.is_too_long:
            return "would not make it shorter"
        seconds = self.info.length.seconds
        if seconds is not None and seconds > self.fitting and not self._transcoding_reason():
            return f"{seconds:,.0f} s do not fit, {self.fitting:,.0f} s do"
        return self._transcoding_reason()

    def splitting_reason(self) -> str | None:
        if self.diarize and not self.preparation.split_diarized and not self._transcoding_reason():
            return "speakers' labels do not match across parts; split_diarized=True allows it"
        return self._transcoding_reason()

    def _transcoding_reason(self) -> str | None:
        if self.is_accepted and self.info.format is not None and self.info.format.is_video:
            return "would lose the pictures that this model takes"
        return None if can_transcode() else _EXTRA


def _refusal(kind: Format | None, model: str) -> str:
    if kind is not None and kind.is_video:
        able = ", ".join(repr(known.id) for known in KNOWN_MODELS.values() if known.takes_video)
        return f"{kind.name} is video; model={model!r} takes none, {able} does"
    return f"the service does not take {kind.name if kind else 'its format'}"


def _staged(uri: str) -> ObjectStoragePath:
    """Return a file in a staging folder; a folder that was named and cannot be opened is an error."""
    folder = object_storage.resolve(uri)
    try:
        _ = folder.fs
    except Exception as error:
        raise object_storage.wrap_error(error, f"staging_path={uri!r}", folder) from error
    return folder / "recording"


def _unfetchable_reason(path: ObjectStoragePath, base_url: str) -> str | None:
    """Return why the service cannot fetch from a storage; None if it can."""
    try:
        url = object_storage.public_url(path)
    except Exception as error:  # noqa: BLE001  such as Google's without a private key; the next method may work
        return f"that storage cannot sign addresses with these credentials ({type(error).__name__}: {error})"
    if url is None:
        return "that storage cannot sign addresses; s3://, gs:// and abfs:// can"
    reason = unreachable_reason(url, base_url) if base_url else None
    return f"the storage's address {reason}, which the service cannot reach" if reason else None
