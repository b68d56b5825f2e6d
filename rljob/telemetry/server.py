"""The HTTP endpoints of a role: /metrics for Prometheus, /status for people and programs."""

import json
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import MetricsHandler

from rljob.errors import UsageError


class StatusServer:
    """Serves /metrics, /status and /healthz from a thread of its own."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        status: Callable[[], dict[str, Any]],
    ) -> None:
        """Takes the port; 0 takes any free one.

        Raises:
            UsageError: the port is taken.
        """

        class Handler(MetricsHandler.factory(registry)):  # type: ignore[misc]  # made at run time
            def do_GET(self) -> None:
                if self.path == "/status":
                    self._reply("application/json", json.dumps(status()).encode())
                elif self.path == "/healthz":
                    self._reply("text/plain", b"ok\n")
                elif self.path == "/metrics":
                    super().do_GET()
                else:
                    self.send_error(404)

            def _reply(self, content_type: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise UsageError(
                f"metrics port {port} on {host}: {error.strerror}; allowed: a free port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """The port taken."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stops answering and gives the port back."""
        self._server.shutdown()
        self._server.server_close()
