"""What may be shown and stored of an address, which part of it identifies a recording, and what has to be masked.

Query values are secrets, all of them, whatever their names, and so is a user name or password. Everything that is
logged, raised, recorded or sent elsewhere goes through here, after decoding. What is shown and what identifies are two
things: a record goes by the one, and people read the other.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import islice
from typing import TypeVar, cast
from urllib.parse import quote_plus, unquote, unquote_plus, urlsplit

from airflow_provider_nanostt.common import known_secrets
from airflow_provider_nanostt.common.address import WEB, Address, pairs, split_address
from airflow_provider_nanostt.common.numbers import from_text
from airflow_provider_nanostt.common.spelling import (
    ADDRESS,
    BASE64,
    CHUNK,
    ENCODED,
    NAMED,
    QUERY,
    SUSPECT,
    USER,
    decoded,
    from_base64,
    is_suspect,
    layers,
)

T = TypeVar("T")

_SHORTEST_SECRET = 8
_SHORTEST_MASK = 5  # Airflow masks nothing shorter
_MAX_DEPTH = 12
_MAX_NESTED = 5
_MAX_SECRETS_APART = 3  # that one text writes in different ways
_TEXT = frozenset(("transcription", "text", "transcript", "word", "punctuated_word"))
_PLAIN = frozenset((float, int, bool, type(None)))
WORD_LISTS = frozenset(("words", "diarization", "segments", "utterances"))
"""What of an answer is the transcript."""

_TRAILING = ".,;:)]}\\"
_HIDDEN_START = re.compile(r"[?#;]|\\+u00(?:3f|23|3b)|%(?:25)*(?:3f|23|3b)", re.IGNORECASE)
_REORDERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Classes of invisible characters that change the order in which others are shown."""

_SIGNATURES = frozenset("signature sig hmac hdnts hdnea q-signature".split())
_WITH_SIGNATURE = frozenset(
    "awsaccesskeyid googleaccessid ossaccesskeyid accesskeyid key-pair-id policy expires security-token keyname "
    "urlprefix x-id q-sign-algorithm q-ak q-sign-time q-key-time q-header-list q-url-param-list".split()
)
_WITH_SIG = frozenset("sv ss srt sp st se spr sr si skoid sktid skt ske sks skv sip sdd saoid suoid scid".split())
_PREFIXED = re.compile(
    r"x-(?:amz|goog|oss|cos|obs|ms)-(?:algorithm|credential|date|expires|signed-?headers|(?:s3session|security)-token|"
    r"signature(?:-version)?|additional-headers|content-sha256)"
)
_TOKENS = frozenset("token access_token auth security-token".split())
_RECORDING = re.compile(
    r"\.(?:mp[234]|m4[abv]|mpga|mpe?g|wave?|flac|og[gav]|opus|webm|aac|amr|wma|wmv|aiff?|caf|mk[av]|mov|avi|3gp|ac3|au)$",
    re.IGNORECASE,
)
_DIGEST_CHARS = 16


def display(url: str) -> str:
    """Return an address as it may be stored and shown; what is not an address stays as it is.

    :return: for a web address scheme, host and path; for a URI of object storage all of it but a password.
    """
    address = split_address(url)
    if address is None or not (address.is_web or address.user):
        return url
    scheme = f"{address.scheme}://" if address.scheme else ""
    return f"{scheme}{address.host}{_cut(address.path) if address.is_web else address.path}"


def identity_url(url: str) -> str:
    """Return what identifies the object at an address: the same text for every signing of it.

    Parameters that do not sign tell objects apart; a digest stands for them. A token alone signs where the path names a
    recording, as in ``/calls/a.mp3?token=…``; in ``/download?token=…`` nothing but the token says which one is meant.
    """
    address = split_address(url)
    if address is None or not address.is_web:
        return display(url)
    scheme = f"{address.scheme}://" if address.scheme else ""
    shown = f"{scheme}{_plain_host(address)}{_cut(address.path)}"
    found = [*pairs(address.query), *address.path_parameters]
    names = {name.lower() for name, _ in found}
    tokens = _TOKENS if _RECORDING.search(unquote(address.path)) else frozenset()
    signing = _SIGNATURES | tokens | (_WITH_SIG if "sig" in names else frozenset())
    if names & (_SIGNATURES | tokens) or any(map(_PREFIXED.fullmatch, names)):
        signing |= _WITH_SIGNATURE
    kept = sorted(
        (name, identity_url(value) if is_web_url(value) else value)
        for name, value in found
        if name.lower() not in signing and not _PREFIXED.fullmatch(name.lower())
    )
    if not shown.endswith(address.path):  # something in the path is not shown
        kept.append(("", address.path))
    if not kept:
        return shown
    digest = hashlib.sha256(json.dumps(kept).encode("utf-8", "replace")).hexdigest()
    return f"{shown}?{digest[:_DIGEST_CHARS]}"


def _plain_host(address: Address) -> str:
    """Return a host as it identifies: in small letters, without the port of its scheme."""
    host = address.host.lower().removesuffix({"http": ":80", "https": ":443"}.get(address.scheme, ":"))
    return re.sub(r"\.(?=$|:\d+$)", "", host)


def is_web_url(text: str) -> bool:
    """Whether a text is an http(s) address with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in WEB and bool(parts.hostname)


def escaped(text: str) -> str:
    """Return a text that can be printed in one line: controls and bytes that are no text become escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one.encode("unicode_escape").decode() if _is_unprintable(one) else one for one in text)


def _is_unprintable(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in _REORDERING
    )


def redact(text: str, *, opaque: bool = False) -> str:
    """Return a text in which nothing is secret, however it is written: plainly, as JSON, in HTML, encoded, in base64.

    Each address is as :func:`display` shows it, a query without its address is left out, and so is every secret value
    that this process knows.

    :param opaque: of those, only such as cannot be meant in any other way; for what is used again, not only read.
    """
    known_secrets.look_at_proxies()
    return _redacted_text(text, opaque)


def _redacted_text(text: str, opaque: bool) -> str:
    text = known_secrets.masked(text, opaque=opaque)
    if not ENCODED.search(text) and not is_suspect(text) and "@" not in text:
        return text
    text = NAMED.sub(_without_named, text)
    return CHUNK.sub(lambda found: _redacted_chunk(found[0], opaque), text)


def redact_value(value: T, *, opaque: bool = False) -> T:
    """Return a JSON value in which every text, however deep, is as :func:`redact` returns it; tuples become lists."""
    known_secrets.look_at_proxies()
    return cast("T", _redacted_value(value, opaque))


def redact_answer(body: Mapping[str, object], *, words: bool = True) -> dict[str, object]:
    """Return the service's answer as it may be stored. The text of a transcript stays: words are data, not messages.

    :param words: whether the lists of words and segments are looked through, too, which takes long.
    """
    known_secrets.look_at_proxies()
    found: dict[str, object] = {}
    for name, value in body.items():
        if name in _TEXT and isinstance(value, str):
            found[name] = value
        elif name in WORD_LISTS:
            found[name] = _redacted_entries(value) if words else value
        elif name == "data" and isinstance(value, Mapping):
            found[name] = redact_answer(value, words=words)
        else:
            found[_redacted_text(name, opaque=True)] = _redacted_value(value, opaque=True)
    return found


def remember_address(url: str) -> None:
    """Have what is secret in an address masked from now on, also where it stands without the address."""
    if address := split_address(url):
        known_secrets.remember(_spelled(address.user.partition(":")[2]), certain=True)
    known_secrets.remember(secret_parts(url))


def opaque_parts(url: str) -> tuple[str, ...]:
    """Return what is secret in an address and cannot be meant in any other way."""
    return tuple(filter(known_secrets.is_opaque, secret_parts(url)))


def texts_in(value: object, depth: int = _MAX_DEPTH) -> Iterator[str]:
    """Yield every text in a value: in containers of any sort, dataclasses, paths, and in texts that are JSON."""
    if isinstance(value, bytes | bytearray):
        value = value.decode("latin-1")
    elif hasattr(value, "__fspath__") or hasattr(value, "protocol"):  # of object storage
        value = str(value)
    if isinstance(value, str):
        yield value
    for inner in _inner(value) if depth else ():
        yield from texts_in(inner, depth - 1)


def _inner(value: object) -> Collection[object]:
    """Return what a value consists of; nothing for what is no container."""
    if isinstance(value, str):
        read = from_text(value)
        return () if read is value else (read,)
    if isinstance(value, Mapping):
        return tuple(value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, one.name) for one in fields(value)]
    return value if isinstance(value, Collection) else ()


def parts_to_mask(value: object, first: int | None = None) -> set[str]:
    """Return what has to be masked wherever the texts in a value are shown as they are.

    What is too short or too ordinary to be masked by itself, such as ``?id=7``, is masked with what is around it.

    :param first: how many texts are looked at, and addresses in each; None looks at all.
    """
    found: set[str] = set()
    for text in islice(texts_in(value), first):
        if not is_suspect(text) and "@" not in text:
            continue
        written = {match[0].rstrip(_TRAILING) for match in islice(ADDRESS.finditer(text), first)}
        written |= {text.strip()} if split_address(text) else set()
        for one in written:
            address = decoded(one)
            found |= set(secret_parts(address)) | _as_written(one, address)
    return found


def secret_parts(url: str, depth: int = _MAX_NESTED) -> list[str]:
    """Return what is secret in an address by itself: query values, as written and decoded, and a user or password.

    Short values and numbers are left out: masking them would make every log unreadable.

    :param depth: how far addresses within the address are looked at.
    """
    try:
        urlsplit(url)
    except ValueError:  # not an address: any part of it may be secret
        return [url]
    address = split_address(url)
    if address is None or not address.is_web:
        return sorted(_spelled(address.user.partition(":")[2])) if address else []
    written = [value for part in (address.query, address.fragment) for value in _values(part)]
    written += [value for _, value in address.path_parameters]
    found = {form for value in written for form in (value, unquote_plus(value), unquote(value))}
    name, _, password = address.user.partition(":")
    found |= {form for one in (name, password) for form in _spelled(one)}
    found = {value for value in found if len(value) >= _SHORTEST_SECRET and not value.isdigit()}
    found |= {quote_plus(value, errors="replace") for value in found if "%" not in value}
    inside = {*map(unquote_plus, written), address.path} if depth else ()
    nested = [match[0] for match in map(ADDRESS.search, inside) if match]
    return sorted(found.union(_spelled(password), *(secret_parts(decoded(one), depth - 1) for one in nested)))


def _values(query: str) -> list[str]:
    """Return the values of a query or fragment as they are written."""
    return [pair.partition("=")[2] or pair.partition("=")[0] for pair in re.split(r"[&;]", query) if pair]


def _spelled(text: str) -> set[str]:
    return {text, unquote(text)} if text else set()


def _as_written(written: str, plain: str) -> set[str]:
    """Return the rest of an address behind its path, as a text writes it, where its values alone cannot be masked."""
    address = split_address(plain)
    if address is None or not address.is_web:
        return set()
    values = [*_values(address.query), *_values(address.fragment), *(value for _, value in address.path_parameters)]
    user = {f"//{address.user}@"} if f"//{address.user}@" in written else set()
    if written == plain and all(len(one) >= _SHORTEST_SECRET and not one.isdigit() for one in values):
        return user
    *_, rest = _HIDDEN_START.split(written, maxsplit=1)
    if rest == written or not rest:
        return user
    rest = rest if len(rest) >= _SHORTEST_MASK else written[-len(rest) - _SHORTEST_SECRET :]
    return user | {rest, rest.replace("\\", "\\\\")}  # also as Python writes a text


def _cut(path: str) -> str:
    """Return a path up to an address or a query inside of it."""
    found = SUSPECT.search(path)
    return f"{path[: found.start()]}…" if found else path


def _without_named(found: re.Match[str]) -> str:
    return f"{found[1]}{known_secrets.MASK}" if known_secrets.is_opaque(found[2]) else found[0]


def _redacted_chunk(chunk: str, opaque: bool) -> str:
    """Return a text without blanks as it may be shown: decoded as far as that brings out something secret."""
    for way in (partial(known_secrets.masked, opaque=opaque), _without_addresses):
        for _ in range(_MAX_SECRETS_APART):
            changed = (clean for layer in layers(chunk) if (clean := way(layer)) != layer)
            if (found := next(changed, None)) is None:
                break
            chunk = found
    return BASE64.sub(lambda token: known_secrets.MASK if _hides(token[0], opaque) else token[0], chunk)


def _without_addresses(text: str) -> str:
    text = QUERY.sub("?…", ADDRESS.sub(_redacted, text)) if is_suspect(text) else text
    return USER.sub("…@", text) if "@" in text else text


def _hides(token: str, opaque: bool) -> bool:
    """Whether base64 has something secret in it, wherever it begins."""
    for text in from_base64(token):
        if known_secrets.masked(text, opaque=opaque) != text:
            return True
        if text.isascii() and " ".join(text.split()).isprintable() and _redacted_chunk(text, opaque) != text:
            return True
    return False


def _redacted(found: re.Match[str]) -> str:
    """Return an address in a text as it may be shown, decoded if the text encodes it."""
    written = found[0].rstrip(_TRAILING)
    plain = decoded(written)
    address = split_address(plain)
    if address is None:
        return "…"
    if not (address.query or address.fragment or address.user or address.path_parameters or is_suspect(address.path)):
        return found[0]
    shown = display(plain) if address.is_web else f"{address.scheme}://{_cut(address.path)}"
    return shown + found[0][len(written) :]


def _redacted_value(value: object, opaque: bool) -> object:
    if isinstance(value, str):
        return _redacted_text(value, opaque)
    if isinstance(value, Mapping):
        return {_redacted_value(key, opaque): _redacted_value(inner, opaque) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        found = [_redacted_value(inner, opaque) for inner in value]
        return value if isinstance(value, list | tuple) and found == [*value] else found
    return value


def _redacted_entries(value: object) -> object:
    """Return words or segments; a list in which nothing is secret, such as one of 27,000 words, is the same object."""
    entries = value if isinstance(value, list) else [value]
    if all(redact(text, opaque=True) == text for text in besides_text(entries)):
        return value
    return [
        {redact(name): one if name in _TEXT else redact_value(one, opaque=True) for name, one in entry.items()}
        if isinstance(entry, Mapping)
        else redact_value(entry, opaque=True)
        for entry in entries
    ]


def besides_text(entries: list[object]) -> set[str]:
    """Return what entries have besides their text and numbers, as text."""
    found: set[str] = set()
    for entry in entries:
        named = entry if isinstance(entry, dict) else {"": entry}
        found.update(named)
        for name, value in named.items():
            if type(value) not in _PLAIN and name not in _TEXT:
                found.add(str(value))
    return found
