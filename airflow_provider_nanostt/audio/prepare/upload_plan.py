"""What is to be done with a recording so that the service takes it: decided from its size, format and length.

The decision costs nothing and changes nothing; carrying it out is ``making``. Where no way is open, the error says for
each of them what it would need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.catalogue import KNOWN_MODELS
from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.api.upload import MAX_UPLOAD_BYTES
from airflow_provider_nanostt.audio.inspect.url_safety import out_of_reach
from airflow_provider_nanostt.audio.prepare.encoder import form, longest_seconds
from airflow_provider_nanostt.audio.sources import LocalFile, StoredObject, WebAddress, can_transcode
from airflow_provider_nanostt.common import object_storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_nanostt._compat import ObjectStoragePath

UPLOAD = "upload"
URL = "url"
PRESIGN = "presign"
STAGE = "stage"
CONVERT = "convert"
COMPRESS = "compress"
SPLIT = "split"
OVERSIZE = (STAGE, COMPRESS, SPLIT)
"""The ways for a recording that is too large for an upload, in the order in which they are tried."""

MAX_URL_BYTES = 500_000_000
_SPARE_SECONDS = 10.0
_EXTRA = "needs the extra: pip install 'airflow-provider-nanostt[audio]'"


@dataclass(frozen=True, slots=True)
class AudioPreparation:
    """What may be done with a recording, as the user allows it.

    :param oversize: ``stage``, ``compress``, ``split``: which may be used, in order.
    :param staging: URI of a folder in object object_storage, None without one.
    :param codec: ``opus`` or ``mp3``: what recordings are encoded in.
    :param split_diarized: split although speakers are told apart; their labels do not match across parts.
    :param base_url: where the service is, to know which storages it can fetch from; empty if that does not matter.
    :raises InvalidInput: for any other word.
    """

    oversize: Sequence[str] = OVERSIZE
    staging: str | None = None
    codec: str = "opus"
    split_diarized: bool = False
    base_url: str = ""

    def __post_init__(self) -> None:
        form(self.codec)
        wrong = [way for way in self.oversize if way not in OVERSIZE]
        if isinstance(self.oversize, str) or wrong:
            raise InvalidInput(f"oversize={self.oversize!r}; it is a list of {', '.join(map(repr, OVERSIZE))}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and why.

    :param way: one of the words above.
    :param longest: for ``split``: seconds a part may last.
    """

    way: str
    why: str = ""
    longest: float | None = None


def decide(
    source: LocalFile | StoredObject | WebAddress, *, model: str, diarize: bool, means: AudioPreparation
) -> Plan:
    """Decide how a recording gets to the service.

    :param model: decides whether video is welcome, and how long a recording may be.
    :raises InvalidInput: if it is no recording, or no way is open; nothing has been spent then.
    """
    _check_media(source)
    if isinstance(source, WebAddress):
        return _by_address(source, model)
    size, longest = source.size or 0, longest_of(model)
    # The length is only looked for where it matters.
    too_long = longest is not None and (source.length.seconds or 0.0) > longest
    taken = is_taken(source, model)
    if not size:
        raise InvalidInput(f"{source.name!r} is empty; there is nothing to transcribe")
    if taken and not too_long:
        if size <= MAX_UPLOAD_BYTES:
            return Plan(UPLOAD)
        if isinstance(source, StoredObject) and _presigning_closed(source, means) is None:
            return Plan(PRESIGN, f"{size:,} bytes are too many for an upload")
    if not taken and not too_long and size <= MAX_UPLOAD_BYTES and can_transcode():
        return Plan(CONVERT, _refusal(source, model))
    return _oversize(source, model, diarize, means)


def longest_of(model: str) -> float | None:
    """Return how many seconds a recording for a model may last, with a margin; None if no limit is known."""
    facts = KNOWN_MODELS.get(model)
    return None if facts is None or facts.max_seconds is None else facts.max_seconds - _SPARE_SECONDS


def is_taken(source: LocalFile | StoredObject | WebAddress, model: str) -> bool:
    """Whether a model takes the recording's format, as far as that is known."""
    facts = KNOWN_MODELS.get(model)
    return source.format is None or source.format.accepted(takes_video=facts is None or facts.takes_video)


def _check_media(source: LocalFile | StoredObject | WebAddress) -> None:
    kind = source.format
    if kind is not None and not kind.is_media:
        raise InvalidInput(f"{source.name!r} is {kind.name}, not a recording")
    if kind is None and not isinstance(source, WebAddress) and source.size:
        raise InvalidInput(f"{source.name!r} is of no kind that is known here; its bytes are those of no recording")


def _presigning_closed(source: StoredObject, means: AudioPreparation) -> str | None:
    """Say why the service cannot fetch an object from its storage; None if it can."""
    if (source.size or 0) > MAX_URL_BYTES:
        return f"the service fetches up to {MAX_URL_BYTES:,} bytes"
    return _unfetchable(source.place, means)


def _unfetchable(place: ObjectStoragePath, means: AudioPreparation) -> str | None:
    """Say why the service cannot fetch from a storage; None if it can."""
    try:
        address = object_storage.public_url(place)
    except Exception as error:  # noqa: BLE001  such as Google's without a private key; the next way may be open
        return f"that storage cannot sign addresses with these credentials ({type(error).__name__}: {error})"
    if address is None:
        return "that storage cannot sign addresses; s3://, gs:// and abfs:// can"
    reason = out_of_reach(address, means.base_url) if means.base_url else None
    return f"the storage's address {reason}, which the service cannot reach" if reason else None


def _staging_place(uri: str) -> ObjectStoragePath:
    folder = object_storage.resolve(uri)
    try:
        _ = folder.fs
    except Exception as error:  # a folder that was named and is not there is not passed over
        raise object_storage.wrap_error(error, f"staging={uri!r}", folder) from error
    return folder / "recording"


def _refusal(source: LocalFile | StoredObject | WebAddress, model: str) -> str:
    kind = source.format
    if kind is not None and kind.is_video:
        able = ", ".join(repr(known.id) for known in KNOWN_MODELS.values() if known.takes_video)
        return f"{kind.name} is video; model={model!r} takes none, {able} does"
    return f"the service does not take {kind.name if kind else 'its format'}"


def _by_address(source: WebAddress, model: str) -> Plan:
    longest, seconds = longest_of(model), source.length.seconds
    if not is_taken(source, model):
        raise InvalidInput(
            f"{source.name!r}: {_refusal(source, model)}. Name the file by its path or object storage URI, and it is "
            "converted"
        )
    if longest is not None and seconds is not None and seconds > longest:
        raise InvalidInput(
            f"{source.name!r} lasts {seconds:,.0f} s; model={model!r} takes at most {longest:,.0f}. Name the file by "
            "its path or object storage URI, and it is split, or take another model"
        )
    if source.size is not None and source.size > MAX_URL_BYTES:
        raise InvalidInput(f"{source.name!r} has {source.size:,} bytes; the service fetches up to {MAX_URL_BYTES:,}")
    return Plan(URL)


def _oversize(source: LocalFile | StoredObject, model: str, diarize: bool, means: AudioPreparation) -> Plan:
    case = _Case.of(source, model, diarize, means)
    checks = {STAGE: case.staging_closed, COMPRESS: case.compressing_closed, SPLIT: case.splitting_closed}
    closed = {}
    if isinstance(source, StoredObject) and case.taken and not case.too_long:
        closed[PRESIGN] = _presigning_closed(source, means)
    for way in means.oversize:
        closed[way] = checks[way]()
        if closed[way] is None:
            most = min(case.fitting, case.longest or case.fitting)
            wanted = {PRESIGN, STAGE} if means.staging else {PRESIGN}
            passed = [f"; not {other}: {reason}" for other, reason in closed.items() if reason and other in wanted]
            return Plan(way, "".join([case.why(source, model), *passed]), most if way == SPLIT else None)
    reasons = "; ".join(f"{way}: {reason}" for way, reason in closed.items())
    raise InvalidInput(
        f"{source.name!r} cannot be submitted: {case.why(source, model)}. {reasons or 'oversize allows no way'}"
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """A recording that cannot simply be uploaded.

    :param seconds: its length, None if unknown.
    :param longest: seconds the model takes, None if no limit is known.
    :param fitting: seconds that fit into an upload at the lowest bit rate.
    """

    size: int
    seconds: float | None
    longest: float | None
    fitting: float
    taken: bool
    keeps_video: bool
    diarize: bool
    means: AudioPreparation

    @classmethod
    def of(cls, source: LocalFile | StoredObject, model: str, diarize: bool, means: AudioPreparation) -> _Case:
        """Look at a recording."""
        taken = is_taken(source, model)
        return cls(
            size=source.size or 0,
            seconds=source.length.seconds,
            longest=longest_of(model),
            fitting=longest_seconds(MAX_UPLOAD_BYTES, codec=means.codec),  # type: ignore[arg-type]  # checked by AudioPreparation
            taken=taken,
            keeps_video=taken and source.format is not None and source.format.is_video,
            diarize=diarize,
            means=means,
        )

    @property
    def too_long(self) -> bool:
        """Whether the model takes no recording as long."""
        return self.longest is not None and self.seconds is not None and self.seconds > self.longest

    def why(self, source: LocalFile | StoredObject, model: str) -> str:
        """Say why it cannot simply be uploaded."""
        if self.too_long:
            return f"it lasts {self.seconds:,.0f} s and model={model!r} takes {self.longest:,.0f}"
        if not self.taken:
            return _refusal(source, model)
        return f"{self.size:,} bytes are more than the {MAX_UPLOAD_BYTES:,} of an upload"

    def staging_closed(self) -> str | None:
        """Say why it cannot be staged; None if it can."""
        if not self.means.staging:
            return "needs staging=, a folder in object storage from which the service can fetch it"
        if not self.taken or self.too_long:
            return "would change neither its format nor its length"
        if self.size > MAX_URL_BYTES:
            return f"the service fetches up to {MAX_URL_BYTES:,} bytes"
        return _unfetchable(_staging_place(self.means.staging), self.means) if self.means.base_url else None

    def compressing_closed(self) -> str | None:
        """Say why it cannot be compressed; None if it can."""
        if self.too_long:
            return "would not make it shorter"
        if not can_transcode() or self.keeps_video:
            return self._not_transcoded()
        too_much = self.seconds is not None and self.seconds > self.fitting
        return f"{self.seconds:,.0f} s do not fit, {self.fitting:,.0f} s do" if too_much else None

    def splitting_closed(self) -> str | None:
        """Say why it cannot be split; None if it can."""
        if not can_transcode() or self.keeps_video:
            return self._not_transcoded()
        if self.diarize and not self.means.split_diarized:
            return "speakers' labels do not match across parts; split_diarized=True allows it"
        return None

    def _not_transcoded(self) -> str:
        return "would lose the pictures that this model takes" if self.keeps_video else _EXTRA
