"""Recordings from outside are opened with FFmpeg (through PyAV, the extra ``[audio]``), within limits.

FFmpeg only ever sees a file object, and only demuxers that read nothing else: no address, path, playlist or stream
description gets through. Damage is skipped and counted; a recording that never ends, or decodes to hours out of
kilobytes, is refused. Everything streams, so the length of a recording costs time and no memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect.clock import clock_of, with_silence
from airflow_provider_nanostt.audio.inspect.containers import riff
from airflow_provider_nanostt.audio.inspect.packets import refuse_other_files
from airflow_provider_nanostt.audio.prepare.channels import PER_SECOND, RATE, Mixer, levels, loud

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler, Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer

MAX_SECONDS = 24 * 3600.0
"""Of decoded sound; a longer recording is taken for an attack or an accident."""

MAX_PACKETS = 20_000_000
"""Of a sound track; five milliseconds is about the shortest there is."""

_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,ircam,loas,matroska,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,nut,ogg,qoa,rm,shn,sox,tak,tta,voc,w64,wav,webm,wv"
)
"""The demuxers that find all they need in the one file they are given."""

_MAX_FRAME_SECONDS = 60.0  # a frame of 65,535 samples at one per second would fill the memory once resampled
_MIN_BREAKS = 1000
_MAX_RESUMES = 100
_PROGRESS_SECONDS = 10.0
_CERTAINLY_HEARD = 1000  # of 32768, -30 dB
_ENOUGH_SECONDS = 10.0
_MUCH_LOUDER = 10  # times, 20 dB


class AudioTrack:
    """One sound track of an open file; :func:`open_track` chooses it.

    ``codec`` (FFmpeg's name: ``mp3``, ``opus``, ``pcm_s16le``) and ``rate`` (samples per second) are as the header
    says. ``seconds`` and ``broken`` count while :meth:`packets` or :meth:`frames` is read: seconds of sound decoded so
    far, and damaged packets that were skipped; ``clock`` counts while :func:`by_channel` is read.
    """

    def __init__(self, container: InputContainer, stream: AudioStream, name: str) -> None:
        self.stream, self.name = stream, name
        stream.codec_context.thread_count = 1
        self.codec, self.rate = stream.codec_context.name, stream.codec_context.sample_rate
        self.seconds = 0.0
        self.broken = 0
        self.clock = clock_of(container)
        self._container = container
        self._packets = 0

    @property
    def is_default(self) -> bool:
        """Whether it is the one that players play of several."""
        from av.stream import Disposition

        return bool(self.stream.disposition & Disposition.default)

    @property
    def channels(self) -> int:
        """Channels, as the header says."""
        return len(self.stream.codec_context.layout.channels)

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """Yield the track's packets, an empty one at the end.

        :raises InvalidInput: if there are too many, or most of the file is damaged.
        :raises OSError: if the source cannot be read.
        """
        import av

        for _ in range(_MAX_RESUMES):
            try:
                for packet in self._container.demux(self.stream):
                    self._packets += 1
                    if self._packets > MAX_PACKETS:
                        raise InvalidInput(f"{self.name} has more than {MAX_PACKETS:,} packets")
                    yield packet
            except av.FFmpegError:
                self._skip_broken()  # what follows the damage may be readable
            else:
                return

    def frames(self) -> Iterator[AudioFrame]:
        """Yield the track's decoded frames; damaged packets are skipped and counted in ``broken``.

        :raises InvalidInput: if it goes on for too long, most of it is damaged, or there is no sound at all.
        :raises OSError: if the source cannot be read.
        """
        import av

        for packet in self.packets():
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._skip_broken()
                continue
            for frame in frames:
                seconds = frame.samples / max(frame.sample_rate, 1)
                if seconds > _MAX_FRAME_SECONDS:
                    raise InvalidInput(f"{self.name} has {self.rate} samples per second, too few for sound")
                self.seconds += seconds
                self.check_length(self.seconds)
                yield frame
        if not self.seconds:
            raise InvalidInput(f"{self.name} has a sound track in which nothing can be decoded")
        self._check_damage()

    def check_length(self, seconds: float) -> None:
        """Refuse a recording of so many seconds if that is too long."""
        if seconds > MAX_SECONDS:
            raise InvalidInput(f"{self.name} is longer than {MAX_SECONDS / 3600:g} hours")

    def _skip_broken(self) -> None:
        self.broken += 1
        if self.broken > _MIN_BREAKS:
            self._check_damage()

    def _check_damage(self) -> None:
        if self.broken > self._packets / 2:
            raise InvalidInput(
                f"{self.name} is damaged: {self.broken:,} of {self._packets:,} packets cannot be decoded"
            )


@contextmanager
def open_track(source: BinaryIO) -> Iterator[AudioTrack]:
    """Open the sound track of a recording from its first byte; the source stays open afterwards.

    Of several, it is the one that players play, unless that is all but silent beside another.

    :param source: seekable; of a video, the sound is taken.
    :raises InvalidInput: if the bytes are not a recording, or there is no sound in it.
    :raises OSError: if the source cannot be read.
    """
    given = getattr(source, "name", None)
    name = repr(PurePath(given).name) if isinstance(given, str) and given else "the recording"
    with _tracks(source, name) as found:
        if len(found) == 1:
            yield found[0]
            return
        usual = next((at for at, track in enumerate(found) if track.is_default), 0)
        count = len(found)
    heard: dict[int, int] = {}
    for at in sorted(range(count), key=lambda at: at != usual):
        with _tracks(source, name) as found:
            heard[at], is_certain = _heard(found[at])
        if at == usual and is_certain:
            break
    loudest = max(heard, key=heard.__getitem__)
    with _tracks(source, name) as found:
        yield found[loudest if heard[loudest] > _MUCH_LOUDER * heard[usual] else usual]


@contextmanager
def _tracks(source: BinaryIO, name: str) -> Iterator[list[AudioTrack]]:
    """Open a recording; yield its sound tracks, of which one can be read."""
    import av

    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
    if riff.is_longer_than_claimed(source, source.seek(0, 2)):
        options["ignore_length"] = "1"  # or the rest of it would be lost without a word
    source.seek(0)
    # Without a name: FFmpeg would take it as a hint, and some files have numbers for one.
    nameless = SimpleNamespace(read=source.read, seek=source.seek, tell=source.tell, seekable=source.seekable)
    try:
        container = av.open(
            nameless, "r", container_options=options, metadata_errors="replace", io_open=refuse_other_files
        )
    except (av.FFmpegError, PermissionError) as error:
        raise InvalidInput(f"{name} is not a recording that can be read here ({_reason(error)})") from error
    with container:
        if not container.streams.audio:
            raise InvalidInput(f"{name} has no sound tracks")
        found = [AudioTrack(container, stream, name) for stream in container.streams.audio if stream.codec_context]
        if not found:
            raise InvalidInput(f"{name} has a sound track in a codec that cannot be decoded here")
        yield found


def _heard(track: AudioTrack) -> tuple[int, bool]:
    """Return how loud a track is, of 32768, and whether it is heard for certain, which ends the reading."""
    found, certain = array("H"), 0
    with suppress(InvalidInput):  # of several tracks one may be broken
        for level in levels(by_channel(track)):
            found.append(level)
            certain += level > _CERTAINLY_HEARD
            if certain > _ENOUGH_SECONDS * PER_SECOND:
                break
    return loud(found), certain > _ENOUGH_SECONDS * PER_SECOND


def packet_seconds(track: AudioTrack, packet: Packet[AudioStream]) -> float:
    """Return the length of a packet's sound in seconds; by the codec's frame size, since time stamps may be rounded."""
    if not packet.size:
        return 0.0
    if size := track.stream.codec_context.frame_size:
        return size / track.rate
    base = packet.time_base
    return float((packet.duration or 0) * base) if base else 0.0


def throttled(progress: Callable[[float], object] | None) -> Callable[[float], None]:
    """Return a function to call with the seconds done at every step; it passes on one in ten seconds of sound."""
    reported = 0.0

    def report(seconds: float) -> None:
        nonlocal reported
        if progress is not None and seconds - reported >= _PROGRESS_SECONDS:
            reported = seconds
            progress(seconds)

    return report


def by_channel(track: AudioTrack) -> Iterator[AudioFrame]:
    """Yield the sound of a recording as 16-bit samples at :data:`RATE`, with the channels that it has interleaved.

    Where time passes without sound, there is silence, so that what is made is as long as a player plays it.

    :raises InvalidInput: as :meth:`AudioTrack.frames`, and for sound that FFmpeg cannot bring into this form.
    """
    import av

    timed = with_silence(track.frames(), _timed, track.clock)
    for _, alike in groupby(timed, lambda one: (one[1].format.name, one[1].layout.name, one[1].sample_rate)):
        resampler = av.AudioResampler(format="s16", rate=RATE)
        for silence, frame in alike:
            frame.pts = None  # or FFmpeg would fill gaps as well, and cut where times go back
            yield from _silent(frame.layout.name, silence)
            yield from _convert(track, resampler, frame)
        yield from _convert(track, resampler, None)


def _timed(frame: AudioFrame) -> tuple[float | None, float]:
    return frame.time, frame.samples / frame.sample_rate


def _silent(layout: str, seconds: float) -> Iterator[AudioFrame]:
    """Yield silence, in frames of at most a second."""
    import av

    samples = round(seconds * RATE)
    for at in range(0, samples, RATE):
        frame = av.AudioFrame(format="s16", layout=layout, samples=min(RATE, samples - at))
        frame.sample_rate = RATE
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        yield frame


def resampled(
    track: AudioTrack, *, channels: int = 1, frame_size: int | None = None, planar: bool = False
) -> Iterator[AudioFrame]:
    """Yield the sound of a recording as 16-bit samples at :data:`RATE`, mixed by :class:`Mixer`.

    :param channels: 1 or 2, mixed down or doubled where needed.
    :param frame_size: samples per frame, the last may be shorter; None takes them as they come.
    :param planar: one plane per channel, for encoders that need that.
    :raises InvalidInput: as :func:`by_channel`.
    """
    import av

    mixer = Mixer(channels)
    resampler = av.AudioResampler(format="s16p" if planar else "s16", frame_size=frame_size)
    for frame in by_channel(track):
        yield from _convert(track, resampler, mixer.mix(frame))
    yield from _convert(track, resampler, None)


def _convert(track: AudioTrack, resampler: AudioResampler, frame: AudioFrame | None) -> Iterator[AudioFrame]:
    import av

    try:
        frames = resampler.resample(frame)
    except (av.FFmpegError, ValueError) as error:
        raise InvalidInput(f"{track.name} has sound that cannot be converted ({_reason(error)})") from error
    for made in frames:
        if made is not None:
            made.pts = None
            yield made


def _reason(error: BaseException) -> str:
    """Return FFmpeg's own words for an error."""
    return str(getattr(error, "strerror", None) or error).strip().lower()
