"""A local web server that sends files in pieces, as an object store does, or misbehaves on demand.

Also imported by the benchmarks, so this module knows only the standard library.
"""

from __future__ import annotations

import http.server
import re
import threading
from dataclasses import dataclass, field


@dataclass
class RangeServer:
    """Serves :attr:`files`; what each request asked for is in :attr:`seen`, with its headers in lower case.

    :param quirk: ``""`` for good behaviour, or the name of a bad one (see :func:`_reply`).
    :param tls: a server's ``ssl.SSLContext``, for https.
    """

    files: dict[str, bytes]
    quirk: str = ""
    tls: object = None
    redirects: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0

    def __enter__(self):
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.rules = self
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self):
        return self._server.server_address[1]

    def url(self, name, query="", host="127.0.0.1"):
        return f"http{'s' if self.tls else ''}://{host}:{self.port}/{name}{query}"

    def answer(self, path, asked):
        """Return status, headers, the body, and what is announced as its length."""
        name = path.partition("?")[0].lstrip("/")
        if name in self.redirects:
            where = self.redirects[name]
            return 302, {"Location": where} if where else {}, b"", 0
        data = self.files.get(name)
        if data is None:
            return 404, {}, b"no such file", 12
        return _reply(self.quirk, data, asked, len(self.seen))


def _reply(quirk, data, asked, count):
    first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())
    if quirk.startswith("whole"):
        return 200, {}, data, None if quirk == "whole, unannounced" else len(data)
    if first >= len(data):
        return 416, {"Content-Range": f"bytes */{len(data)}"}, b"", 0
    body = data[first : last + 1]
    last = first + len(body) - 1
    headers = {"ETag": f'"{count}"' if quirk == "changes" else '"1"'}
    if quirk == "gzip":
        headers["Content-Encoding"] = "gzip"
    said = {"wrong range": f"{first + 1}-{last + 1}", "short range": f"{first}-{first + 9}"}.get(
        quirk, f"{first}-{last}"
    )
    headers["Content-Range"] = f"bytes {said}/{'*' if quirk == 'no total' else len(data)}"
    announced = None if quirk == "less, unannounced" else len(body)
    body = body[:-10] if quirk.startswith("less") else body
    return 206, headers, body, announced


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Whoever hangs up early is what some tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        rules = self.server.rules
        rules.seen.append({"path": self.path, **{key.lower(): value for key, value in self.headers.items()}})
        if rules.quirk == "hangs up":
            self.close_connection = True
            return
        status, headers, body, announced = rules.answer(self.path, self.headers["Range"])
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if announced is not None:
            self.send_header("Content-Length", str(announced))
        self.close_connection = announced != len(body)
        self.end_headers()
        pieces = [body[at : at + 1] for at in range(len(body))] if rules.quirk == "trickles" else [body]
        try:
            for piece in pieces:
                rules.sent += len(piece)
                self.wfile.write(piece)
        except OSError:
            self.close_connection = True
