"""Audio: formats, sizes, URLs, and real recognition of the samples."""

from __future__ import annotations

import asyncio
import http.server
import io
import json
import re
import struct
import threading
import wave

import av
import jiwer
import pytest

from airflow_provider_nanostt.emulator import MODELS, Emulator, Settings, recogniser_worker
from airflow_provider_nanostt.emulator.recogniser import Recogniser, RecogniserError
from airflow_provider_nanostt.emulator.recogniser_worker import utterances
from airflow_provider_nanostt.emulator.sound import Sound, decode
from airflow_provider_nanostt.emulator.state import State
from airflow_provider_nanostt.emulator.submissions import Submission
from airflow_provider_nanostt.emulator.work import Workshop

from .conftest import ASYNC, AUDIO, SYNC, Caller

NOTE, CALL, OFFICE = (AUDIO / name for name in ("weekly-note.wav", "delivery-call.wav", "closed-office.ogg"))
(NOTE_PCM,), (OFFICE_PCM,) = (decode(path.read_bytes()).channels for path in (NOTE, OFFICE))
TONE = struct.pack("<80h", *[8000] * 40, *[-8000] * 40) * 200  # sound, though not speech
TURNS = json.loads((AUDIO / "delivery-call.json").read_text())["turns"]


def plain(text):
    return " ".join(re.sub(r"[^a-z' ]", " ", re.sub(r"Speaker \d+:", " ", text).lower()).split())


def word_errors(said, heard):
    return jiwer.wer(plain(said), plain(heard))


def wav(samples=b"\0\0" * 1600, channels=1, rate=16_000, width=2):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(samples)
    return file.getvalue()


def encoded(container, codec, *, rate=16_000, layout="mono", source=OFFICE):
    """The sample in another format."""
    file = io.BytesIO()
    with av.open(str(source)) as spoken, av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        size = stream.frame_size or 1024
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=size)
        for frame in [*spoken.decode(audio=0), None]:
            for resampled in resampler.resample(frame):
                resampled.pts = None
                out.mux(stream.encode(resampled))
        out.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def listener():
    """An emulator that really listens; jobs take as long as recognition does."""
    with Emulator(processing_seconds=0.0) as running:
        yield running


@pytest.fixture
def ears(listener):
    listener.reset()
    return Caller(listener)


@pytest.fixture
def files():
    """A loopback file server: path -> (status, content type, body)."""
    served = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, content_type, body = served.get(self.path.partition("?")[0], (404, "text/plain", b"no"))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        served["url"] = f"http://127.0.0.1:{server.server_port}"
        yield served
        server.shutdown()
        thread.join()


def test_the_note_is_understood(ears):
    """The mono sample comes back as what was said, charged by its real length."""
    answer = ears.upload(NOTE.name, NOTE.read_bytes(), "audio/wav", model=SYNC).json()
    assert word_errors((AUDIO / "weekly-note.txt").read_text(), answer["transcription"]) <= 0.06
    with wave.open(str(NOTE)) as file:
        assert answer["metadata"]["chargedDuration"] == round(file.getnframes() / 16_000 / 60, 4)


def test_the_call_has_two_speakers_who_take_turns(ears):
    """Each channel of the stereo call is one speaker: words, text and segment times are those of the script."""
    result = ears.result(ears.upload(CALL.name, CALL.read_bytes(), "audio/wav", diarize="true").json())
    assert word_errors(" ".join(turn["text"] for turn in TURNS), result["transcription"]) <= 0.06
    segments = result["diarization"]["segments"]
    assert [segment["speaker"] for segment in segments] == [turn["speaker"] for turn in TURNS]
    for segment, turn in zip(segments, TURNS, strict=True):
        assert segment["start"] == pytest.approx(turn["start"], abs=0.5)
        assert segment["end"] == pytest.approx(turn["end"], abs=0.5)
    starts = [word["start"] for word in result["words"] if word["type"] == "word"]
    assert starts == sorted(starts)


def test_a_compressed_file_from_a_url_is_understood(ears, files):
    """An Ogg Opus file is fetched, decoded and recognised; the ticket names the file, its size and its length."""
    files["/talk/closed-office.ogg"] = (200, "application/octet-stream", OFFICE.read_bytes())
    ticket = ears.url(files["url"] + "/talk/closed-office.ogg?token=x").json()
    assert (ticket["fileName"], ticket["fileSize"]) == ("closed-office.ogg", OFFICE.stat().st_size)
    assert ticket["chargedDuration"] * 60 == pytest.approx(7.4, abs=0.2)
    heard = ears.result(ticket)["transcription"]
    assert word_errors((AUDIO / "closed-office.txt").read_text(), heard) <= 0.06


@pytest.mark.long
def test_recognition_does_not_depend_on_what_was_heard_before(ears):
    """The same audio gives the same words and times, whatever the recogniser heard in between."""
    office = lambda: ears.result(ears.upload(OFFICE.name, OFFICE.read_bytes(), "audio/ogg").json())["words"]  # noqa: E731
    first = office()
    ears.upload(NOTE.name, NOTE.read_bytes(), "audio/wav", model=SYNC)
    assert first == office()


@pytest.mark.parametrize(
    ("name", "content_type", "form"),
    [
        ("a.m4a", "audio/mp4", {"container": "ipod", "codec": "aac", "rate": 44_100}),
        ("a.aac", "audio/aac", {"container": "adts", "codec": "aac", "rate": 44_100}),
        ("a.wav", "audio/x-wav", {"container": "wav", "codec": "pcm_s16le", "rate": 44_100}),
    ],
)
def test_all_formats_are_measured(ears, name, content_type, form):
    """Every documented format has its length measured, here without a recogniser having to listen."""
    ears.nanogpt.script(name, text="unheard")
    ticket = ears.upload(name, encoded(**form), content_type).json()
    assert ticket["chargedDuration"] * 60 == pytest.approx(7.4, abs=0.2)


def test_a_stereo_file_with_one_voice_is_one_speaker(ears):
    """An MP3 with the same voice on both channels is understood, and has one speaker."""
    data = encoded("mp3", "libmp3lame", rate=44_100, layout="stereo")
    result = ears.result(ears.upload("a.mp3", data, "audio/mpeg", diarize="true").json())
    assert {segment["speaker"] for segment in result["diarization"]["segments"]} == {"Speaker 1"}
    assert word_errors((AUDIO / "closed-office.txt").read_text(), result["transcription"]) <= 0.1


def test_silence_is_an_empty_transcript(ears):
    """A file nobody speaks in completes with no text, no words and no segments."""
    result = ears.result(ears.upload("quiet.wav", wav(), "audio/wav", diarize="true").json())
    assert (result["transcription"], result["words"], result["diarization"]) == ("", [], {"segments": []})


def test_a_language_the_recogniser_does_not_know_fails_honestly(ears):
    """A job in another language fails with the reason instead of a guess, and is refunded."""
    result = ears.result(ears.upload("quiet.wav", wav(), "audio/wav", language="de").json())
    assert result["status"] == "failed"
    assert "English only" in result["error"]
    assert ears.nanogpt.charges[0].refunded == ears.nanogpt.charges[0].cost


@pytest.mark.parametrize("language", ["en", "eng", "en-US", "auto"])
def test_english_has_several_names(ears, language):
    """The names of English, and auto, are recognised."""
    assert ears.result(ears.upload("quiet.wav", wav(), "audio/wav", language=language).json())["status"] == "completed"


@pytest.mark.parametrize(
    ("name", "content_type", "data"),
    [
        ("a.wav", "audio/mpeg", wav()),
        ("a.mp3", "audio/mpeg", wav()),
        ("a.wav", "audio/wav", b"plain text"),
        ("a.webm", "audio/webm", b"\x1aE\xdf\xa3" + bytes(50)),
        ("a.wav", "audio/wav", b"\x1aE\xdf\xa3" + bytes(50)),
        ("a", "audio/wav", wav()),
        ("a.wav", "audio/wav", b""),
        ("a.mp4", "video/mp4", b"\0\0\0\x20ftypisom" + bytes(50)),
        ("a.wav", "audio/wav", wav()[:40]),
        ("a.wav", "audio/wav", wav(b"")),
        ("a.ogg", "audio/ogg", b"OggS" + bytes(50)),
        ("a.aac", "audio/aac", b"\xff\xf1" + bytes(50)),
        ("a.mp3", "audio/mpeg", b"\xff\xfb" + bytes(50)),
    ],
)
def test_what_is_not_one_supported_file_is_a_400(ears, name, content_type, data):
    """Suffix, content type and bytes must agree, and the bytes must be sound; nothing is charged."""
    answer = ears.upload(name, data, content_type)
    assert answer.status_code == 400
    assert ears.nanogpt.charges == []


def test_the_video_model_takes_video(ears):
    """MP4 is for the video model, which gets the sound out of it."""
    data = encoded("mp4", "aac")
    ears.nanogpt.script("a.mp4", text="unheard")
    answer = ears.upload("a.mp4", data, "video/mp4", model="openai-whisper-with-video")
    assert answer.json()["metadata"]["chargedDuration"] * 60 == pytest.approx(7.4, abs=0.2)


def test_format_checks_can_be_turned_off():
    """With check_formats=False only the decoder decides."""
    with Emulator(check_formats=False, processing_seconds=0) as nanogpt:
        assert Caller(nanogpt).upload("a.bin", wav(), "text/plain").status_code == 202


@pytest.mark.parametrize("extra", [0, 1, 200_000])
def test_the_upload_limit_is_exact(nanogpt, api, extra):
    """3,000,000 bytes are accepted, one more is a 413 that costs nothing."""
    answer = api.upload(data=b"ID3" + bytes(3_000_000 - 3 + extra))
    assert answer.status_code == (413 if extra else 202)
    assert len(nanogpt.charges) == (0 if extra else 1)


def test_the_url_limit(files):
    """A file behind a URL above the limit is a 413."""
    files["/a.wav"] = (200, "audio/wav", wav())
    with Emulator(max_url_bytes=1000) as nanogpt:
        assert Caller(nanogpt).url(files["url"] + "/a.wav").status_code == 413


@pytest.mark.parametrize("path", ["/missing.wav", "/page.wav", "/a.txt"])
def test_a_url_without_audio_is_a_400(ears, files, path):
    """A URL that answers an error, a page, or another kind of file is refused."""
    files["/page.wav"] = (200, "text/html", b"<html>")
    files["/a.txt"] = (200, "audio/wav", wav())
    assert ears.url(files["url"] + path).status_code == 400
    assert ears.nanogpt.charges == []


def test_a_url_nobody_answers_is_a_400(ears, files):
    """A refused connection to the file's server is the client's mistake."""
    answer = ears.url("http://127.0.0.1:9/a.wav")
    assert answer.status_code == 400
    assert "cannot be fetched" in answer.json()["error"]


def test_without_a_recogniser_a_job_fails_and_says_how_to_get_one(nanogpt, api):
    """No text is invented: the job fails, the reason names the extra, and the money comes back."""
    result = api.result(api.upload("quiet.wav", wav(), "audio/wav").json())
    assert result["status"] == "failed"
    assert "airflow-provider-nanostt[emulator]" in result["error"]
    assert nanogpt.charges[0].refunded == nanogpt.charges[0].cost


def test_without_a_recogniser_a_sync_model_is_a_500_and_free(nanogpt, api):
    """A synchronous submit is refused with the same reason before anything is charged."""
    answer = api.upload("quiet.wav", wav(), "audio/wav", model=SYNC)
    assert answer.status_code == 500
    assert "airflow-provider-nanostt[emulator]" in answer.json()["error"]
    assert nanogpt.charges == []


def test_without_a_decoder_only_plain_wav_is_heard():
    """Without PyAV an Ogg file's job fails with the reason, and the length the client told is charged."""
    with Emulator(decoder="none", processing_seconds=0) as nanogpt:
        api = Caller(nanogpt)
        ticket = api.upload(OFFICE.name, OFFICE.read_bytes(), "audio/ogg", actualDuration="0.5").json()
        assert ticket["chargedDuration"] == 0.5
        assert "PyAV is not installed" in api.result(ticket)["error"]
        quiet = api.result(api.upload("quiet.wav", wav(), "audio/wav").json())
        assert quiet["status"] == "completed"


async def test_a_recogniser_that_dies_fails_one_job_and_comes_back():
    """When the recogniser's process ends, what it listened to fails with that reason; the next is heard."""
    recogniser = Recogniser()
    try:
        assert await recogniser.words((TONE,)) == await recogniser.words((TONE,))
        process = recogniser._process
        waiting = asyncio.create_task(recogniser.words((NOTE_PCM,)))
        await asyncio.sleep(0.1)
        process.kill()
        with pytest.raises(RecogniserError, match="process ended"):
            await waiting
        assert len(await recogniser.words((OFFICE_PCM,))) > 20
    finally:
        recogniser.close()


async def test_a_recogniser_that_is_missing_or_closed_says_so():
    """Asked all the same, it raises with the reason and starts no process."""
    missing = Recogniser(enabled=False)
    with pytest.raises(RecogniserError, match="emulator"):
        await missing.words((TONE,))
    closed = Recogniser()
    closed.close()
    with pytest.raises(RecogniserError, match="stopping"):
        await closed.words((TONE,))
    assert closed._process is None
    missing.close()


async def test_a_job_the_recogniser_dies_on_fails_with_the_reason():
    """The death of the recogniser's process is the job's failure, which is refunded."""
    state = State(Settings(processing_seconds=0))
    account = state.account(state.api_key)
    workshop = Workshop(state)
    await workshop.recogniser.words((TONE,))
    asked = Submission(MODELS[ASYNC], "a.wav", "a.wav", 10, 60.0, False, False, None, Sound(60.0, (NOTE_PCM,)))
    job = workshop.start(account, asked)
    await asyncio.sleep(0.1)
    workshop.recogniser._process.kill()
    await asyncio.gather(*workshop._tasks)
    assert state.charges[0].refunded == state.charges[0].cost
    assert job.outcome == "failed"
    assert "process ended" in job.error
    await workshop.close()


async def test_closing_while_listening_leaves_no_process():
    """A recogniser closed in the middle of its work ends its process, fails the work, and starts no other."""
    recogniser = Recogniser()
    await recogniser.words((TONE,))
    process = recogniser._process
    waiting = asyncio.create_task(recogniser.words((NOTE_PCM, NOTE_PCM)))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(recogniser.close)
    with pytest.raises(RecogniserError):
        await waiting
    assert process.returncode is not None
    assert recogniser._process is None


def test_stopping_the_emulator_while_a_job_is_heard_ends_it_at_once():
    """Leaving the emulator does not wait for the recogniser."""
    with Emulator(processing_seconds=0) as nanogpt:
        ticket = Caller(nanogpt).upload(CALL.name, CALL.read_bytes(), "audio/wav").json()
        assert Caller(nanogpt).status(ticket).json()["status"] == "processing"
    assert nanogpt.jobs[0].status == "processing"


def test_the_worker_answers_on_its_streams():
    """The child's protocol: a length, the PCM, a line of words with times; long speech is cut at quiet places."""
    answers = io.BytesIO()
    pcm = OFFICE_PCM[: 2 * 16_000 * 7]
    recogniser_worker.serve(io.BytesIO(json.dumps({"bytes": len(pcm)}).encode() + b"\n" + pcm), answers)
    words = json.loads(answers.getvalue())["words"]
    assert word_errors((AUDIO / "closed-office.txt").read_text(), " ".join(word for word, _, _ in words)) <= 0.2
    assert all(0 <= start < end <= 7 for _, start, end in words)


def test_the_worker_passes_on_what_the_recogniser_complains_about():
    """An error of the recogniser is the answer, and the next request is served."""
    answers = io.BytesIO()

    class Deaf:
        def reinit_feat(self):
            raise RuntimeError("deaf")

    requests = b"".join(json.dumps({"bytes": len(TONE)}).encode() + b"\n" + TONE for _ in range(2))
    recogniser_worker.serve(io.BytesIO(requests), answers, Deaf())
    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [{"error": "deaf"}] * 2


def test_speech_is_cut_into_utterances():
    """Half a second of quiet ends an utterance, padding is kept around it, and 30 s are cut where it is quietest."""
    speech, quiet = [3000], [0]
    assert list(utterances(quiet * 100)) == []
    assert list(utterances(quiet * 50 + speech * 100 + quiet * 50 + speech * 10)) == [(40, 160), (190, 210)]
    long = speech * 1400 + [500] + speech * 1000
    assert list(utterances(long)) == [(0, 1410), (1390, 2401)]
