"""An engine that generates by arithmetic: SGLang's HTTP API as the worker and a publisher use it.

Run as `python -m tests.faults.samples.engine PORT SUPERVISOR`. Its answers depend
only on the prompt and the sampling seed, so anyone can tell which prompt a response answers.
"""

import json
import random
import sys
import threading
import time
import zlib
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from rljob.telemetry import lifeline

DIGITS = range(3, 13)  # tokens of the sorting task
_END_OF_PROMPT = 15  # ">"
_SLOWEST_SECONDS = 0.3
_SLICE_SECONDS = 0.01


def answer(prompt: Sequence[int], seed: int, length: int) -> list[int]:
    """The tokens of the response."""
    chance = random.Random(zlib.crc32(json.dumps([list(prompt), seed]).encode()))
    return [chance.choice(DIGITS) for _ in range(length)]


def logprob(token: int) -> float:
    """The log-probability of a token of a response."""
    return -token / 16


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    version = "default"
    order: ClassVar[list[int]] = [0, 0]  # of the update that gave the version
    lock = threading.Lock()
    aborts = 0

    def do_GET(self) -> None:
        self._reply({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        if self.path == "/update_weight_version":
            self._update(body)
            self._reply({})
        elif self.path == "/abort_request":
            _Handler.aborts += 1
            self._reply({})
        elif self.path == "/generate":
            self._reply(self._generate(body))
        else:
            self.send_error(404)

    def _update(self, body: dict[str, Any]) -> None:
        """Takes a version; an update that the trainer gave up long ago comes to nothing.

        A real engine can't complete such a one either: the group of its update is gone.
        """
        with _Handler.lock:
            if body["order"] > _Handler.order:
                _Handler.version, _Handler.order = body["new_version"], body["order"]

    def _generate(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        begun, aborts = _Handler.version, _Handler.aborts
        whole = random.uniform(0, _SLOWEST_SECONDS)
        until = time.monotonic() + whole
        while (left := until - time.monotonic()) > 0 and _Handler.aborts == aborts:
            time.sleep(min(left, _SLICE_SECONDS))
        share = 1 - max(left, 0) / whole if whole else 1.0
        prompts = zip(body["input_ids"], body["sampling_params"], strict=True)
        return [_sample(prompt, sampling, begun, share) for prompt, sampling in prompts]

    def _reply(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _sample(given: list[int], sampling: dict[str, Any], begun: str, share: float) -> dict[str, Any]:
    """A share of a response, or of what is missing of it, half of it by the weights of the end."""
    first = given.index(_END_OF_PROMPT) + 1
    there = len(given) - first
    wanted = sampling["max_new_tokens"]
    length = int(share * wanted)
    tokens = answer(given[:first], sampling["sampling_seed"], there + length)[there:]
    spans = [(begun, 0, length)] if length else []
    if _Handler.version != begun and length > 1:
        spans = [(begun, 0, length // 2), (_Handler.version, length // 2, length)]
    finish = {"type": "length", "length": length} if length == wanted else {"type": "abort"}
    return {
        "output_ids": tokens,
        "meta_info": {
            "finish_reason": finish,
            "output_token_logprobs": [[logprob(token), token, None] for token in tokens],
            "weight_versions": [
                {"version": version, "start": start, "end": end} for version, start, end in spans
            ],
        },
    }


if __name__ == "__main__":
    lifeline.follow(int(sys.argv[2]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
