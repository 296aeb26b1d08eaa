"""The table files of a batch run, made so that those of many runs are one data set: which recording is in which file.

A recording's record names, for each table, the file that has its rows. A run writes one file for each table, at its
end, with what no other file has; a later try of the same run writes that file anew, and nobody writes another run's. A
marker says that a run may have named its file for rows that are not in it yet. What is marked for longer than the run
can take, or whose file is gone, is taken over by the run that finds it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.api.body import decode_object
from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.common.listing import names_below
from airflow_provider_nanostt.common.numbers import amount
from airflow_provider_nanostt.common.parsing import LONGEST_SECONDS
from airflow_provider_nanostt.ledger import FOLDER
from airflow_provider_nanostt.outputs import from_document
from airflow_provider_nanostt.outputs.table_files import read_keys, write_table
from airflow_provider_nanostt.outputs.tables import TABLES
from airflow_provider_nanostt.workflow.batch.manifest_row import SKIPPED, WRITTEN
from airflow_provider_nanostt.workflow.batch.workers import FIRST_WIDTH, in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_nanostt._compat import ObjectStoragePath
    from airflow_provider_nanostt.api.models import Transcript
    from airflow_provider_nanostt.ledger import TaskIdentity
    from airflow_provider_nanostt.outputs import ChunkRules
    from airflow_provider_nanostt.outputs.table_files import TableFile
    from airflow_provider_nanostt.workflow.attempt import Attempt, Log
    from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow

_MARKERS = "tables"
_MARGIN_SECONDS = 3600.0
"""For which a run may be at work after its deadline: it fetches and writes what it has waited for."""

_MAX_MARKER_BYTES = 4096


class BatchTables:
    """The table files of one run; of a run without tables nothing happens.

    :param folder: of the results; each table has a folder in it, with one for each day.
    :param names: of the tables.
    :param day: the run's, as in ``2026-11-26``.
    :param rules: of the chunks.
    """

    def __init__(
        self,
        folder: ObjectStoragePath,
        names: Sequence[str],
        task: TaskIdentity,
        *,
        day: str,
        rules: ChunkRules,
        log: Log,
    ) -> None:
        stem = f"batch-{task.file_name.removesuffix('.json')}"  # a leading _ or . would hide it from readers
        self.files = {name: f"day={day}/{stem}.{TABLES[name]}" for name in names}
        self._folder = folder
        self._rules = rules
        self._log = log
        self._marker = folder / FOLDER / _MARKERS / f"{stem}.json"
        self._opened: dict[str, tuple[BinaryIO, TableFile]] = {}
        self._added: set[tuple[str, int]] = set()

    def begin(self, until: float) -> None:
        """Say that this run names its files in records from now on; ``until``, epoch seconds, it waits for its jobs.

        :raises StorageUnavailable: if that cannot be written; nothing has been paid for then.
        """
        if self.files:
            try:
                object_storage.write(self._marker, json.dumps({"until": until + _MARGIN_SECONDS}).encode())
            except Exception as error:
                raise object_storage.wrap_error(error, "The tables cannot be written", self._marker) from error

    def collect(self, row: ManifestRow, transcript: Transcript, known: Mapping[str, str]) -> Mapping[str, str]:
        """Take in the rows of a transcript that has just been written.

        :param known: by table, the files that its record names.
        :return: the same, with this run's files where it names none.
        """
        named = {name: known.get(name, own) for name, own in self.files.items()}
        try:
            self._add(row, transcript, [name for name, own in self.files.items() if named[name] == own])
        except Exception as error:  # noqa: BLE001  the transcript is written, and its rows can be had from its file
            self._log.warning(
                "Rows for the tables are made at the end, from the files: %s", errors.describe_exception(error)
            )
            self._opened.clear()
            self._added.clear()
        return named

    def assign(
        self, rows: list[ManifestRow], open_items: Callable[[Iterable[int]], Iterator[Attempt]]
    ) -> dict[str, list[int]]:
        """Return which recordings belong into each of this run's files, by number; what is taken over is recorded.

        :param rows: of all items; those that are taken over are replaced.
        :param open_items: opens items by number, for their records.
        :raises LedgerError: if it cannot be recorded.
        :raises StorageUnavailable: if it cannot be seen what other files have.
        """
        others = _OtherFiles(self._folder)
        ours: dict[str, list[int]] = {name: [] for name in self.files}
        taken: dict[int, dict[str, str]] = {}
        for row in rows if self.files else ():
            if row.status not in (WRITTEN, SKIPPED) or "json" not in row.files:
                continue
            for name, own in self.files.items():
                file = row.tables.get(name)
                if file != own:
                    if file is not None and others.have(name, file, row):
                        continue
                    taken.setdefault(row.number, {})[name] = own
                ours[name].append(row.number)
        _record(taken, list(open_items(taken)))
        for number, names in taken.items():
            rows[number] = replace(rows[number], tables={**rows[number].tables, **names})
        return ours

    def write(self, rows: Sequence[ManifestRow], ours: Mapping[str, Sequence[int]]) -> dict[str, str]:
        """Write the files, each whole or not at all; recordings that earlier tries had listed stay in them.

        :param ours: by table, the numbers of the recordings.
        :return: the URIs, by table; none of a table that has nothing of this run.
        :raises StorageUnavailable: if one cannot be written; a retry writes it without paying again.
        """
        wanted = {name: set(numbers) for name, numbers in ours.items() if numbers}
        path = self._folder
        try:
            for number in sorted(set().union(*wanted.values())):
                missing = [name for name in wanted if number in wanted[name] and (name, number) not in self._added]
                if missing:
                    self._add(rows[number], _written_transcript(rows[number]), missing)
            written = {}
            for name, numbers in wanted.items():
                path = self._folder / name / self.files[name]
                self._put(name, path, [rows[number].audio for number in numbers])
                written[name] = str(path)
            if self.files:
                object_storage.remove(self._marker)
        except (OSError, ValueError) as error:
            raise object_storage.wrap_error(error, "The tables cannot be written", path) from error
        return written

    def _add(self, row: ManifestRow, transcript: Transcript, names: Sequence[str]) -> None:
        for name in names:
            self._file(name)[1].add(transcript, row.audio)
            self._added.add((name, row.number))

    def _file(self, name: str) -> tuple[BinaryIO, TableFile]:
        """Return the file that a table is collected in, which has no name and is gone with the process."""
        if name not in self._opened:
            file = cast("BinaryIO", tempfile.TemporaryFile(prefix="nanostt-"))  # noqa: SIM115  see above
            self._opened[name] = file, write_table(name, file, self._rules)
        return self._opened[name]

    def _put(self, name: str, path: ObjectStoragePath, sources: Sequence[str]) -> None:
        """Write a file; of the one that an earlier try has written, the rows of other recordings stay."""
        file, rows = self._file(name)
        if object_storage.file_info(path) is not None:
            try:
                with object_storage.reading(path) as old:
                    rows.keep(old, sources)
            except ValueError as error:
                self._log.warning("%s is damaged, and written anew: %s", path, errors.describe_exception(error))
        rows.close()
        file.seek(0)
        with object_storage.writing(path) as target:
            shutil.copyfileobj(file, target)


class _OtherFiles:
    """What the files of other runs have, asked for once."""

    def __init__(self, folder: ObjectStoragePath) -> None:
        self._folder = folder
        self._names: dict[str, set[str]] = {}
        self._keys: dict[tuple[str, str], Mapping[str, Collection[str | None]]] = {}
        self._markers: Collection[str] | None = None
        self._at_work: dict[str, float] = {}

    def have(self, table: str, file: str, row: ManifestRow) -> bool:
        """Whether a file has a recording, or will have it when the run that writes it ends.

        :raises StorageUnavailable: if that cannot be seen.
        """
        try:
            if table not in self._names:
                self._names[table] = names_below(self._folder / table)
            is_there = file in self._names[table]
            until = self._at_work_until(PurePosixPath(file).stem)
            if until is None:
                return is_there
            return until > time.time() or (is_there and self._has_rows(table, file, row))
        except OSError as error:
            problem = "It cannot be seen what the tables have"
            raise object_storage.wrap_error(error, problem, self._folder / table) from error

    def _at_work_until(self, stem: str) -> float | None:
        """Return until when a run may be at work, by the stem of its files; None if it has come to its end."""
        markers, name = self._folder / FOLDER / _MARKERS, f"{stem}.json"
        if self._markers is None:
            self._markers = object_storage.list_folder(markers)
        if name not in self._markers:
            return None
        if stem not in self._at_work:
            self._at_work[stem] = _read_marker(markers / name)
        return self._at_work[stem]

    def _has_rows(self, table: str, file: str, row: ManifestRow) -> bool:
        """Look into a file whose run did not come to its end."""
        if (table, file) not in self._keys:
            path = self._folder / table / file
            try:
                with object_storage.reading(path) as opened:
                    self._keys[table, file] = read_keys(table, opened)
            except ValueError:  # it is damaged
                self._keys[table, file] = {}
        run_ids = self._keys[table, file].get(row.audio, ())
        return row.run_id in run_ids or (row.run_id is None and bool(run_ids))


def _read_marker(path: ObjectStoragePath) -> float:
    """Return until when a run may be at work, epoch seconds; 0 if that cannot be read, or be true."""
    try:
        data = decode_object(object_storage.read(path, at_most=_MAX_MARKER_BYTES) or b"")
    except ValueError:
        return 0.0
    until = amount(data.get("until")) or 0.0
    return until if until <= time.time() + LONGEST_SECONDS + _MARGIN_SECONDS else 0.0


def _written_transcript(row: ManifestRow) -> Transcript:
    """Read a transcript from its JSON file.

    :raises StorageUnavailable: if that is gone, or something else.
    """
    uri = row.files["json"]
    data = object_storage.read(object_storage.resolve(uri))
    try:
        return from_document(json.loads(data or b""))
    except (ValueError, RecursionError, errors.InvalidInput) as error:
        raise errors.StorageUnavailable(
            f"{uri} is no transcript any more ({errors.describe_exception(error)}), and the tables need it. A retry "
            "writes it again, and pays nothing"
        ) from error


def _record(taken: Mapping[int, Mapping[str, str]], attempts: Sequence[Attempt]) -> None:
    """Record that this run's files have recordings that others have written, or wrote before there were tables."""

    def record(attempt: Attempt) -> None:
        attempt.ledger.load()
        attempt.ledger.record_tables(taken[attempt.number])

    in_threads(record, attempts, lambda: FIRST_WIDTH, lambda: None)
