"""What differs between the supported Airflow versions, and nothing else: the only place that tries one import first."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow import __version__ as _airflow_version
from airflow.configuration import conf as conf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Asset as Asset
    from airflow.sdk import AssetAlias as AssetAlias
    from airflow.sdk import AssetWatcher as AssetWatcher
    from airflow.sdk import BaseHook as BaseHook
    from airflow.sdk import BaseOperator as BaseOperator
    from airflow.sdk import BaseOperatorLink as BaseOperatorLink
    from airflow.sdk import BaseSensorOperator as BaseSensorOperator
    from airflow.sdk import Context as Context
    from airflow.sdk import ObjectStoragePath as ObjectStoragePath
    from airflow.sdk import PokeReturnValue as PokeReturnValue
    from airflow.sdk.bases.decorator import DecoratedOperator as DecoratedOperator
    from airflow.sdk.bases.decorator import TaskDecorator as TaskDecorator
    from airflow.sdk.bases.decorator import determine_kwargs as determine_kwargs
    from airflow.sdk.bases.decorator import task_decorator_factory as task_decorator_factory
    from airflow.sdk.exceptions import AirflowException as AirflowException
    from airflow.sdk.exceptions import AirflowFailException as AirflowFailException
    from airflow.sdk.exceptions import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.sdk.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.sdk.execution_time.xcom import XCom as XCom
    from airflow.sdk.io import attach as attach
    from airflow.sdk.log import mask_secret as mask_secret
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger


AIRFLOW = tuple(map(int, _airflow_version.split(".")[:2]))
"""The first two numbers of this Airflow's version."""

HAS_TABS = AIRFLOW >= (3, 1)
"""Whether plugins may add tabs to a task's page."""


def __getattr__(name: str) -> Any:
    """Import when it is first asked for what is in other modules, depending on the version."""
    for place in _PLACES.get(name, ()):
        module, _, other_name = place.partition(":")
        try:
            return getattr(import_module(module), other_name or name)
        except (ImportError, AttributeError):
            continue
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_PLACES = {
    "AirflowException": ("airflow.sdk.exceptions", "airflow.exceptions"),  # the former since 3.2
    "AirflowFailException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowSensorTimeout": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowSkipException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "Asset": ("airflow.sdk", "airflow.datasets:Dataset"),
    "AssetAlias": ("airflow.sdk", "airflow.datasets:DatasetAlias"),
    "AssetWatcher": ("airflow.sdk",),  # 3.0
    "BaseEventTrigger": ("airflow.triggers.base", "airflow.triggers.base:BaseTrigger"),
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),
    "BaseOperator": ("airflow.sdk", "airflow.models.baseoperator"),  # 3.0 has both; its sensors know the former only
    "BaseOperatorLink": ("airflow.sdk", "airflow.models.baseoperatorlink"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "CreateHITLDetailPayload": ("airflow.sdk.execution_time.comms",),  # 3.1
    "DecoratedOperator": ("airflow.sdk.bases.decorator", "airflow.decorators.base"),
    "HITLTrigger": ("airflow.providers.standard.triggers.hitl",),
    "NEVER_EXPIRE": ("airflow.sdk.execution_time.context",),  # 3.3
    "ObjectStoragePath": ("airflow.sdk", "airflow.io.path"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "TaskAwaitingInput": ("airflow.sdk.exceptions",),  # 3.3
    "XCom": ("airflow.sdk.execution_time.xcom", "airflow.models.xcom"),
    "attach": ("airflow.sdk.io", "airflow.io.store"),
    "determine_kwargs": ("airflow.sdk.bases.decorator", "airflow.utils.operator_helpers"),
    "mask_secret": (
        "airflow.sdk.log",
        "airflow.sdk.execution_time.secrets_masker",  # 3.0
        "airflow.utils.log.secrets_masker",  # 2.11
    ),
    "task_decorator_factory": ("airflow.sdk.bases.decorator", "airflow.decorators.base"),
}
"""Name: modules that may have it, newest Airflow first; after a colon, another name for it there."""


def can_ask_people() -> bool:
    """Whether this Airflow has Required actions, in which a task asks a person (3.1 and newer)."""
    if find("CreateHITLDetailPayload") is None:  # first: the standard provider refuses to be asked on Airflow 3.0
        return False
    return (find("TaskAwaitingInput") or find("HITLTrigger")) is not None


def find(name: str) -> Any:
    """Return what only some versions have; None on the others."""
    return getattr(sys.modules[__name__], name, None)


NEVER_EXPIRE: Any = find("NEVER_EXPIRE")
"""How long the task state keeps what is to be kept; None before 3.3, which has none."""


def ask_person(instance: Any, *, subject: str, body: str, options: Sequence[str], users: Sequence[Any]) -> bool:
    """Put a question into Airflow's Required actions; return whether it is this one that a person sees there.

    Before 3.4 Airflow keeps the text that the task instance asked first, also for later tries (apache/airflow#73235).

    :param users: (id, name) of those who may answer; none for all.
    """
    payload = find("CreateHITLDetailPayload")(
        ti_id=instance.id,
        options=list(options),
        subject=subject,
        body=body,
        params={},
        assigned_users=[{"id": one, "name": name} for one, name in users],
    )
    supervisor = import_module("airflow.sdk.execution_time.task_runner").SUPERVISOR_COMMS  # is there while a task runs
    shown = supervisor.send(msg=payload)
    return (getattr(shown, "subject", None), getattr(shown, "body", None)) == (subject, body)


def wait_for_person(operator: Any, instance: Any, *, method: str, options: Sequence[str], seconds: float | None) -> Any:
    """Leave the task until a person has answered, without a slot; before 3.3 a trigger looks for the answer.

    :param method: of the operator, to go on with.
    :param seconds: for which to wait; None for as long as it takes.
    """
    timeout = None if seconds is None else timedelta(seconds=seconds)
    awaiting = find("TaskAwaitingInput")
    if awaiting is not None:
        raise awaiting(method_name=method, timeout=timeout)
    until = None if timeout is None else datetime.now(UTC) + timeout
    trigger = find("HITLTrigger")(ti_id=instance.id, options=list(options), params={}, timeout_datetime=until)
    operator.defer(trigger=trigger, method_name=method)


def without_loggers(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of an object of Airflow's without its logger, which cannot be pickled since 3.1.

    It is made anew when it is asked for.
    """
    return {name: value for name, value in state.items() if name not in ("_log", "_cached_logger")}
