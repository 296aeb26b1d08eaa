"""The list of Airflow versions in ``requirements/airflow.txt``, read for the scripts that lock and test them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"


@dataclass(frozen=True, slots=True)
class AirflowVersion:
    """One line of the list: a version, the day whose package index it is resolved against, and its other words."""

    version: str
    date: str
    dev: bool
    s3: bool

    @property
    def lock(self) -> Path:
        """The compiled requirements of this version's test environment."""
        return REQUIREMENTS / f"airflow-{self.version}.lock"


NEWEST = "newest"
"""The word for the newest Airflow on the index today, pre-releases included; its lock is made anew each time."""


def read_versions() -> list[AirflowVersion]:
    """Return the versions in the order of the file."""
    lines = (REQUIREMENTS / "airflow.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [AirflowVersion(row[0], row[1], "dev" in row[2:], "s3" in row[2:]) for row in rows]
