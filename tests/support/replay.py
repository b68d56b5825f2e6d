"""Serves texts of metrics that were read from real servers before, one after the other."""

import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_READ_SECONDS = 0.5


class Recording:
    """Reads a server's `/metrics` twice a second, in a thread, while it answers."""

    def __init__(self, url: str) -> None:
        self.texts: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="recording", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Reads no more."""
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stop.wait(_READ_SECONDS):
            try:
                with urllib.request.urlopen(self._url, timeout=10) as reply:
                    self.texts.append(reply.read().decode())
            except OSError:
                continue  # it has not started yet, or has ended


@contextmanager
def replayed(texts: Sequence[str]) -> Iterator[str]:
    """The address of a server that answers each request with the next text, at last the last."""
    left = list(texts)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (left.pop(0) if len(left) > 1 else left[0]).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="replay")
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
