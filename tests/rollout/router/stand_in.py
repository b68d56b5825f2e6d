"""A stand-in for an SGLang server, which takes half a minute to start.

The router asks an engine for /health, /server_info and /model_info, and passes /generate on.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StandInEngine:
    """Answers every request with its own URL; records the key of each path."""

    def __init__(self) -> None:
        engine = self
        self.keys: dict[str, str | None] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                engine.keys[self.path] = self.headers["Authorization"]
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                body = json.dumps({"model_path": "/model", "url": engine.url}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
