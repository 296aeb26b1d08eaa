"""Times are those of a player: where time passes without sound, what is made has silence. Bounded for broken clocks."""

from __future__ import annotations

import io
from array import array
from difflib import SequenceMatcher
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nanostt._compat import AirflowFailException
from airflow_provider_nanostt.api.upload import Upload
from airflow_provider_nanostt.audio.inspect.clock import Clock, with_silence
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare.prepare import PrepareOptions, prepared_audio
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan, plan_upload
from airflow_provider_nanostt.audio.sources import LocalFile
from airflow_provider_nanostt.emulator import Emulator
from airflow_provider_nanostt.hooks import NanoGPTHook
from airflow_provider_nanostt.operators import TranscribeOperator
from airflow_provider_nanostt.outputs import format_transcript
from tests.audio.prepare.test_split_and_merge import transcribed
from tests.audio.sounds import RATE, av, encoded, frames, lag, note, samples, wav

MOVES = {
    "late": lambda _: 5.0,
    "a gap": lambda at: 30.0 if at >= 6 else 0.0,
    "late, with gaps": lambda at: 2.0 + 1.5 * (at // 4),
    "packets lost": lambda at: None if 4 <= at < 6 else 0.0,
    "many small gaps": lambda at: 0.04 * int(at),
    "rounded": lambda at: 0.0005 * (int(at * 1000) % 5),
    "as it is": lambda _: 0.0,
}


@cache
def moved(container: str, codec: str, move, *, picture: bool, spoken: int = 1) -> bytes:
    """The note, with its packets at other times: each is as many seconds later, or lost."""
    file, rate = io.BytesIO(), 48_000
    with av.open(file, "w", format=container) as out:
        packets = _picture(out, 60) if picture else []
        stream = out.add_stream(codec, rate=rate, layout="mono")
        form, size, done = stream.codec_context.format.name, stream.codec_context.frame_size, 0
        resampler = av.AudioResampler(format=form, layout="mono", rate=rate, frame_size=size or 960)
        for frame in [*frames(note() * spoken), None]:
            for made in resampler.resample(frame):
                made.pts, made.time_base = done, Fraction(1, rate)
                done += made.samples
                packets += _moved(stream.encode(made), move)
        packets += _moved(stream.encode(None), move)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return file.getvalue()


def _moved(packets, move):
    for packet in packets:
        later = move(float(packet.pts * packet.time_base))
        if later is not None:
            packet.pts = packet.dts = packet.pts + round(later / packet.time_base)
            yield packet


def _picture(out, seconds):
    stream = out.add_stream("mpeg4", rate=5)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    packets = []
    for at in range(5 * seconds):
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.pts = at
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def played(recording: bytes) -> array[int]:
    """What a player plays: each decoded frame at its own time, from the time of the picture on."""
    heard = array("h")
    with av.open(io.BytesIO(recording)) as container:
        start = (container.start_time or 0) / 1_000_000 if container.format.name in ("mpegts", "mpeg", "ogg") else 0.0
        for frame in container.decode(audio=0):
            at = round((frame.time - start) * RATE)
            heard.frombytes(bytes(2 * max(0, at - len(heard))))
            frame.pts = None
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for made in [*resampler.resample(frame), *resampler.resample(None)]:
                sound = array("h", bytes(made.planes[0])[: 2 * made.samples])
                heard[max(at, 0) : max(at, 0) + len(sound)] = sound
                at += len(sound)
    return heard


def prepared(data: bytes, folder: Path, plan: UploadPlan | None = None, **preparation):
    """Return the plan, the length that is told, and when the parts begin and what they sound like."""
    file = folder / "recording.bin"
    file.write_bytes(data)
    source, rules = LocalFile(file), PreparationRules(**preparation)
    info = probe(source)
    plan = plan or plan_upload(source, info, model="Elevenlabs-STT", diarize=False, preparation=rules)
    with prepared_audio(source, info, plan, PrepareOptions(rules)) as parts:
        made = [(part.start, samples(Path(part.audio.data).read_bytes())) for part in parts]
    return plan, info.length, made


def assert_in_time(parts, player):
    """The speech of the parts is where a player has it, from beginning to end."""
    for start, sound in parts:
        there = player[round(start * RATE) : round(start * RATE) + len(sound)]
        loud = [at for at in range(1, len(sound) // RATE - 1) if max(there[at * RATE : (at + 1) * RATE]) > 3000]
        for at in loud[:: max(1, len(loud) // 4)]:
            assert abs(lag(there, sound, at=at)) < 0.15, (start, at)


FILMS = [  # container, codec, whether it has a picture, move
    ("matroska", "libopus", True, "late"),
    ("matroska", "libopus", True, "packets lost"),
    ("matroska", "libopus", True, "many small gaps"),
    ("matroska", "libopus", False, "late, with gaps"),
    ("matroska", "flac", True, "a gap"),
    ("matroska", "flac", True, "rounded"),
    ("matroska", "pcm_s16le", True, "a gap"),
    ("webm", "libopus", False, "late"),
    ("mp4", "aac", True, "late"),
    ("mp4", "aac", True, "packets lost"),
    ("mp4", "aac", True, "rounded"),
    ("mov", "alac", True, "late, with gaps"),
    ("mpegts", "aac", True, "late"),
    ("mpegts", "aac", True, "packets lost"),
    ("mpeg", "mp2", True, "a gap"),
    ("ipod", "aac", False, "a gap"),
    ("ipod", "aac", False, "as it is"),
    ("flv", "aac", False, "late"),
]


@pytest.mark.parametrize(
    ("container", "codec", "picture", "move"),
    [pytest.param(*film, marks=[pytest.mark.long] if number % 2 else []) for number, film in enumerate(FILMS)],
)
def test_what_is_made_fits_a_player(container, codec, picture, move, tmp_path):
    """Converted, it is where the decoded time stamps have it, and as long as was told before."""
    data = moved(container, codec, MOVES[move], picture=picture)
    player = played(data)
    plan, length, made = prepared(data, tmp_path)
    assert_in_time(made, player)
    assert plan.method == "convert" or move in ("as it is", "rounded")
    assert len(made[0][1]) / RATE == pytest.approx(len(player) / RATE, abs=0.3)
    assert length.played.seconds == pytest.approx(len(made[0][1]) / RATE, abs=0.4)
    if move != "many small gaps":  # these may be told as sound
        assert length.seconds == pytest.approx((10 if move == "packets lost" else len(note()) / RATE), abs=0.2)


@pytest.mark.parametrize(
    ("method", "move"), [("compress", "late"), ("compress", "packets lost"), ("split", "late"), ("split", "a gap")]
)
def test_parts_and_cuts_fit_a_player(method, move, tmp_path):
    """Compressed whole or in parts; silence is a good place to split."""
    data = moved("matroska", "libopus", MOVES[move], picture=True, spoken=2)
    _, length, made = prepared(data, tmp_path, UploadPlan(method, "", 18.0))
    assert_in_time(made, played(data))
    assert sum(len(sound) for _, sound in made) / RATE == pytest.approx(length.played.seconds, abs=0.3)
    for (start, sound), (after, _) in pairwise(made):
        assert after == pytest.approx(start + len(sound) / RATE, abs=0.1)


@pytest.mark.parametrize("move", ["a gap", "packets lost"])
def test_an_ogg_with_gaps_is_made_anew(move, tmp_path):
    """The service takes an Ogg, and would hear it without the time that passes."""
    data = moved("ogg", "libopus", MOVES[move], picture=False)
    plan, length, made = prepared(data, tmp_path)
    assert plan.method == "convert"
    assert_in_time(made, played(data))
    assert length.played.seconds == pytest.approx(len(made[0][1]) / RATE, abs=0.3)


BROKEN = {
    "a step of a day": lambda at: 86_400.0 if at >= 6 else 0.0,
    "two hours at once": lambda at: 7200.0 if at >= 6 else 0.0,
    "the time of day": lambda _: 43_200.0,
    "cut out of a longer recording": lambda _: 1800.0,
    "twice as fast": lambda at: at,
    "milliseconds for seconds": lambda at: 999 * at,
}


@pytest.mark.parametrize(
    ("codec", "clock"), [*(("libopus", clock) for clock in BROKEN), ("aac", "milliseconds for seconds")]
)
def test_a_broken_clock_makes_no_hours_of_silence(codec, clock, tmp_path):
    """Silence is paid for; nothing is cut, either."""
    _, _, made = prepared(moved("matroska", codec, BROKEN[clock], picture=False), tmp_path)
    assert len(made[0][1]) / RATE == pytest.approx(len(note()) / RATE, abs=0.2)
    assert abs(lag(note(), made[0][1], at=8.0)) < 0.15


@pytest.mark.parametrize("move", [lambda _: 3000.0, lambda at: 3000.0 + (30.0 if at >= 6 else 0.0)])
def test_a_capture_of_a_stream_begins_where_it_begins(move, tmp_path):
    """Whoever listens to a station gets FLAC in Ogg with the time that the station has by then; gaps are kept."""
    data = moved("ogg", "flac", move, picture=False)
    _, length, made = prepared(data, tmp_path)
    gap = move(9.0) - 3000.0
    assert length.silence == pytest.approx(gap, abs=0.1)
    assert len(made[0][1]) / RATE == pytest.approx(gap + len(note()) / RATE, abs=0.3)


def test_a_picture_shows_that_sound_begins_late(tmp_path):
    """A minute and more into a film is late; a recording without anything before that was cut out."""
    data = moved("matroska", "libopus", lambda _: 100.0, picture=True)
    _, length, made = prepared(data, tmp_path)
    assert len(made[0][1]) / RATE == pytest.approx(100 + len(note()) / RATE, abs=0.2)
    assert length.silence == pytest.approx(100, abs=0.1)


def test_files_laid_end_to_end_follow_each_other(tmp_path):
    """Their times start again, which is no gap."""
    for container, codec in (("mpegts", "aac"), ("ogg", "libopus")):
        data = encoded(note(), codec, container, rate=48_000) * 2
        _, _, made = prepared(data, tmp_path, UploadPlan("compress"))
        assert len(made[0][1]) / RATE == pytest.approx(2 * len(note()) / RATE, abs=0.3)


def test_a_film_is_made_anew_for_a_model_that_takes_films(tmp_path):
    """The service would take it, and hear it without the time before its sound."""
    data = moved("mp4", "aac", MOVES["late"], picture=True)
    file = tmp_path / "film.mp4"
    file.write_bytes(data)
    source, rules = LocalFile(file), PreparationRules()
    plan = plan_upload(source, probe(source), model="openai-whisper-with-video", diarize=False, preparation=rules)
    assert plan.method == "convert"
    assert "gaps of 5.0 s" in plan.reason


def test_without_the_extra_a_gap_is_only_told(tmp_path, monkeypatch):
    """It is uploaded as it is, and the log says what to expect of its times."""
    file = tmp_path / "call.m4a"
    file.write_bytes(moved("ipod", "aac", MOVES["a gap"], picture=False))
    monkeypatch.setattr("airflow_provider_nanostt.audio.sandbox.is_possible", lambda: False)
    info = probe(LocalFile(file))
    rules = PreparationRules()
    plan = plan_upload(LocalFile(file), info, model="Whisper-Large-V3", diarize=False, preparation=rules)
    assert plan.method == "upload"
    assert "gaps of 30.0 s" in plan.reason


@pytest.mark.airflow
def test_what_is_expected_is_what_is_charged(emulator: Emulator, tmp_path):
    """The estimate counts the silence, since the service does."""
    file = tmp_path / "meeting.mkv"
    file.write_bytes(moved("matroska", "libopus", MOVES["a gap"], picture=True))
    expected = NanoGPTHook().estimate(file, model="Whisper-Large-V3").minutes
    TranscribeOperator(task_id="transcribe", audio=str(file), model="Whisper-Large-V3", deferrable=False).execute({})
    assert expected == pytest.approx((30 + len(note()) / RATE) / 60, abs=0.01)
    assert sum(charge.minutes for charge in emulator.charges) == pytest.approx(expected, abs=0.01)


@pytest.mark.airflow
def test_what_was_made_counts_for_the_limit(emulator: Emulator, tmp_path):
    """A length that only shows once the recording is made is held against the limit before it is paid for."""
    file = tmp_path / "call.mkv"
    file.write_bytes(moved("matroska", "aac", BROKEN["twice as fast"], picture=False))
    assert NanoGPTHook().estimate(file, model="Whisper-Large-V3").minutes is None
    limits = {"max_cost_usd": 0.00005, "cost_limits": {"unknown_length": "allow"}}
    task = TranscribeOperator(
        task_id="transcribe", audio=str(file), model="Whisper-Large-V3", deferrable=False, **limits
    )
    with pytest.raises(AirflowFailException, match="more than max_cost_usd"):
        task.execute({})
    assert not emulator.charges


@pytest.mark.long
def test_captions_fit_a_player(tmp_path):
    """What a recogniser hears at a moment of the film, the captions show at that moment."""
    pytest.importorskip("pocketsphinx")
    data = moved("mp4", "aac", MOVES["late, with gaps"], picture=True)
    file = tmp_path / "film.mp4"
    file.write_bytes(data)
    source, rules = LocalFile(file), PreparationRules()
    info = probe(source)
    plan = plan_upload(source, info, model="Elevenlabs-STT", diarize=False, preparation=rules)
    with Emulator(speed=1000.0) as listener, prepared_audio(source, info, plan, PrepareOptions(rules)) as (part,):
        player = Upload("player.wav", "audio/wav", wav(played(data)))
        found, expected = transcribed(listener, [part.audio, player])
    words, there = ([word for word in one.words if word.type == "word"] for one in (found, expected))
    # A recogniser does not hear every word alike in two encodings: those that it does are to be at the same moments.
    alike = SequenceMatcher(None, *([word.text for word in one] for one in (words, there)), autojunk=False)
    pairs = [(words[a + at], there[b + at]) for a, b, size in alike.get_matching_blocks() for at in range(size)]
    assert len(pairs) > 0.8 * len(there) > 10
    assert words[0].start > 2.0
    assert [word.start for word, _ in pairs] == pytest.approx([word.start for _, word in pairs], abs=0.4)
    assert format_transcript(found, "srt").startswith("1\n00:00:0")


times = st.one_of(st.none(), st.floats(-1e9, 1e9))


@given(st.lists(st.tuples(times, st.floats(0, 1))))
def test_silence_is_bounded_whatever_a_clock_says(pieces):
    """Never negative, never more than an hour and the sound, and every piece is passed on."""
    clock = Clock()
    found = list(with_silence(pieces, lambda piece: piece, clock))
    assert [piece for _, piece in found] == pieces
    assert all(silence >= 0 for silence, _ in found)
    assert sum(silence for silence, _ in found) == pytest.approx(clock.silence)
    assert clock.silence <= 3600 + clock.sound
    assert clock.sound == pytest.approx(sum(lasts for _, lasts in pieces))
