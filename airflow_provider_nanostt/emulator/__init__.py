"""A local NanoGPT: demos, tests and your own CI talk to it instead of the paid service.

It behaves as the service is documented to, keeps a ledger of what it would have charged, plays scripted faults, and
really transcribes when the extra ``[emulator]`` is installed. It imports nothing from the rest of this package, so that
it cannot share a mistake with the client it is there to test.
"""

from __future__ import annotations

from airflow_provider_nanostt.emulator.control import ControlError, EmulatorControl
from airflow_provider_nanostt.emulator.faults import Fault
from airflow_provider_nanostt.emulator.records import Charge, JobRecord, RequestRecord
from airflow_provider_nanostt.emulator.running import Emulator
from airflow_provider_nanostt.emulator.settings import MODELS, Books, Model, Settings, Timing
from airflow_provider_nanostt.emulator.transcript import Script, Transcript, Word

__all__ = [
    "MODELS",
    "Books",
    "Charge",
    "ControlError",
    "Emulator",
    "EmulatorControl",
    "Fault",
    "JobRecord",
    "Model",
    "RequestRecord",
    "Script",
    "Settings",
    "Timing",
    "Transcript",
    "Word",
]
