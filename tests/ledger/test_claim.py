"""Whether the sender of an intent may still be at work: what tells another's submit from one that is over."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from airflow_provider_nanostt.ledger import Claim, holding


def test_a_claim_is_open_as_long_as_it_is_held():
    """In the process that made it, whatever its time says."""
    with holding("calls.transcribe", 60.0) as claim:
        assert claim.is_open(time.time())
    assert not claim.is_open(time.time())


def test_a_claim_is_over_when_its_time_has_passed():
    """Then its request is certainly not on its way any more, wherever it was sent from."""
    with holding("calls.transcribe", 60.0) as claim:
        assert not claim.is_open(claim.until + 1)


def test_another_machine_is_believed_until_then():
    """Nobody can see whether a process of another machine is still there."""
    with holding("calls.transcribe", 60.0) as claim:
        elsewhere = replace(claim, machine="another-host 1 2", process=2_000_000)
    assert elsewhere.is_open(time.time())
    assert not elsewhere.is_open(elsewhere.until + 1)


def test_a_process_of_this_machine_that_is_gone_sends_nothing():
    """Alive it may; killed, or with its number given to another, it may not."""
    code = (
        "import json, time\nfrom airflow_provider_nanostt.ledger import holding\n"
        "with holding('calls.transcribe', 60.0) as claim:\n    print(json.dumps(claim.to_json()), flush=True)\n"
        "    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        data = json.loads(process.stdout.readline())
        claim = Claim.from_json(data, at=time.time())
        assert claim is not None
        assert claim.is_open(time.time())
        assert not replace(claim, started=claim.started - 3600).is_open(time.time())
        process.kill()
        process.wait()
    assert not claim.is_open(time.time())


@pytest.mark.parametrize(
    "changes",
    [
        {"until": None},
        {"until": "soon"},
        {"until": 1e18},
        {"until": float("nan")},
        {"process": 0},
        {"process": -1},
        {"process": 2**40},
        {"process": "x"},
        {"started": None},
        {"token": ""},
        {"holder": 7},
        {"machine": "a" * 10_000},
        {"machine": None},
    ],
)
def test_a_claim_that_cannot_be_is_none(changes):
    """Others may write into the folder; a claim for ever would hide a recording for ever."""
    with holding("calls.transcribe", 60.0) as claim:
        data = claim.to_json()
    assert Claim.from_json(data, at=time.time()) == claim
    assert Claim.from_json({**data, **changes}, at=time.time()) is None
    assert Claim.from_json([], at=time.time()) is None
