"""Recordings from outside are opened with FFmpeg (through PyAV, the extra ``[audio]``), within limits.

FFmpeg only ever sees a file object, and only demuxers that read nothing else: no address, path, playlist or stream
description gets through. Damage is skipped and counted; a recording that never ends, or decodes to hours out of
kilobytes, is refused. Everything streams, so the length of a recording costs time and no memory.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect.containers import riff
from airflow_provider_nanostt.audio.inspect.duration import refuse_other_files

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler, Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.filter import Graph

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


class AudioTrack:
    """One sound track of an open file; :func:`open_track` makes it.

    ``codec`` (FFmpeg's name: ``mp3``, ``opus``, ``pcm_s16le``) and ``rate`` (samples per second) are as the header
    says. ``seconds`` and ``broken`` count while :meth:`packets` or :meth:`frames` is read: seconds of sound decoded so
    far, and damaged packets that were skipped.
    """

    def __init__(self, container: InputContainer, stream: AudioStream, name: str) -> None:
        self.stream, self.name = stream, name
        self.codec, self.rate = stream.codec_context.name, stream.codec_context.sample_rate
        self.seconds = 0.0
        self.broken = 0
        self._container = container
        self._packets = 0

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


def can_transcode() -> bool:
    """Whether recordings can be converted, compressed and split here."""
    return importlib.util.find_spec("av") is not None


@contextmanager
def open_track(source: BinaryIO) -> Iterator[AudioTrack]:
    """Open the first sound track of a recording from its first byte; the source stays open afterwards.

    :param source: seekable; of a video, the sound is taken.
    :raises InvalidInput: if PyAV is missing, the bytes are not a recording, or there is no sound in it.
    :raises OSError: if the source cannot be read.
    """
    try:
        import av
    except ImportError as error:
        raise InvalidInput(
            "converting, compressing and splitting recordings needs PyAV: pip install 'airflow-provider-nanostt[audio]'"
        ) from error
    given = getattr(source, "name", None)
    name = repr(PurePath(given).name) if isinstance(given, str) and given else "the recording"
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
    if riff.is_longer_than_claimed(source, source.seek(0, 2)):
        options["ignore_length"] = "1"  # or the rest of it would be lost without a word
    source.seek(0)
    # Without a name: FFmpeg would take it as a hint, and some files have numbers for one.
    nameless = SimpleNamespace(read=source.read, seek=source.seek, tell=source.tell, seekable=source.seekable)
    try:
        container = av.open(
            nameless,
            "r",
            container_options=options,
            metadata_errors="replace",
            io_open=refuse_other_files,
        )
    except (av.FFmpegError, PermissionError) as error:
        raise InvalidInput(f"{name} is not a recording that can be read here ({_reason(error)})") from error
    with container:
        if not container.streams.audio:
            raise InvalidInput(f"{name} has no sound tracks")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise InvalidInput(f"{name} has a sound track in a codec that cannot be decoded here")
        stream.codec_context.thread_count = 1
        yield AudioTrack(container, stream, name)


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


def resampled(
    track: AudioTrack,
    *,
    rate: int | None,
    channels: int = 1,
    frame_size: int | None = None,
    planar: bool = False,
) -> Iterator[AudioFrame]:
    """Yield the sound of a recording as frames of 16-bit samples.

    Many channels become one or two by FFmpeg's rules where the file says what they are, and evenly where it does not:
    FFmpeg would take the third of three unnamed channels for a subwoofer, and leave that speaker out.

    :param rate: samples per second; None leaves the rate as it is.
    :param channels: 1 or 2, mixed down or doubled where needed.
    :param frame_size: samples per frame, the last may be shorter; None takes them as they come.
    :param planar: one plane per channel, for encoders that need that.
    :raises InvalidInput: as :meth:`AudioTrack.frames`, and for sound that FFmpeg cannot bring into this form.
    """
    import av

    sample_format, layout = "s16p" if planar else "s16", "stereo" if channels == 2 else "mono"
    resampler: AudioResampler | None = None
    mixer: Graph | None = None
    before: tuple[str, str, int] | None = None
    for frame in track.frames():
        frame.pts = None  # gaps in the times of a file are not filled: recognisers do not, either
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or now != before:
            yield from _convert(track, resampler, None)
            resampler = av.AudioResampler(format=sample_format, layout=layout, rate=rate, frame_size=frame_size)
            mixer, before = _mixer(frame), now
        for mixed in _mix(mixer, frame):
            yield from _convert(track, resampler, mixed)
    yield from _convert(track, resampler, None)


def _convert(track: AudioTrack, resampler: AudioResampler | None, frame: AudioFrame | None) -> Iterator[AudioFrame]:
    import av

    try:
        frames = [] if resampler is None else resampler.resample(frame)
    except (av.FFmpegError, ValueError) as error:
        raise InvalidInput(f"{track.name} has sound that cannot be converted ({_reason(error)})") from error
    yield from (made for made in frames if made is not None)


def _mix(mixer: Graph | None, frame: AudioFrame) -> Iterator[AudioFrame]:
    """Yield a frame; one of many unnamed channels becomes one channel."""
    import av

    if mixer is None:
        yield frame
        return
    mixer.push(frame)
    while True:
        try:
            mixed = cast("AudioFrame", mixer.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        mixed.pts = None
        yield mixed


def _mixer(frame: AudioFrame) -> Graph | None:
    """Return what mixes frames like this evenly; None if their channels have names, or there are at most two."""
    import av.filter

    count = len(frame.layout.channels) if frame.layout.name.endswith(" channels") else 0
    if count <= 2:
        return None
    graph = av.filter.Graph()
    source = graph.add(
        "abuffer",
        sample_rate=str(frame.sample_rate),
        sample_fmt=frame.format.name,
        channel_layout=frame.layout.name,
        time_base=f"1/{frame.sample_rate}",
    )
    mix = graph.add("pan", "mono|c0<" + "+".join(f"c{channel}" for channel in range(count)))
    graph.link_nodes(source, mix, graph.add("abuffersink"))
    graph.configure()
    return graph


def _reason(error: BaseException) -> str:
    """Return FFmpeg's own words for an error."""
    return str(getattr(error, "strerror", None) or error).strip().lower()
