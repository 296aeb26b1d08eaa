"""What the tests of readers share: a reader that is not installed skips, but not in `make readers`."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


def reader(module: str) -> Any:
    """Return a module of a reader."""
    if os.environ.get("READERS"):
        return importlib.import_module(module)
    return pytest.importorskip(module, reason="only `make readers` has it")
