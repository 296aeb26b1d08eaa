"""What has been paid for: the record that an attempt leaves so that the next one need not pay again.

Written in two phases: an intent before a submit goes out, the ticket right after the answer. The record is found by
dag, task, run and map index, never by the try number, and a fingerprint of audio, model and options tells a changed
task from the same one. It lies beside the results on object storage, or in Airflow's task state; reading it fails
loudly and never degrades to "nothing recorded". What to do about a record is decided by :func:`decide`; talking to the
service happens elsewhere.
"""

from __future__ import annotations

from airflow_provider_nanostt.ledger.book import Ledger
from airflow_provider_nanostt.ledger.entry import (
    ANSWERED,
    FAILED,
    INTENDED,
    LANDED,
    PARTED,
    SUBMITTED,
    WITHDRAWN,
    Entry,
    Identity,
    Wanted,
    fingerprint,
)
from airflow_provider_nanostt.ledger.rules import ATTACH, LAND, PARTS, RETURN, SUBMIT, Decision, Rules, decide
from airflow_provider_nanostt.ledger.stores import FOLDER, STATE_KEY, FileStore, MirroredStore, Store, TaskStateStore

__all__ = [
    "ANSWERED",
    "ATTACH",
    "FAILED",
    "FOLDER",
    "INTENDED",
    "LAND",
    "LANDED",
    "PARTED",
    "PARTS",
    "RETURN",
    "STATE_KEY",
    "SUBMIT",
    "SUBMITTED",
    "WITHDRAWN",
    "Decision",
    "Entry",
    "FileStore",
    "Identity",
    "Ledger",
    "MirroredStore",
    "Rules",
    "Store",
    "TaskStateStore",
    "Wanted",
    "decide",
    "fingerprint",
]
