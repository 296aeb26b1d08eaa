"""A real object store for tests: S3 through SeaweedFS on this machine, behind the Airflow connection ``store``."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from local_store import LocalStore, find_binary

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Shelf:
    """A place in the bucket that belongs to one test.

    :param name: the first part of every key in it.
    """

    store: LocalStore
    name: str

    @property
    def uri(self) -> str:
        """Where it is, as a user writes it."""
        return f"s3://store@{self.store.bucket}/{self.name}"

    @property
    def fs(self) -> Any:
        """The file system that Airflow makes from the connection."""
        return self.at("").fs

    def at(self, key: str) -> Any:
        """An object in it."""
        from airflow_provider_nanostt._compat import ObjectStoragePath

        return ObjectStoragePath(f"{self.uri}/{key}")

    def put(self, key: str, data: bytes) -> str:
        """Put an object there, and return its URI."""
        self.at(key).fs.pipe_file(self.at(key).path, data)
        return f"{self.uri}/{key}"

    def read(self, key: str) -> bytes:
        """What is there."""
        return bytes(self.fs.cat_file(self.at(key).path))

    def keys(self, folder: str = "") -> list[str]:
        """The keys of all objects below a folder."""
        self.fs.invalidate_cache()
        top = f"{self.store.bucket}/{self.name}/"
        found = (key.removeprefix(top) for key in self.fs.find(top))
        return sorted(key for key in found if key.startswith(f"{folder}/" if folder else ""))


@pytest.fixture(scope="session")
def object_store() -> Iterator[LocalStore]:
    """The server, once for all tests; skipped where it is not installed."""
    pytest.importorskip("airflow.providers.amazon")
    pytest.importorskip("s3fs")
    if find_binary() is None:
        pytest.skip("SeaweedFS is not installed")
    with LocalStore() as store:
        yield store


@pytest.fixture
def shelf(object_store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """An empty place in it, with the connection ``store`` in the environment."""
    forget(monkeypatch)
    monkeypatch.setenv("AIRFLOW_CONN_STORE", object_store.connection())
    return Shelf(object_store, uuid.uuid4().hex)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Airflow make its file systems anew, as a new process would."""
    try:
        from airflow.sdk.io import store
    except ImportError:  # 2.11
        from airflow.io import store
    monkeypatch.setattr(store, "_STORE_CACHE", {})
