"""The sound of a recording in the one form that an encoder or a listener wants, whatever form it has.

Many channels become one or two by FFmpeg's rules where the file says what they are, and evenly where it does not:
FFmpeg would take the third of three unnamed channels for a subwoofer, and leave that speaker out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.prepare.decoding import reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av import AudioFrame, AudioResampler

    from airflow_provider_nanostt.audio.prepare.decoding import Recording


class Sound:
    """The sound of a recording in one form: 16-bit samples at one rate, in frames of one size.

    :param rate: samples per second; None leaves the rate as it is.
    :param channels: 1 or 2, mixed down or doubled where needed.
    :param frame_size: samples per frame, the last may be shorter; None takes them as they come.
    :param planar: one plane per channel, for encoders that want it so.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        rate: int | None,
        channels: int = 1,
        frame_size: int | None = None,
        planar: bool = False,
    ) -> None:
        self._recording = recording
        self._form: dict[str, Any] = {
            "format": "s16p" if planar else "s16",
            "layout": "stereo" if channels == 2 else "mono",
            "rate": rate,
            "frame_size": frame_size,
        }

    def __iter__(self) -> Iterator[AudioFrame]:
        """Yield frames.

        :raises InvalidInput: as :meth:`Recording.frames`, and for sound that FFmpeg cannot bring into this form.
        """
        import av

        resampler, mix, kind = None, None, None
        for frame in self._recording.frames():
            frame.pts = None  # gaps in the times of a file are not filled: recognisers do not, either
            now = (frame.format.name, frame.layout.name, frame.sample_rate)
            if mix is None or kind != now:
                yield from self._through(resampler, None)
                resampler, mix, kind = av.AudioResampler(**self._form), _Mix(frame), now
            for mixed in mix.frames(frame):
                yield from self._through(resampler, mixed)
        yield from self._through(resampler, None)

    def _through(self, resampler: AudioResampler | None, frame: AudioFrame | None) -> list[AudioFrame]:
        import av

        if resampler is None:
            return []
        try:
            return [made for made in resampler.resample(frame) if made is not None]
        except (av.FFmpegError, ValueError) as error:
            raise InvalidInput(
                f"{self._recording.name} has sound of a kind that cannot be converted ({reason(error)})"
            ) from error


class _Mix:
    """Frames of many channels without names become frames of one; others pass.

    :param frame: the first of them.
    """

    def __init__(self, frame: AudioFrame) -> None:
        count = len(frame.layout.channels) if frame.layout.name.endswith(" channels") else 0
        self._graph: Any = self._built(frame, count) if count > 2 else None

    def frames(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """Yield the frame, mixed."""
        import av

        if self._graph is None:
            yield frame
            return
        self._graph.push(frame)
        while True:
            try:
                mixed = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            mixed.pts = None
            yield mixed

    def _built(self, frame: AudioFrame, count: int) -> Any:
        import av
        import av.filter

        graph = av.filter.Graph()
        begin = graph.add(
            "abuffer",
            sample_rate=str(frame.sample_rate),
            sample_fmt=frame.format.name,
            channel_layout=frame.layout.name,
            time_base=f"1/{frame.sample_rate}",
        )
        mix = graph.add("pan", "mono|c0<" + "+".join(f"c{channel}" for channel in range(count)))
        end = graph.add("abuffersink")
        begin.link_to(mix)
        mix.link_to(end)
        graph.configure()
        return graph
