"""The ways in which a service, a proxy or a library may write what it was sent."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

KEY = "sk/nano+Zr8=Qw2vT6yB9mL4"
SIGNATURE = "Vb7/Kq+3xT9wLm2ZsP5dR8=="
SECOND = "FwoGZXIvYXdzEJr0123456789"
USER, PASSWORD = "svc-transcripts", "Pr0xy$S3cret!"
QUERY = f"sv=2024-01-01&X-Amz-Security-Token={SECOND}&sig={quote(SIGNATURE, safe='')}"
URL = f"https://{USER}:{quote(PASSWORD, safe='')}@files.example.com/calls/a.mp3?{QUERY}"


def _codes(text: str) -> str:
    return "".join(f"\\u{ord(one):04x}" for one in text)


SPELLINGS = {
    "plain": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "slashes": lambda text: text.replace("/", r"\/"),
    "ampersands": lambda text: text.replace("&", r"\u0026").replace("+", r"\u002b").replace("=", r"\u003D"),
    "all as codes": _codes,
    "JSON in JSON": lambda text: json.dumps(json.dumps({"a": text}).replace("/", r"\/"))[1:-1],
    "hex codes": lambda text: text.replace("/", r"\x2f").replace("+", r"\x2B").replace("=", r"\x3d"),
    "percent": lambda text: quote(text, safe=""),
    "percent, lower case": lambda text: (
        quote(text, safe="").lower() if text.islower() else _lower(quote(text, safe=""))
    ),
    "percent, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": lambda text: html.escape(text).replace("/", "&#x2F;").replace("+", "&#43;").replace("=", "&equals;"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64, after one letter": lambda text: base64.b64encode(b"x" + text.encode() + b"yz").decode(),
    "base64, after two letters": lambda text: base64.b64encode(b"id" + text.encode() + b"y").decode(),
    "base64 of JSON": lambda text: base64.b64encode(json.dumps({"was": text}).encode()).decode(),
    "base64, encoded": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "in a path": lambda text: f"/v1/{quote(text, safe='')}/x",
    "in quotes": lambda text: f"\"{text}\", '{text}' <{text}>",
}


def _lower(text: str) -> str:
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


def found_in(text: str) -> list[str]:
    """Return the secrets that a text has in any of the ways."""
    return [
        f"{secret} as {name}"
        for secret in (KEY, SIGNATURE, SECOND, PASSWORD)
        for name, write in SPELLINGS.items()
        if name not in ("in a path", "in quotes", "JSON in JSON", "base64 of JSON") and write(secret).strip("=") in text
    ]
