"""HTTP server of a role: /metrics for Prometheus, /status for people, /healthz and /readyz for
probes."""

import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from rljob import __version__
from rljob.errors import UsageError

# A second series for each counter and histogram, with its creation time, which is not useful here.
disable_created_metrics()  # type: ignore[no-untyped-call]


class StatusServer:
    """Serves requests from its own threads, which call `status`."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        status: Callable[[], Mapping[str, Any]],
        *,
        ready: Callable[[], bool] = lambda: True,
        healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        """Bind the port; `start` begins to serve.

        Args:
            host: address to listen on.
            port: 0: any free port, see the property `port`.
            registry: metrics of /metrics.
            status: JSON values of /status.
            ready: result of /readyz.
            healthy: result of /healthz.

        Raises:
            UsageError: the port can't be used.
        """
        build = Gauge("rljob_build_info", "Version of rljob.", ["version"], registry=registry)
        build.labels(__version__).set(1)
        handler = type(
            "Handler",
            (_Handler,),
            {
                "registry": registry,
                "status": staticmethod(status),
                "ready": staticmethod(ready),
                "healthy": staticmethod(healthy),
            },
        )
        try:
            self._server = _Server((host, port), handler)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"metrics port {port} of {host} can't be used: "
                f"{getattr(error, 'strerror', None) or error}; free it or choose another one"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="status-server", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to serve requests."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    status: Callable[[], Mapping[str, Any]]
    ready: Callable[[], bool]
    healthy: Callable[[], bool]
    timeout = 10  # seconds for a client to send its request

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.registry))
            case "/status":
                body = json.dumps(self.status(), default=str).encode()
                self._answer("application/json", body)
            case "/healthz" if self.healthy():
                self._answer("text/plain; charset=utf-8", b"ok\n")
            case "/readyz" if self.ready():
                self._answer("text/plain; charset=utf-8", b"ok\n")
            case "/healthz" | "/readyz":
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: requests are not events."""

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
