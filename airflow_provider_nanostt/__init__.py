"""The provider's version and what it tells Airflow about itself.

Airflow imports this module while it is still starting, so it may import neither Airflow nor anything else of this
package: only constants and :func:`get_provider_info` live here.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata, in the shape of ``airflow/provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-nanostt",
        "name": "NanoGPT speech-to-text",
        "description": "Speech-to-text as an ordinary task, through the NanoGPT API.",
        "versions": [__version__],
    }
