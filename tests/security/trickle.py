"""A server that trickles: it begins an answer, and goes on with it drop by drop for as long as somebody listens."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Trickler:
    """Sends ``begin``, then ``drop`` for ever.

    :param answers_first: wait for the end of a request's head before it begins.
    :param pause: seconds between two drops; 0 for a flood.
    """

    begin: bytes
    drop: bytes
    answers_first: bool = True
    pause: float = 0.02
    over: threading.Event = field(default_factory=threading.Event)
    visits: list[threading.Thread] = field(default_factory=list)

    def __enter__(self):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)
        for visit in self.visits:
            visit.join(10)
        left = [visit for visit in self.visits if visit.is_alive()]
        self.over.set()
        assert not left, "the client never hung up"

    def _accept(self):
        try:
            while True:
                client, _ = self._listening.accept()
                self.visits.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
                self.visits[-1].start()
        except OSError:
            pass

    def _serve(self, client):
        with client:
            try:
                seen = b""
                while self.answers_first and b"\r\n\r\n" not in seen:
                    seen += client.recv(65536)
                client.sendall(self.begin)
                while self.drop and not self.over.wait(self.pause):
                    client.sendall(self.drop)
                while client.recv(65536):  # nothing more to say; ends when the client hangs up
                    pass
            except OSError:
                pass
