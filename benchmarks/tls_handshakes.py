"""TLS handshakes per status poll, when polls of a job are about 30 s apart.

200 triggers with poll_interval 30 and jobs half an hour old, so that each is asked every 30 s; the server speaks TLS
with a certificate of an authority made for this run, and counts its connections, of which each is one handshake. Beside
it, what most providers do: a session for every poll, at the same spacing.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import ipaddress
import json
import os
import ssl
import sys
import tempfile
from pathlib import Path

from contestants import KEY, NAMES, OURS, connect, drain, make, silence, stop, ticket
from report import Row, fresh, run
from stub import Stub, counts

TARGET = 0.02
INTERVAL = 30.0
AGE = 1800.0
PER_POLL = "a session per poll"


def certificates(folder: Path) -> tuple[Path, Path]:
    """Make an authority and a certificate for this machine; return its file, and the server's with the key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = dt.datetime.now(dt.UTC)
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark authority")])

    def certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=6))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )

    root = (
        certificate(issuer, authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = (
        certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), server)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = server.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "authority.pem").write_bytes(root.public_bytes(pem))
    (folder / "server.pem").write_bytes(leaf.public_bytes(pem) + key)
    return folder / "authority.pem", folder / "server.pem"


async def session_per_poll(url: str, number: int, interval: float) -> None:
    import aiohttp

    trusted = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    while True:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{url}/api/transcribe/status",
                json=ticket(number, 0.0)["body"],
                headers={"x-api-key": KEY},
                ssl=trusted,
            ) as answer,
        ):
            await answer.read()
        await asyncio.sleep(interval)


async def polling(how: str, url: str, counting: str, triggers: int, seconds: float) -> dict[str, int]:
    tasks = []
    delays = [number * INTERVAL / triggers for number in range(triggers)]
    if how == OURS:
        made = make(OURS, url, triggers, INTERVAL, age=AGE)
        tasks = [asyncio.create_task(drain(trigger, delay)) for trigger, delay in zip(made, delays, strict=True)]
    else:

        async def later(number: int) -> None:
            await asyncio.sleep(delays[number])
            await session_per_poll(url, number, INTERVAL)

        tasks = [asyncio.create_task(later(number)) for number in range(triggers)]
    await asyncio.sleep(seconds)
    told = counts(counting)
    await stop(tasks)
    return {"polls": told["polls"]["nanogpt"], "handshakes": told["connections"]}


def measure(options: argparse.Namespace) -> list[Row]:
    triggers, seconds = (40, 8.0) if options.quick else (200, 150.0)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        authority, server = certificates(Path(folder))
        os.environ["REQUESTS_CA_BUNDLE"] = str(authority)
        for how in (OURS, PER_POLL):
            # A session per poll is the same after a shorter time.
            with Stub(server) as stub:
                length = seconds if how == OURS else min(seconds, 2 * INTERVAL)
                found[how] = fresh(__file__, "--contestant", how, stub.url, stub.counting, triggers, length)

    def shown(how: str) -> str:
        told = found[how]
        return f"{told['handshakes'] / told['polls']:.3f} ({told['handshakes']} for {told['polls']} polls)"

    return [
        Row(
            f"TLS handshakes per poll, {triggers} triggers, polls of a job {INTERVAL:g} s apart",
            f"{PER_POLL}: {shown(PER_POLL)}",
            shown(OURS),
            f"≤ {TARGET:g}",
            found[OURS]["handshakes"] <= TARGET * found[OURS]["polls"],
            [f"{NAMES[OURS]}: {seconds:g} s from the start, connecting included."],
        )
    ]


if __name__ == "__main__":
    if "--contestant" in sys.argv:
        _, _, how, url, counting, triggers, seconds = sys.argv
        silence()
        connect(url)
        print(json.dumps(asyncio.run(polling(how, url, counting, int(triggers), float(seconds)))))
    else:
        run(measure, __doc__)
