"""What the package tells Airflow about itself."""

from __future__ import annotations

import importlib
import importlib.resources
import json
from importlib.metadata import distribution, entry_points

import jsonschema
import pytest

from airflow_provider_nanostt import __version__, get_provider_info


def airflow_schema(name: str) -> dict:
    found = importlib.resources.files("airflow") / name
    return json.loads(found.read_text())


def test_the_metadata_is_valid_for_this_airflow():
    """Airflow's own schema accepts what the entry point returns."""
    jsonschema.validate(get_provider_info(), airflow_schema("provider_info.schema.json"))


def test_the_connection_form_is_valid_for_airflow_that_reads_it_from_metadata():
    """Field definitions have the shape of the provider schema, where this Airflow has one."""
    try:
        schema = airflow_schema("provider.yaml.schema.json")
    except FileNotFoundError:
        pytest.skip("this Airflow ships no schema of the connection form")
    shape = schema["properties"]["connection-types"]
    if "conn-fields" not in shape["items"]["properties"]:
        pytest.skip("this Airflow does not read the form from metadata")
    jsonschema.validate(get_provider_info()["connection-types"], shape)


def test_the_package_name_is_the_distribution():
    """Airflow refuses to start when the two differ."""
    assert get_provider_info()["package-name"] == distribution("airflow-provider-nanostt").metadata["Name"]
    assert get_provider_info()["versions"] == [__version__]
    assert distribution("airflow-provider-nanostt").version == __version__


def test_the_entry_point_is_found():
    """Airflow finds the provider through its entry point group."""
    (entry,) = (
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.value.startswith("airflow_provider_nanostt")
    )
    assert entry.load() is get_provider_info


def test_everything_named_can_be_imported():
    """Every module and class in the metadata exists."""
    info = get_provider_info()
    modules = [
        name
        for kind in ("hooks", "operators", "sensors", "triggers")
        for entry in info.get(kind, [])
        for name in entry["python-modules"]
    ]
    assert modules
    for name in modules:
        importlib.import_module(name)
    for connection in info["connection-types"]:
        module, _, cls = connection["hook-class-name"].rpartition(".")
        hook = getattr(importlib.import_module(module), cls)
        assert hook.conn_type == connection["connection-type"]
        assert hook.hook_name == connection["hook-name"]


def test_airflow_lists_the_provider():
    """The providers manager of this Airflow knows the provider and its connection type."""
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert "airflow-provider-nanostt" in manager.providers
    hook = manager.hooks["nanogpt"]
    assert hook is not None
    assert hook.connection_type == "nanogpt"


def test_the_form_reaches_the_providers_manager():
    """This Airflow would show the key as the password, under its own name, wherever it supports custom forms."""
    from airflow.providers_manager import ProvidersManager

    behaviour = ProvidersManager().field_behaviours
    if "nanogpt" not in behaviour:
        pytest.skip("this Airflow shows no custom forms without the FAB interface")
    assert behaviour["nanogpt"]["relabeling"]["password"] == "API key"
    assert set(behaviour["nanogpt"]["hidden_fields"]) == {"schema", "login", "port"}
