"""A folder in object storage from which the service fetches recordings that are put there for it.

The name of a staged file says which task put it there and until when it may be needed: its task removes it when the
transcript is there, and the next task to stage something removes what a killed one left behind. No other file in the
folder is touched.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_nanostt.api.errors import InvalidInput
from airflow_provider_nanostt.audio.inspect import signed_url
from airflow_provider_nanostt.audio.sources import LocalFile
from airflow_provider_nanostt.common import object_storage

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import ObjectStoragePath

log = logging.getLogger(__name__)

_NAME = re.compile(r"nanostt-(?P<owner>[0-9a-f]{12})-(?P<until>\d{10,12})-[0-9a-f]{16}\.[a-z0-9]{2,5}")


class Staging:
    """A staging folder as one owner sees it.

    :param uri: the folder, in an object storage that can sign addresses.
    :param owner: 12 hexadecimal digits, the same for every attempt of a task instance.
    :param clock: epoch seconds.
    """

    def __init__(self, uri: str, owner: str, clock: Callable[[], float] = time.time) -> None:
        self._folder: ObjectStoragePath = object_storage.resolve_folder(uri)
        self._owner = owner
        self._clock = clock

    def put(self, file: LocalFile, *, suffix: str, seconds: float) -> str:
        """Put a recording there and return the address at which the service can fetch it for so many seconds.

        The file's own name is not used: others may see the folder.

        :raises InvalidInput: if the storage may not be written, or cannot sign addresses for as long.
        :raises StorageUnavailable: if it cannot be written now.
        """
        until = int(self._clock() + seconds)
        path = self._folder / f"nanostt-{self._owner}-{until:010d}-{secrets.token_hex(8)}{suffix}"
        self.sweep()
        label = f"staging_path={str(self._folder)!r}"
        try:
            self._folder.fs.put_file(str(file.path), path.path)
            url = signed_url.presign(path, seconds)
            if url is None:
                raise InvalidInput("it cannot sign addresses; object storages such as s3://, gs:// and abfs:// can")
        except BaseException as error:
            self._remove(path)
            if isinstance(error, InvalidInput):
                raise InvalidInput(f"{label}: {error}") from error
            if not isinstance(error, Exception):
                raise
            raise object_storage.wrap_error(error, label, self._folder) from error
        return url

    def clear(self) -> None:
        """Remove the files of this owner; if that fails, a later sweep does it."""
        self._remove_where(lambda owner, _: owner == self._owner)

    def sweep(self) -> None:
        """Remove all staged files whose time is over."""
        self._remove_where(lambda _, until: until < self._clock())

    def _remove_where(self, condition: Callable[[str, int], bool]) -> None:
        try:
            names = object_storage.list_folder(self._folder)
        except Exception as error:  # noqa: BLE001  storages raise anything; the transcript is worth more
            log.warning("staging_path=%s cannot be listed (%s: %s)", self._folder, type(error).__name__, error)
            return
        for name in names:
            match = _NAME.fullmatch(name)
            if match and condition(match["owner"], int(match["until"])):
                self._remove(self._folder / name)

    def _remove(self, path: ObjectStoragePath) -> None:
        try:
            object_storage.remove(path)
        except Exception as error:  # noqa: BLE001
            log.warning(
                "Staged %s cannot be removed (%s: %s); a later sweep tries again", path, type(error).__name__, error
            )
