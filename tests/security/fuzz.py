"""Mutated containers, answers, records and addresses by the thousand: ``make fuzz``.

Each kind runs in a process of its own. Counted are crashes of that process, inputs that take too long, errors that are
none of ours, and growth of memory; all of them must be 0. The same seed makes the same inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from airflow_provider_nanostt.api import errors

MAX_GROWTH_MB = 300
MAX_SECONDS = 60.0
"""Longer than any limit that an input could run into while it is read."""

Try = Callable[[bytes], object]
CONTAINERS = {
    "wav": ("wav", "pcm_s16le"), "w64": ("w64", "pcm_s16le"), "aiff": ("aiff", "pcm_s16be"),
    "mp3": ("mp3", "libmp3lame"), "adts": ("adts", "aac"), "m4a": ("ipod", "aac"), "mov": ("mov", "alac"),
    "ogg": ("ogg", "libopus"), "flac": ("flac", "flac"), "webm": ("webm", "libopus"),
    "matroska": ("matroska", "flac"), "mpegts": ("mpegts", "aac"),
    "mpeg": ("mpeg", "mp2"), "asf": ("asf", "wmav2"), "flv": ("flv", "aac"), "caf": ("caf", "pcm_s16be"),
    "amr": ("amr", "libopencore_amrnb"), "avi": ("avi", "pcm_s16le"), "au": ("au", "pcm_s16be"), "tta": ("tta", "tta"),
    "wavpack": ("wv", "wavpack"),
}  # fmt: skip
FRAGMENTED = {"fragmented m4a": ("mp4", "aac")}
ODD = [0, 1, 2, 0x7F, 0x80, 0xFF]


def mutated(seeds: list[bytes], chance: random.Random) -> bytes:
    """Change a few bytes, numbers or stretches of one of the seeds, most of them near its beginning."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 3, 8, 40))):
        reach = len(data) if chance.random() < 0.4 else min(len(data), 2000)
        at = chance.randrange(reach) if reach else 0
        what = chance.randrange(7)
        if what == 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif what == 1:
            data[at : at + 1] = bytes([chance.choice(ODD)])
        elif what == 2:
            width = chance.choice((2, 4, 8))
            number = chance.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 85_000_000, len(data), 2**63 - 1))
            data[at : at + width] = (number % 256**width).to_bytes(width, chance.choice(("big", "little")))
        elif what == 3:
            del data[at : at + chance.choice((1, 4, 16, 1000))]
        elif what == 4:
            data[at:at] = data[at : at + chance.choice((4, 16, 64, 1000))]
        elif what == 5:
            other = chance.choice(seeds)
            start = chance.randrange(len(other)) if other else 0
            data[at:at] = other[start : start + chance.choice((8, 64, 1000))]
        else:
            del data[at if chance.random() < 0.2 else len(data) :]
    return bytes(data)


def containers(name: str) -> tuple[list[bytes], Try]:
    """Probe a file, and make some of them anew."""
    from airflow_provider_nanostt.audio.inspect.probe import probe
    from airflow_provider_nanostt.audio.prepare.prepare import PrepareOptions, prepared_audio
    from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, UploadPlan
    from airflow_provider_nanostt.audio.sources import LocalFile
    from tests.audio.sounds import encoded, note

    spoken = note()[: 16_000 * 2]
    seeds = []
    if name in CONTAINERS:
        container, codec = CONTAINERS[name]
        rate = {"libopencore_amrnb": 8000, "libopus": 48_000, "wmav2": 44_100}.get(codec, 16_000)
        seeds = [encoded(spoken, codec, container, rate=rate, bit_rate=64_000 if codec == "wmav2" else None)]
    else:
        seeds = [_fragmented(spoken)]
    file, rules, count = Path(sys.argv[-1]) / "recording.bin", PreparationRules(), iter(range(10**9))

    def attempt(data: bytes) -> object:
        file.write_bytes(data)
        source = LocalFile(file)
        info = probe(source)
        if next(count) % 20 == 0:
            with prepared_audio(source, info, UploadPlan("compress"), PrepareOptions(rules)):
                pass
        return info

    return seeds, attempt


def _fragmented(spoken: object) -> bytes:
    import av

    from tests.audio.sounds import frames

    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}) as out:
        stream = out.add_stream("aac", rate=16_000, layout="mono")
        for frame in [*frames(spoken), None]:
            out.mux(stream.encode(frame))
    return file.getvalue()


def answers(_: str) -> tuple[list[bytes], Try]:
    """Read an answer of the service, as every call would."""
    from airflow_provider_nanostt.api import http, models, responses
    from airflow_provider_nanostt.api.models import Job

    job = Job("run-1", "Elevenlabs-STT", 1.0)
    submission = models.Options("Elevenlabs-STT").submission("https://files.example/a.mp3", 1.0)
    word = {"text": "Hi", "start": 0.1, "end": 0.4, "type": "word", "speaker_id": "speaker_0", "logprob": -0.1}
    bodies: list[object] = [
        {"runId": "run-1", "status": "pending", "cost": 0.01, "chargedDuration": 1.5, "paymentSource": "USD"},
        {"status": "completed", "transcription": "Hi there.", "words": [word] * 3, "diarization": {"segments": [word]}},
        {"status": "failed", "error": {"message": "no", "code": "bad_audio", "param": None}},
        {"usd_balance": "4.5", "nano_balance": "1", "nanoDepositAddress": "nano_1"},
        {"data": [{"id": "Wizper", "name": "Wizper", "pricing": {"per_minute": 0.01}}]},
        {
            "transcripts": [{"url": "u", "success": True, "title": "t", "transcript": "x"}],
            "summary": {"totalCost": 0.01},
        },
        {"totals": {"netCostUsd": 1.0, "requests": 5}},
    ]
    parsers = [
        lambda response: responses.submitted(response, submission),
        lambda response: responses.job_status(response.body, job),
        lambda response: responses.unread_status(response.body, job),
        lambda response: responses.unread_status(response.body + b" " * 10_000, job),
        responses.balance, responses.audio_models, responses.youtube, responses.usage,
    ]  # fmt: skip
    chance = random.Random(0)

    def attempt(data: bytes) -> None:
        headers = {"content-type": "application/json", "retry-after": data[:10].decode("latin-1")}
        for parse in parsers:
            call = http.Call(http.Request("POST", "/x"), parse, paid=chance.random() < 0.5)
            with contextlib.suppress(errors.NanoGPTError):
                http.read(call, http.Response(chance.choice((200, 200, 202, 400, 402, 429, 500)), headers, data, 1.0))

    return [json.dumps(body).encode() for body in bodies], attempt


def records(_: str) -> tuple[list[bytes], Try]:
    """Load a record and a checkpoint."""
    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.ledger import FileStore, Ledger, RecoveryRules, TaskIdentity, decide
    from airflow_provider_nanostt.ledger.record import total_spent
    from airflow_provider_nanostt.workflow.batch.manifest import Checkpoint

    folder, task = ObjectStoragePath(f"file://{sys.argv[-1]}"), TaskIdentity("d", "t", "r")
    record = {
        "version": 1, "state": "written", "fingerprint": "f" * 32, "source": "a.wav", "model": "Wizper", "cost": 0.1,
        "intended_at": 1.7e9, "written_at": 1.7e9, "job": {"run_id": "r", "model": "Wizper", "submitted_at": 1.0},
        "result": {"files": {"json": "/x/a.json"}, "cost_usd": 0.1}, "split_points": [1.0, 2.0],
        "history": [{"cost": 1}], "written": {"settings": "s", "files": {"json": {"name": "a", "size": 1, "md5": "y"}}},
        "forced": {"max_tries": 1}, "answer": {"transcription": "x"}, "owner": "o", "source_version": {"key": "k"},
    }  # fmt: skip
    row = {"number": 0, "audio": "a", "key": "k", "status": "waiting", "run_id": "r", "files": {}, "speakers": []}
    place = Path(sys.argv[-1]) / ".nanostt"
    place.mkdir(exist_ok=True)
    stem = task.file_name.removesuffix(".json")

    def attempt(data: bytes) -> None:
        (place / task.file_name).write_bytes(data)
        (place / f"{stem}.batch.jsonl").write_bytes(data)
        with contextlib.suppress(errors.NanoGPTError):
            found = Ledger(FileStore(folder, task.file_name)).load()
            if found is not None:
                assert total_spent(found, [], "o") >= 0
                found.describe()
                decide(found, "f" * 32, RecoveryRules())
        with contextlib.suppress(errors.NanoGPTError):
            Checkpoint(folder, task).load()

    seeds = [
        {**record, "state": state} for state in ("intended", "submitted", "answered", "written", "split", "withdrawn")
    ]
    return [json.dumps(one).encode() for one in [*seeds, {"row": row, "writing": {}}]], attempt


def addresses(_: str) -> tuple[list[bytes], Try]:
    """Show, redact and judge an address, and look for a video in it."""
    from airflow_provider_nanostt.audio.inspect.url_safety import unreachable_reason
    from airflow_provider_nanostt.common import urls
    from airflow_provider_nanostt.workflow.batch.youtube import video_id

    seeds = [
        "https://user:pass-word-1@files.example:8443/a%20b/c.mp3?X-Amz-Signature=abcdef0123456789&x=1#t",
        "https://www.youtube.com/watch?v=abcdefghijk&list=PL1", "https://youtu.be/abcdefghijk?t=5",
        "http://[2001:db8::1]:80/a?b=c", "http://0x7f.1/a", "s3://conn@bucket/key with space.wav", "file:///srv/a.wav",
        "{'u': 'https:\\/\\/h\\/p?sig=\\u0026abc', \"x\": \"https%3A%2F%2Fh%2F%3Fa%3Db\"}",
    ]  # fmt: skip

    def attempt(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        urls.redact(text), urls.display(text), urls.secret_parts(text), urls.identity_url(text), urls.escaped(text)
        for judge in (lambda: unreachable_reason(text, "https://nano-gpt.com"), lambda: video_id(text)):
            with contextlib.suppress(errors.NanoGPTError):
                judge()

    return [one.encode() for one in seeds], attempt


KINDS: dict[str, Callable[[str], tuple[list[bytes], Try]]] = {
    **dict.fromkeys([*CONTAINERS, *FRAGMENTED], containers),
    "answers": answers,
    "records": records,
    "addresses": addresses,
}


def peak_mb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_kind(name: str, count: int, seed: int) -> Counter[str]:
    """Run one kind here; what went wrong, by sort."""
    chance, found = random.Random(f"{seed} {name}"), Counter[str]()
    try:
        seeds, attempt = KINDS[name](name)
    except ValueError as error:  # this FFmpeg has no such encoder
        print(f"  {name}: {error}", file=sys.stderr)
        return Counter(skipped=1)
    attempt(seeds[0])
    before = peak_mb()
    for number in range(count):
        data, began = mutated(seeds, chance), time.monotonic()
        try:
            attempt(data)
        except errors.NanoGPTError as error:
            found["refused"] += 1
            found["children ended"] += "FFmpeg has crashed" in str(error)
        except Exception as error:  # noqa: BLE001  that is what is looked for
            found["untyped"] += 1
            print(f"  {name} {number}: {type(error).__name__}: {error}"[:300], file=sys.stderr)
        found["inputs"] += 1
        if time.monotonic() - began > MAX_SECONDS:
            found["hangs"] += 1
            print(f"  {name} {number}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        if peak_mb() > before + MAX_GROWTH_MB:
            found["growth"] += 1
            print(f"  {name} {number}: +{peak_mb() - before:.0f} MB", file=sys.stderr)
            before = peak_mb()
    return found


def all_kinds(names: list[str], count: int, seed: int) -> Iterator[tuple[str, Counter[str]]]:
    """Run kinds, each in a process of its own."""
    import tempfile

    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.security.fuzz", "--one", name, f"--count={count}", f"--seed={seed}"]
            done = subprocess.run([*command, folder], stdout=subprocess.PIPE, text=True, check=False)
        line = done.stdout.strip().rpartition("\n")[2]
        yield name, Counter(json.loads(line)) if done.returncode == 0 and line else Counter(crashes=1)


def main() -> None:
    """Run what was asked for; exit with 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all without any")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one_kind(given.one, given.count, given.seed)))
        return
    total, began = Counter[str](), time.monotonic()
    for name, found in all_kinds(given.kinds or list(KINDS), given.count, given.seed):
        total += found
        print(f"{name:16}", ", ".join(f"{word} {found[word]}" for word in sorted(found)), flush=True)
    faults = ("crashes", "growth", "hangs", "untyped")
    shown = ", ".join(f"{word} {total[word]}" for word in faults)
    print(f"{total['inputs']:,} inputs in {time.monotonic() - began:,.0f} s: {shown}; refused {total['refused']:,}, "
          f"children ended by an input {total['children ended']}")  # fmt: skip
    if any(total[word] for word in faults):
        sys.exit(1)


if __name__ == "__main__":
    main()
