"""What differs between the supported Airflow versions, and nothing else: the only place that tries one import first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.configuration import conf
    from airflow.sdk import (
        Asset,
        AssetAlias,
        BaseHook,
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        Context,
        ObjectStoragePath,
        PokeReturnValue,
    )
    from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, determine_kwargs, task_decorator_factory
    from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
    from airflow.sdk.execution_time.context import NEVER_EXPIRE
    from airflow.sdk.execution_time.xcom import XCom
    from airflow.sdk.log import mask_secret
else:
    from airflow.configuration import conf

    try:
        from airflow.sdk import BaseHook
    except ImportError:  # before 3.1
        from airflow.hooks.base import BaseHook
    try:
        # From one place all of them: 3.0 has two classes BaseOperator, and its sensors know only this one.
        from airflow.sdk import BaseOperator, BaseSensorOperator, ObjectStoragePath, PokeReturnValue
    except ImportError:  # 2.11
        from airflow.io.path import ObjectStoragePath
        from airflow.models.baseoperator import BaseOperator
        from airflow.sensors.base import BaseSensorOperator, PokeReturnValue
    try:
        from airflow.sdk.execution_time.context import NEVER_EXPIRE
    except ImportError:  # before 3.3 there is no task state
        NEVER_EXPIRE = None
    try:
        from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
    except ImportError:  # before 3.2
        from airflow.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
    try:
        from airflow.sdk.log import mask_secret
    except ImportError:
        try:
            from airflow.sdk.execution_time.secrets_masker import mask_secret  # 3.0
        except ImportError:  # 2.11
            from airflow.utils.log.secrets_masker import mask_secret
    try:
        from airflow.sdk import Context
    except ImportError:
        from airflow.utils.context import Context


def __getattr__(name: str) -> Any:
    """Import what only some tasks need, when it is first asked for."""
    from importlib import import_module

    for module, attribute in _WHERE.get(name, ()):
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError):
            continue
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_WHERE = {
    "Asset": (("airflow.sdk", "Asset"), ("airflow.datasets", "Dataset")),
    "AssetAlias": (("airflow.sdk", "AssetAlias"), ("airflow.datasets", "DatasetAlias")),
    "BaseOperatorLink": (
        ("airflow.sdk", "BaseOperatorLink"),
        ("airflow.models.baseoperatorlink", "BaseOperatorLink"),
    ),
    "DecoratedOperator": (
        ("airflow.sdk.bases.decorator", "DecoratedOperator"),
        ("airflow.decorators.base", "DecoratedOperator"),
    ),
    "XCom": (("airflow.sdk.execution_time.xcom", "XCom"), ("airflow.models.xcom", "XCom")),
    "determine_kwargs": (
        ("airflow.sdk.bases.decorator", "determine_kwargs"),
        ("airflow.utils.operator_helpers", "determine_kwargs"),
    ),
    "task_decorator_factory": (
        ("airflow.sdk.bases.decorator", "task_decorator_factory"),
        ("airflow.decorators.base", "task_decorator_factory"),
    ),
}
"""Name: module and attribute, newest Airflow first."""

__all__ = [
    "NEVER_EXPIRE",
    "AirflowFailException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "Asset",
    "AssetAlias",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "Context",
    "DecoratedOperator",
    "ObjectStoragePath",
    "PokeReturnValue",
    "TaskDecorator",
    "XCom",
    "conf",
    "determine_kwargs",
    "mask_secret",
    "task_decorator_factory",
]
