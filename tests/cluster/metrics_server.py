"""A server of external metrics in this process, behind the API server's aggregation layer."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.cluster.certificate import Authority
from tests.cluster.client import Client
from tests.support.waiting import wait_for

_VERSION = "external.metrics.k8s.io/v1beta1"
_API_SERVICE = "v1beta1.external.metrics.k8s.io"
_API_SERVICES = "apiregistration.k8s.io/v1/apiservices"
_SERVICE = "external-metrics"


class MetricsServer:
    """Answers with `values`, by metric; a metric that is not in it cannot be read."""

    def __init__(self, directory: Path) -> None:
        """Writes its certificate into the directory."""
        self.values: dict[str, str] = {}
        Authority(directory).issue("metrics", "external-metrics", addresses=("127.0.0.1",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "metrics.crt", directory / "metrics.key")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)

    @contextmanager
    def serving(self, client: Client) -> Iterator[None]:
        """Registered with the API server; within the client's namespace there is its Service."""
        thread = threading.Thread(target=self._http.serve_forever)
        thread.start()
        everywhere = client.within("")
        try:
            # The address of an ExternalName is taken as it is: no endpoints, which may not be on
            # loopback.
            client.create(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": _SERVICE},
                    "spec": {"type": "ExternalName", "externalName": "localhost"},
                }
            )
            service = {
                "name": _SERVICE,
                "namespace": client.namespace,
                "port": self._http.server_port,
            }
            group, version = _VERSION.split("/")
            everywhere.create(
                {
                    "apiVersion": "apiregistration.k8s.io/v1",
                    "kind": "APIService",
                    "metadata": {"name": _API_SERVICE},
                    "spec": {
                        "group": group,
                        "version": version,
                        "service": service,
                        "insecureSkipTLSVerify": True,
                        "groupPriorityMinimum": 100,
                        "versionPriority": 100,
                    },
                }
            )
            wait_for(lambda: _is_available(everywhere), "the external metrics are served")
            yield
        finally:
            # A group that is registered and not served keeps namespaces from going.
            everywhere.discard(_API_SERVICES, _API_SERVICE)
            self._http.shutdown()
            thread.join()
            self._http.server_close()

    def _answer(self, path: str) -> dict[str, Any] | None:
        parts = path.partition("?")[0].strip("/").split("/")
        if "/".join(parts) == f"apis/{_VERSION}":
            resources = [
                {"name": name, "namespaced": True, "kind": "ExternalMetricValueList", "verbs": []}
                for name in self.values
            ]
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": _VERSION,
                "resources": resources,
            }
        metric = parts[-1]
        if len(parts) != 6 or metric not in self.values:
            return None
        value = {
            "metricName": metric,
            "metricLabels": {},
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "value": self.values[metric],
        }
        return {
            "kind": "ExternalMetricValueList",
            "apiVersion": _VERSION,
            "metadata": {},
            "items": [value],
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = answer(self.path)
                body = json.dumps(found or {}).encode()
                self.send_response(200 if found is not None else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        return Handler


def _is_available(client: Client) -> bool:
    status = client.get(_API_SERVICES, _API_SERVICE).get("status", {})
    conditions = status.get("conditions", [])
    return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)
