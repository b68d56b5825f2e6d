"""Client for the trainer's /status."""

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

_ASK_SECONDS = 0.5
_ANSWER_SECONDS = 2.0


def ask(url: str) -> dict[str, Any] | None:
    """The trainer's status; None while it does not answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=_ANSWER_SECONDS
    )
    try:
        connection.request("GET", parts.path)
        status = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return status if isinstance(status, dict) else None


class StatusPoll:
    """Polls the status in a thread, because the main thread must not block on it."""

    def __init__(self, url: str) -> None:
        self.latest: dict[str, Any] | None = None
        self._url = url
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status-poll", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop polling."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(_ASK_SECONDS):
            self.latest = ask(self._url) or self.latest
