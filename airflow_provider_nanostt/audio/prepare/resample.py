"""The sound of a recording in the one form that an encoder or the search for silences needs.

Many channels become one or two by FFmpeg's rules where the file says what they are, and evenly where it does not:
FFmpeg would take the third of three unnamed channels for a subwoofer, and leave that speaker out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.decoding import AudioTrack, ffmpeg_reason

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler
    from av.filter import Graph


def resampled(
    track: AudioTrack,
    *,
    rate: int | None,
    channels: int = 1,
    frame_size: int | None = None,
    planar: bool = False,
) -> Iterator[AudioFrame]:
    """Yield the sound of a recording as frames of 16-bit samples.

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
        raise InvalidInput(f"{track.name} has sound that cannot be converted ({ffmpeg_reason(error)})") from error
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
    begin = graph.add(
        "abuffer",
        sample_rate=str(frame.sample_rate),
        sample_fmt=frame.format.name,
        channel_layout=frame.layout.name,
        time_base=f"1/{frame.sample_rate}",
    )
    mix = graph.add("pan", "mono|c0<" + "+".join(f"c{channel}" for channel in range(count)))
    begin.link_to(mix)
    mix.link_to(graph.add("abuffersink"))
    graph.configure()
    return graph
