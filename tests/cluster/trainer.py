"""The /status of a trainer pod without a container: kwok's pods only have an address.

What a real trainer reports is tested elsewhere.
"""

import contextlib
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rljob_operator.names import METRICS_PORT

IP_ANNOTATION = "kwok.rljob.dev/ip"


class Trainer:
    """Answers GET /status at an address of its own, from `start` to `close`."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {"phase": "starting"}
        self.reads = 0
        self.answers = threading.Event()  # not while it is cleared
        self.answers.set()
        self._server = self._listen()
        self.ip = str(self._server.server_address[0])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def template(self) -> dict[str, Any]:
        """For spec.trainer.template: gives the pod this address."""
        return {"metadata": {"annotations": {IP_ANNOTATION: self.ip}}}

    def say(self, **status: Any) -> None:
        """From now on its /status has these values."""
        self.status = {**self.status, **status}

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()

    def _listen(self) -> ThreadingHTTPServer:
        trainer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                trainer.reads += 1
                trainer.answers.wait()
                body = json.dumps(trainer.status).encode()
                with contextlib.suppress(BrokenPipeError):  # an operator that was killed
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        while True:
            host = (
                f"127.{random.randrange(1, 127)}.{random.randrange(256)}.{random.randrange(1, 255)}"
            )
            try:
                return ThreadingHTTPServer((host, METRICS_PORT), Handler)
            except OSError:
                continue  # another test has this address
