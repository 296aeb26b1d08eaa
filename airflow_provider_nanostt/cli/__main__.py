"""The command as ``python -m airflow_provider_nanostt.cli``."""

from __future__ import annotations

import sys

from airflow_provider_nanostt.cli import main

if __name__ == "__main__":
    sys.exit(main())
