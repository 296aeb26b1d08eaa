"""A small network of this machine's own: an authority that signs, services with and without TLS, proxies, and a relay.

Nothing of it is reachable from elsewhere. Names are resolved by nobody but the proxies, which find them all here.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import ipaddress
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


class Authority:
    """Signs certificates; its own is in ``file``, and as OpenSSL wants it in ``folder``."""

    def __init__(self, place: Path, name: str = "own") -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self.name, self.place, self.key = name, place, ec.generate_private_key(ec.SECP256R1())
        self.file, self.folder = place / f"{name}.pem", place / name
        self.file.write_bytes(self._signed(name, self.key, []))

    def hashed(self) -> Path:
        """Return a folder with its certificate, which openssl makes."""
        try:
            command = ["openssl", "x509", "-noout", "-hash", "-in", self.file]
            name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs openssl to name a certificate")
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{name}.0").write_bytes(self.file.read_bytes())
        return self.folder

    def certificate(self, *names: str, days: int = 2) -> Path:
        """Return a file with a certificate for names and numbers, and its key."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        form, open_ = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        file = self.place / f"{self.name}-{names[0].replace(':', '-')}-{days}.pem"
        private = key.private_bytes(serialization.Encoding.PEM, form, open_)
        file.write_bytes(self._signed(names[0], key, names, days) + private)
        return file

    def _signed(self, name, key, names, days=2) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        def named(text):
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        now, authority = datetime.datetime.now(datetime.UTC), not names
        made = (
            x509.CertificateBuilder(named(self.name), named(name), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=5))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if authority:  # as Python 3.13 wants it
            usage = x509.KeyUsage(
                *[False] * 5, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False
            )
            made = made.add_extension(usage, critical=True)
        else:
            made = made.add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), critical=False)
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general(name):
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def server_tls(certificate: Path, *, old: bool = False) -> ssl.SSLContext:
    """Return how a server shows a certificate; an old one speaks nothing newer than TLS 1.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if old:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return context


class Server(http.server.ThreadingHTTPServer):
    """Serves until the block ends; what each request asked for is in ``seen``, with its proxy authorisation."""

    daemon_threads = True

    def __init__(self, handler: type, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, **rules) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), handler)
        self.port, self.seen, self.rules = self.server_address[1], [], rules
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_) -> None:
        """Whoever hangs up early is what some tests are about."""


@contextlib.contextmanager
def serving(*arguments, **rules) -> Iterator[Server]:
    """Run a server."""
    with Server(*arguments, **rules) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Answers(http.server.BaseHTTPRequestHandler):
    """Accepts every job, which is never done, and sends every file; each answer has a connection of its own."""

    server: Server

    def log_message(self, *_) -> None:
        pass

    def note(self) -> None:
        given = self.headers.get("Proxy-Authorization")
        text = base64.b64decode(given.removeprefix("Basic ")).decode("latin-1") if given else ""
        self.server.seen.append(text)

    def do_POST(self) -> None:
        self.note()
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(202, b'{"runId": "run-1", "status": "pending", "model": "Elevenlabs-STT"}')

    def do_GET(self) -> None:
        self.note()
        self._send(206, b"RIFF", "bytes 0-3/4")

    def _send(self, status: int, body: bytes, sent: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if sent:
            self.send_header("Content-Range", sent)
        self.end_headers()
        self.wfile.write(body)


class Proxy(Answers):
    """Opens tunnels to this machine, whatever name they are for; what is not to be tunnelled it answers itself.

    With the rule ``status`` it refuses with that.
    """

    def do_CONNECT(self) -> None:
        self.note()
        if "status" in self.server.rules:
            self._send(self.server.rules["status"], b"")
            return
        host, _, port = self.path.rpartition(":")
        there = self.server.rules.get("leads_to", {}).get(self.path, (host.strip("[]"), int(port)))
        with socket.create_connection(there, timeout=10) as other:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.wfile.flush()
            pump(self.connection, other)


class Relay(http.server.BaseHTTPRequestHandler):
    """Passes bytes on to a port, the rule ``port``, so that what has no TLS may be asked with TLS."""

    server: Server

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.rules["port"]), timeout=30) as other:
            pump(self.connection, other)


def pump(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on both ways until both have ended."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join(10)
