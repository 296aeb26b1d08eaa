"""``nanostt emulator`` is ``nanostt-emulator`` by another name."""

from __future__ import annotations

import json
import sys

from tests.cli.conftest import PATIENCE_SECONDS, start, until


def test_it_is_the_emulator(tmp_path, nanostt, monkeypatch, folder, wav):
    """Its options are passed on, what it prints is a connection that works, and a signal ends it well."""
    ready = tmp_path / "ready.json"
    process = start("emulator", "--recogniser", "none", "--balance", "7", "--ready-file", ready)
    until(ready.exists)
    monkeypatch.setenv("AIRFLOW_CONN_NANOGPT_DEFAULT", json.dumps(json.loads(ready.read_text())["connection"]))
    assert "the account holds $7.00" in nanostt("doctor").out
    process.terminate()
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert out.startswith("NanoGPT emulator at http://127.0.0.1:")
    wrong = start("emulator", "--prot", "80")
    assert "nanostt-emulator: error: unrecognized arguments: --prot 80" in wrong.communicate()[1]
    assert wrong.returncode == 2


def test_without_its_extra_it_says_what_to_install(nanostt, monkeypatch):
    """And with what it would start all the same."""
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    done = nanostt("emulator", "--port", "0")
    assert done.code == 2
    assert "pip install 'airflow-provider-nanostt[emulator]'" in done.err
    assert "--recogniser none" in done.err
