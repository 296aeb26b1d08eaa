"""The provider's version and what it tells Airflow about itself.

Airflow imports this module while it is still starting, so it may import neither Airflow nor anything else of this
package: only constants and :func:`get_provider_info` live here.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

TAB_ROUTE = "nanostt-transcript"
"""The last part of the address of the tab *Transcript* on a task's page, which the plugin and the link share."""

_CONNECTION_FORM: dict[str, Any] = {
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "login", "port"],
        "relabeling": {"password": "API key", "host": "Base URL"},
        "placeholders": {"host": "https://nano-gpt.com/api", "password": "sk-nano-…"},
    },
    "conn-fields": {
        "timeout": {
            "label": "Timeout",
            "description": "Seconds a submit may take. Synchronous models answer when they are done. Default 300.",
            "schema": {"type": ["number", "null"], "minimum": 1},
        },
        "requests_per_second": {
            "label": "Requests per second",
            "description": "This deployment's share of the service's 25 requests per second and key. Default 20.",
            "schema": {"type": ["number", "null"], "minimum": 0.1, "maximum": 25},
        },
        "allow_insecure_http": {
            "label": "Allow insecure HTTP",
            "description": "Permit http:// to hosts other than this machine. The API key would travel unencrypted.",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
        "allow_private_addresses": {
            "label": "Allow private addresses",
            "description": "Read recordings at web addresses inside the network, to tell how long they are.",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
        "prices": {
            "label": "Prices",
            "description": 'JSON: USD per minute by model, like {"Wizper": 0.01}, where the catalogue is silent.',
            "schema": {"type": ["string", "object", "null"]},
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata, in the shape of ``airflow/provider_info.schema.json``."""
    package = "airflow_provider_nanostt"
    integration = "NanoGPT"
    return {
        "package-name": "airflow-provider-nanostt",
        "name": "NanoGPT speech-to-text",
        "description": "Speech-to-text as an ordinary task, through the NanoGPT API.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://docs.nano-gpt.com/api-reference/speech-to-text",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "nanogpt",
                "hook-class-name": f"{package}.hooks.NanoGPTHook",
                "hook-name": "NanoGPT",
                **_CONNECTION_FORM,
            }
        ],
        **{
            kind: [{"integration-name": integration, "python-modules": [f"{package}.{kind}"]}]
            for kind in ("hooks", "operators", "sensors", "triggers")
        },
        "extra-links": [f"{package}.links.TranscriptLink"],
        "plugins": [{"name": "nanostt", "plugin-class": f"{package}.web.plugin.NanoSTTPlugin"}],
        "task-decorators": [{"name": "transcribe", "class-name": f"{package}.decorators.transcribe_task"}],
    }
