"""How a recording gets to the service: decided from its size, format and length, and from the user's preferences.

The decision costs nothing and changes nothing; it is carried out in ``prepare``. Where nothing is possible, the error
says for each method what it would need.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from airflow_provider_nanostt.api.catalogue import Abilities, KnownModels
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.audio import sandbox
from airflow_provider_nanostt.audio.inspect.probe import AudioInfo
from airflow_provider_nanostt.audio.inspect.url_safety import unreachable_reason
from airflow_provider_nanostt.audio.prepare.muxer import Codec, codec_spec, longest_seconds
from airflow_provider_nanostt.audio.sources import LocalFile, Recording, StoredObject, WebAddress
from airflow_provider_nanostt.common import object_storage, presigning
from airflow_provider_nanostt.common.reprs import redacted_repr

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

Method = Literal["upload", "url", "presign", "stage", "convert", "compress", "split"]
OversizeMethod = Literal["stage", "compress", "split"]

OVERSIZE: tuple[OversizeMethod, ...] = ("stage", "compress", "split")
"""The methods for a recording that is too large for an upload, in the order in which they are tried."""

MAX_URL_BYTES = 500_000_000
_MARGIN_SECONDS = 10.0
_MAX_GAPS = 0.25  # seconds by which captions may be early


@dataclass(frozen=True, slots=True)
class PreparationRules:
    """How a recording may be changed so that the service takes it, as the user allows it.

    :param oversize: which of ``stage``, ``compress``, ``split`` may be used, in order.
    :param staging_path: URI of a folder in object storage, None without one.
    :param codec: ``opus`` or ``mp3``, in which recordings are encoded.
    :param split_diarized: split although speakers are told apart; their labels do not match across parts.
    :raises InvalidInput: for any other word.
    """

    __repr__ = redacted_repr

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
    :param max_bytes: the largest file that may be uploaded.
    """

    method: Method
    reason: str = ""
    longest_seconds: float | None = None
    max_bytes: int = MAX_UPLOAD_BYTES

    @property
    def makes_anew(self) -> bool:
        """Whether what is submitted is not the recording as it is."""
        return self.method in ("convert", "compress", "split")


def plan_upload(
    source: Recording,
    info: AudioInfo,
    *,
    model: str,
    diarize: bool,
    preparation: PreparationRules,
    base_url: str = "",
    known: KnownModels | None = None,
) -> UploadPlan:
    """Decide how a recording gets to the service.

    :param info: see :func:`~airflow_provider_nanostt.audio.inspect.probe.probe`.
    :param model: decides whether video is accepted, and how long and large a recording may be.
    :param base_url: where the service is, to know which storages it can fetch from; empty if that does not matter.
    :param known: what is known of the models; None for the built-in table.
    :raises InvalidInput: if it is not a recording, or no method is possible; nothing has been spent then.
    """
    if info.format is not None and not info.format.is_media:
        raise InvalidInput(f"{source.name!r} is {info.format.name}, {info.format.refusal}")
    known = known or KnownModels()
    can = known.facts(model).can
    too_long, refusal = _too_long(info, model, can), _refusal(info, model, can, known)
    limits = (min(service_takes, can.max_bytes or service_takes) for service_takes in (MAX_UPLOAD_BYTES, MAX_URL_BYTES))
    case = _Case(info, preparation, base_url, diarize, _longest(can), too_long, refusal, *limits)
    if isinstance(source, WebAddress):
        return _plan_url(source, case)
    if not info.size:
        raise InvalidInput(f"{source.name!r} is empty; there is nothing to transcribe")
    if info.format is None:
        raise InvalidInput(f"{source.name!r} has an unrecognised format; its bytes are not those of a recording")
    better = None if case.refusal else _better_made_anew(info)
    if better and sandbox.is_possible():
        with suppress(InvalidInput):  # where that is not allowed or possible, it goes as it is
            return _plan_file(source, replace(case, refusal=better))
    plan = _plan_file(source, case)
    return replace(plan, reason="; ".join(filter(None, (plan.reason, better)))) if better else plan


def _plan_file(source: LocalFile | StoredObject, case: _Case) -> UploadPlan:
    if case.size <= case.upload_limit and case.is_accepted:
        return UploadPlan("upload")
    if case.size <= case.upload_limit and not case.too_long and sandbox.is_possible():
        return UploadPlan("convert", case.reason, max_bytes=case.upload_limit)
    return _plan_oversize(source, case)


def _better_made_anew(info: AudioInfo) -> str | None:
    """Return why a recording that the service takes is better made anew; None if it is not."""
    if info.length.tracks > 1:
        return f"it has {info.length.tracks} sound tracks, and the service may hear one that is silent"
    if info.length.silence > _MAX_GAPS:
        return f"its times have gaps of {info.length.silence:,.1f} s, which are only kept as silence"
    return None


def _longest(can: Abilities) -> float | None:
    """Return how many seconds a recording for a model may last, with a margin; None if no limit is known."""
    return None if can.max_seconds is None else can.max_seconds - _MARGIN_SECONDS


def _too_long(info: AudioInfo, model: str, can: Abilities) -> str | None:
    """Return why a recording is too long for a model; None if it is not, as far as that is known."""
    longest, seconds = _longest(can), info.length.played.seconds
    if longest is None or seconds is None or seconds <= longest:
        return None
    return f"it lasts {seconds:,.0f} s and model={model!r} takes at most {longest:,.0f}"


def _refusal(info: AudioInfo, model: str, can: Abilities, known: KnownModels) -> str | None:
    """Return why a model does not accept a format; None if it does, as far as that is known."""
    kind = info.format
    if kind is None or kind.accepted(takes_video=can.takes_video is not False):
        return None
    if kind.is_video:
        return f"{kind.name} is video; model={model!r} takes none, {known.able('takes_video')} does"
    return f"the service does not take {kind.name}"


def _plan_url(source: WebAddress, case: _Case) -> UploadPlan:
    """Look at an address before the service does, which spares the submit of what it could not use."""
    if case.refusal:
        raise InvalidInput(
            f"{source.name!r}: {case.refusal}. Name the file by its path or object storage URI, and it is converted"
        )
    if case.too_long:
        raise InvalidInput(
            f"{source.name!r}: {case.too_long}. Name the file by its path or object storage URI, and it is split, or "
            "take another model"
        )
    if case.size > case.url_limit:
        raise InvalidInput(f"{source.name!r} has {case.size:,} bytes; {case.fetch_limit}")
    return UploadPlan("url")


def _plan_oversize(source: LocalFile | StoredObject, case: _Case) -> UploadPlan:
    """Choose the first method that is allowed and possible."""
    closed: dict[str, str] = {}
    if isinstance(source, StoredObject) and case.is_accepted:
        obstacle = case.no_presigning(source.path)
        if obstacle is None:
            return UploadPlan("presign", case.reason, max_bytes=case.upload_limit)
        closed["presign"] = obstacle
    checks = {"stage": case.no_staging, "compress": case.no_compressing, "split": case.no_splitting}
    for method in case.preparation.oversize:
        obstacle = checks[method]()
        if obstacle is None:
            preferred = {"presign", "stage"} if case.preparation.staging_path else {"presign"}
            passed = [f"; not {other}: {why}" for other, why in closed.items() if other in preferred]
            most = min(case.fitting, case.longest or case.fitting) if method == "split" else None
            return UploadPlan(method, "".join([case.reason, *passed]), most, case.upload_limit)
        closed[method] = obstacle
    reasons = "; ".join(f"{method}: {obstacle}" for method, obstacle in closed.items())
    raise InvalidInput(f"{source.name!r} cannot be submitted: {case.reason}. {reasons or 'oversize allows no method'}")


@dataclass(frozen=True, slots=True)
class _Case:
    """A recording, and what decides about it. The ``no_`` methods say why a method is impossible, or None.

    :param longest: seconds that the model takes, None if no limit is known.
    :param too_long: why the model does not take its length, None if it does.
    :param refusal: why the model does not take its format, None if it does.
    :param upload_limit: bytes; a model may take less than the service does, and nothing takes more.
    :param url_limit: bytes behind an address, likewise.
    """

    info: AudioInfo
    preparation: PreparationRules
    base_url: str
    diarize: bool
    longest: float | None
    too_long: str | None
    refusal: str | None
    upload_limit: int
    url_limit: int

    @property
    def size(self) -> int:
        return self.info.size or 0

    @property
    def fetch_limit(self) -> str:
        """The same for people."""
        who = "the service fetches" if self.url_limit == MAX_URL_BYTES else "this model takes"
        return f"{who} up to {self.url_limit:,} bytes"

    @property
    def is_accepted(self) -> bool:
        """Whether the service takes it as it is, if it can have it."""
        return not self.too_long and not self.refusal

    @property
    def reason(self) -> str:
        """Why it cannot simply be uploaded."""
        too_large = f"{self.size:,} bytes exceed the {self.upload_limit:,}-byte upload limit"
        return self.too_long or self.refusal or too_large

    @property
    def fitting(self) -> float:
        """Seconds that fit into an upload at the lowest bit rate."""
        return longest_seconds(self.upload_limit, codec=self.preparation.codec)

    def no_presigning(self, path: ObjectStoragePath) -> str | None:
        return self.fetch_limit if self.size > self.url_limit else _unfetchable_reason(path, self.base_url)

    def no_staging(self) -> str | None:
        uri = self.preparation.staging_path
        if not uri:
            return "needs staging_path, a folder in object storage from which the service can fetch it"
        if not self.is_accepted:
            return "would leave it as it is"
        if self.size > self.url_limit:
            return self.fetch_limit
        return _unfetchable_reason(_staged(uri), self.base_url) if self.base_url else None

    def no_compressing(self) -> str | None:
        if self.too_long:
            return "would not make it shorter"
        seconds = self.info.length.played.seconds
        if (reason := self.no_transcoding()) or seconds is None or seconds <= self.fitting:
            return reason
        return f"{seconds:,.0f} s do not fit, {self.fitting:,.0f} s do"

    def no_splitting(self) -> str | None:
        if (reason := self.no_transcoding()) or not self.diarize or self.preparation.split_diarized:
            return reason
        return "speakers' labels do not match across parts; split_diarized=True allows it"

    def no_transcoding(self) -> str | None:
        if not self.refusal and self.info.format is not None and self.info.format.is_video:
            return "would lose the pictures that this model takes"
        return None if sandbox.is_possible() else "needs the extra: pip install 'airflow-provider-nanostt[audio]'"


def _staged(uri: str) -> ObjectStoragePath:
    """Return a file in a staging folder; a folder that was named and cannot be opened is an error."""
    folder = object_storage.resolve_folder(uri)
    try:
        _ = folder.fs
    except Exception as error:
        raise object_storage.wrap_error(error, f"staging_path={uri!r}", folder) from error
    return folder / "recording"


def _unfetchable_reason(path: ObjectStoragePath, base_url: str) -> str | None:
    """Return why the service cannot fetch from a storage; None if it can."""
    try:
        url = presigning.public_url(path)
    except Exception as error:  # noqa: BLE001  such as Google's without a private key; the next method may work
        return f"that storage cannot sign addresses with these credentials ({type(error).__name__}: {error})"
    if url is None:
        return "that storage cannot sign addresses; s3://, gs:// and abfs:// can"
    reason = unreachable_reason(url, base_url) if base_url else None
    return f"the storage's address {reason}, which the service cannot reach" if reason else None
