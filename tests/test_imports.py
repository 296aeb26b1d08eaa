"""What importing costs, and what may not be imported while DAGs are parsed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("requests", "aiohttp", "tenacity", "av", "tinytag", "urllib3", "pocketsphinx")

PROBE = """
import importlib, sys
try:
    import airflow.sdk
except ImportError:
    import airflow.models.baseoperator
before = set(sys.modules)
importlib.import_module({module!r})
print(*sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in {heavy!r}))
"""


@pytest.mark.parametrize(
    "module",
    ["airflow_provider_nanostt", "airflow_provider_nanostt.operators", "airflow_provider_nanostt.triggers"],
)
def test_parsing_a_dag_imports_nothing_heavy(module):
    """A DAG file that uses the operators loads none of the libraries that only a running task needs."""
    probe = PROBE.format(module=module, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_sound_is_worked_on_without_airflow():
    """Airflow's hundred megabytes are not needed to tell, compress or split a recording."""
    modules = ["audio", *(f"audio.{name}" for name in ("duration", "making", "plans", "remote", "split", "transcode"))]
    imports = ", ".join(f"airflow_provider_nanostt.{name}" for name in modules)
    probe = f"import sys, {imports}; print('airflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_root_module_imports_no_airflow():
    """Airflow reads the metadata while it is still starting, so that module may not ask for Airflow."""
    probe = "import sys, airflow_provider_nanostt as p; p.get_provider_info(); print('airflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
