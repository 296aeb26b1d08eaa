"""Puts the example DAGs, which are written in ``example_dags/``, into the wheel, as a folder of the package.

An editable install gets no copy, which would grow old: there the examples are in the checkout.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ExampleDags(BuildHookInterface[Any]):
    """Airflow 3.3 and newer finds a provider's ``example_dags`` by itself; older ones are given its path."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder to a wheel for users; ``version`` says which kind of wheel is built."""
        if version == "standard":
            build_data["force_include"]["example_dags"] = "airflow_provider_nanostt/example_dags"
