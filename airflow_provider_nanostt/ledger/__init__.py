"""What has been paid for: the record that an attempt leaves so that the next one need not pay again.

Written in two phases: an intent before a submit goes out, the ticket right after the answer. The record is found by
dag, task, run and map index, never by the try number, and a fingerprint of audio, model and options tells a changed
task from the same one. It lies beside the results on object storage, or in Airflow's task state; reading it fails
loudly and never degrades to "nothing recorded". What to do about a record is decided by :func:`decide`; talking to the
service happens elsewhere.
"""

from __future__ import annotations

from airflow_provider_nanostt.ledger.decision import (
    REATTACH,
    RESUME_PARTS,
    REUSE,
    SUBMIT,
    WRITE_ANSWER,
    Decision,
    RecoveryPolicy,
    decide,
)
from airflow_provider_nanostt.ledger.entry import (
    ANSWERED,
    FAILED,
    INTENDED,
    SPLIT,
    SUBMITTED,
    WITHDRAWN,
    WRITTEN,
    Entry,
    RequestFingerprint,
    TaskIdentity,
    fingerprint,
)
from airflow_provider_nanostt.ledger.ledger import Ledger
from airflow_provider_nanostt.ledger.stores import FOLDER, STATE_KEY, FileStore, MirroredStore, Store, TaskStateStore

__all__ = [
    "ANSWERED",
    "FAILED",
    "FOLDER",
    "INTENDED",
    "REATTACH",
    "RESUME_PARTS",
    "REUSE",
    "SPLIT",
    "STATE_KEY",
    "SUBMIT",
    "SUBMITTED",
    "WITHDRAWN",
    "WRITE_ANSWER",
    "WRITTEN",
    "Decision",
    "Entry",
    "FileStore",
    "Ledger",
    "MirroredStore",
    "RecoveryPolicy",
    "RequestFingerprint",
    "Store",
    "TaskIdentity",
    "TaskStateStore",
    "decide",
    "fingerprint",
]
