"""An engine that generates by arithmetic: SGLang's HTTP API as the worker and a publisher use it.

Run as `python -m tests.faults.samples.engine PORT SUPERVISOR`. What it answers follows from the
prompt and the sampling seed alone, so that everyone can tell whose answer a response is.
"""

import json
import random
import sys
import time
import zlib
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rljob.telemetry import lifeline

DIGITS = range(3, 13)  # tokens of the sorting task
_SLOWEST_SECONDS = 0.3


def answer(prompt: Sequence[int], seed: int, length: int) -> list[int]:
    """The tokens of the response."""
    chance = random.Random(zlib.crc32(json.dumps([list(prompt), seed]).encode()))
    # Half of the answers of a group are alike, so that some groups have no spread in reward.
    return [chance.choice(DIGITS) for _ in range(length)]


def logprob(token: int) -> float:
    """The log-probability of a token of a response."""
    return -token / 16


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    version = "default"

    def do_GET(self) -> None:
        self._reply({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        if self.path == "/update_weight_version":
            _Handler.version = body["new_version"]
            self._reply({})
        elif self.path == "/generate":
            self._reply(self._generate(body))
        else:
            self.send_error(404)

    def _generate(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        begun = _Handler.version
        time.sleep(random.uniform(0, _SLOWEST_SECONDS))
        ended = _Handler.version
        prompts = zip(body["input_ids"], body["sampling_params"], strict=True)
        return [self._sample(prompt, sampling, begun, ended) for prompt, sampling in prompts]

    def _sample(
        self, prompt: list[int], sampling: dict[str, Any], begun: str, ended: str
    ) -> dict[str, Any]:
        length = sampling["max_new_tokens"]
        tokens = answer(prompt, sampling["sampling_seed"], length)
        spans = [(begun, 0, length)]
        if ended != begun:
            spans = [(begun, 0, length // 2), (ended, length // 2, length)]
        return {
            "output_ids": tokens,
            "meta_info": {
                "finish_reason": {"type": "length", "length": length},
                "output_token_logprobs": [[logprob(token), token, None] for token in tokens],
                "weight_versions": [
                    {"version": version, "start": start, "end": end}
                    for version, start, end in spans
                ],
            },
        }

    def _reply(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


if __name__ == "__main__":
    lifeline.follow(int(sys.argv[2]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
