"""What has been paid for: the record that an attempt leaves so that the next one need not pay again.

Written in two phases: an intent before a submit is sent, the job right after the answer. The record is found by dag,
task, run and map index, never by the try number, and a fingerprint of recording, model and options distinguishes
a changed task from the same one. Reading it fails loudly and never degrades to "nothing recorded". What to do about a
record is decided by :func:`decide`; talking to the service happens elsewhere.
"""

from __future__ import annotations

from airflow_provider_nanostt.ledger.claim import Claim, holding
from airflow_provider_nanostt.ledger.decision import RecoveryRules, decide
from airflow_provider_nanostt.ledger.ledger import Ledger, keep_recording
from airflow_provider_nanostt.ledger.record import Record, RequestFingerprint
from airflow_provider_nanostt.ledger.stores import FOLDER, FileStore, MirroredStore, Store, TaskStateStore
from airflow_provider_nanostt.ledger.task_identity import TaskIdentity

__all__ = [
    "FOLDER",
    "Claim",
    "FileStore",
    "Ledger",
    "MirroredStore",
    "Record",
    "RecoveryRules",
    "RequestFingerprint",
    "Store",
    "TaskIdentity",
    "TaskStateStore",
    "decide",
    "holding",
    "keep_recording",
]
