"""The page of inputs says what is so: its tables are tried, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect.probe import probe
from airflow_provider_nanostt.audio.prepare.upload_plan import PreparationRules, plan_upload
from airflow_provider_nanostt.audio.sources import LocalFile
from airflow_provider_nanostt.workflow.batch import expand
from airflow_provider_nanostt.workflow.batch.youtube import video_id
from tests.audio.sounds import encoded, note

PAGE = (Path(__file__).parents[1] / "docs" / "inputs.md").read_text(encoding="utf-8")
FOUND = {"that recording": 1, "the first of them only": 1, "both of them": 2, "what is in that folder": 1}
FOUND["the recording that the pattern finds"] = 1


def rows(title: str) -> list[list[str]]:
    """Return the cells of a section's table."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("row", rows("Names of recordings"), ids=str)
def test_a_name_is_what_the_page_says(row, tmp_path: Path):
    """The folder of the row is made, and the argument looked for in it."""
    names, (audio,), meaning = re.findall("`([^`]+)`", row[0]), re.findall("`([^`]+)`", row[1]), row[2]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [item for item in expand(f"{tmp_path}/{audio}") if item.problem is None]
    assert len(found) == FOUND.get(meaning, 0)
    if meaning in ("that recording", "the first of them only"):
        assert found[0].audio == f"{tmp_path}/{audio}"
    if not found:
        assert "`no_match`" in meaning


@pytest.mark.parametrize("row", rows("Addresses of videos"), ids=str)
def test_an_address_is_what_the_page_says(row):
    """Its id, or the reason why it is refused."""
    address, meaning = row[0].strip("`"), row[1]
    if meaning.startswith("refused: "):
        with pytest.raises(InvalidInput, match=meaning.removeprefix("refused: ")):
            video_id(address)
    else:
        assert video_id(address) == meaning.strip("`")


@pytest.mark.parametrize("row", rows("Recordings"), ids=str)
def test_a_recording_is_submitted_as_the_page_says(row, tmp_path: Path):
    """Ten seconds of speech in each codec and container."""
    codec, container, method = (cell.strip("`") for cell in row)
    rate = 48_000 if "opus" in codec or "ac3" in codec else 44_100 if codec == "libmp3lame" else 16_000
    file = tmp_path / "recording.bin"
    file.write_bytes(encoded(note(), codec, container, rate=rate))
    source = LocalFile(file)
    plan = plan_upload(source, probe(source), model="Wizper", diarize=False, preparation=PreparationRules())
    assert plan.method == method
