"""A real object store for tests, on this machine, behind the Airflow connection ``store``.

``STORE`` says which: ``s3``, which is SeaweedFS and what ``make test`` takes, ``gs``, ``abfs``, or ``file``, a folder.
"""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from local_clouds import STORES
from local_store import LocalBucket, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORE = os.environ.get("STORE", "s3")
# gcsfs, when it is imported: else it asks by gRPC what kind of bucket it is, which fake-gcs-server cannot answer.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
NEEDS = {
    "s3": ("airflow.providers.amazon", "s3fs"),
    "gs": ("airflow.providers.google", "gcsfs"),
    "abfs": ("airflow.providers.microsoft.azure", "adlfs"),
}


@dataclass(frozen=True)
class Shelf:
    """A place in the bucket that belongs to one test.

    :param root: where that is, as a user writes it.
    """

    server: LocalBucket | None
    root: str
    name: str

    @property
    def uri(self) -> str:
        """Where it is, as a user writes it."""
        return f"{self.root}/{self.name}"

    @property
    def store(self) -> Any:
        """The server; a test that needs one is skipped where a disk stands in its place."""
        return self.server or pytest.skip("a disk has no server")

    @property
    def url(self) -> str:
        """Where the web has it; a test that needs that is skipped on a disk."""
        return f"{self.store.bucket_url}/{self.name}"

    @property
    def fs(self) -> Any:
        """The file system that Airflow makes from the connection."""
        return self.at("").fs

    def only(self, *schemes: str) -> None:
        """Skip a test about what only some stores have."""
        if STORE not in schemes:
            pytest.skip(f"{STORE} has no such thing")

    def at(self, key: str) -> Any:
        """An object in it."""
        from airflow_provider_nanostt._compat import ObjectStoragePath

        return ObjectStoragePath(f"{self.uri}/{key}")

    def put(self, key: str, data: bytes) -> str:
        """Put an object there, and return its URI."""
        self.fs.pipe_file(self.path(key), data)
        return f"{self.uri}/{key}"

    def read(self, key: str) -> bytes:
        """What is there."""
        return bytes(self.fs.cat_file(self.path(key)))

    def path(self, key: str) -> str:
        """An object's name for the file system, whose folder is made on a disk."""
        if self.server is None:
            self.at(key).parent.mkdir(parents=True, exist_ok=True)
        return str(self.at(key).path)

    def keys(self, folder: str = "") -> list[str]:
        """The keys of all objects below a folder."""
        self.fs.invalidate_cache()
        top = str(self.at("").path).rstrip("/")
        found = (key.removeprefix(f"{top}/") for key in self.fs.find(top))
        return sorted(key for key in found if key.startswith(f"{folder}/" if folder else ""))


@pytest.fixture(scope="session")
def object_store() -> Iterator[LocalBucket]:
    """The server, once for all tests; skipped where it is not installed."""
    if STORE not in STORES:
        pytest.skip("a disk has no server")
    for module in NEEDS[STORE]:
        pytest.importorskip(module)
    try:
        with STORES[STORE]() as store:
            yield store
    except StoreUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def shelf(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """An empty place in it, with the connection ``store`` in the environment."""
    forget(monkeypatch)
    name = uuid.uuid4().hex
    if STORE == "file":
        return Shelf(None, str(tmp_path / "shelves"), name)
    server: LocalBucket = request.getfixturevalue("object_store")
    monkeypatch.setenv("AIRFLOW_CONN_STORE", server.connection())
    return Shelf(server, f"{server.scheme}://store@{server.bucket}", name)


@contextmanager
def requests_of(shelf: Shelf) -> Iterator[list[str]]:
    """Note the methods of all requests to the server in the block, which all libraries send by way of aiohttp."""
    import aiohttp

    asked: list[str] = []
    port, send = urlsplit(shelf.store.endpoint).port, aiohttp.ClientSession._request

    async def noted(session: Any, method: str, url: Any, **options: Any) -> Any:
        if urlsplit(str(url)).port == port:
            asked.append(method)
        return await send(session, method, url, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(aiohttp.ClientSession, "_request", noted)
        yield asked


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Airflow make its file systems anew, as a new process would."""
    try:
        from airflow.sdk.io import store
    except ImportError:  # 2.11
        from airflow.io import store
    monkeypatch.setattr(store, "_STORE_CACHE", {})
