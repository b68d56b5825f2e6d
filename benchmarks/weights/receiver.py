"""A receiver that loads no weights: SGLang's endpoints, but the bytes are only received.

Run as `python -m benchmarks.weights.receiver PORT SUPERVISOR`.
"""

import json
import sys
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, TCPStore
from torch.distributed.distributed_c10d import (
    Backend,
    GroupName,
    _new_process_group_helper,
    _world,
)

from rljob.telemetry import lifeline

RAW_PATH = "/raw"  # receives broadcasts of the sizes listed in the body, without further requests


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as in the engine's server: send replies without delay
    groups: ClassVar[dict[str, dist.ProcessGroup]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        if self.path == "/init_weights_update_group":
            self._join(body)
        elif self.path == "/update_weights_from_distributed":
            size = sum(
                torch.Size(shape).numel() * getattr(torch, dtype).itemsize
                for shape, dtype in zip(body["shapes"], body["dtypes"], strict=True)
            )
            self._receive(body["group_name"], [size])
        elif self.path == RAW_PATH:
            self._receive(body["group_name"], body["sizes"])
        elif self.path == "/destroy_weights_update_group":
            group = self.groups.pop(body["group_name"], None)
            if group is not None:  # None: it was never formed
                dist.destroy_process_group(group)
        reply = b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _join(self, body: dict[str, Any]) -> None:
        name, size = body["group_name"], body["world_size"]
        store = TCPStore(body["master_address"], body["master_port"], size, False)
        group, _ = _new_process_group_helper(
            size,
            body["rank_offset"],
            [],
            Backend(body["backend"]),
            PrefixStore(name, store),
            group_name=GroupName(name),
            timeout=timedelta(minutes=10),
        )
        assert isinstance(group, dist.ProcessGroup)
        _world.pg_group_ranks[group] = {rank: rank for rank in range(size)}
        self.groups[name] = group

    def _receive(self, group: str, sizes: list[int]) -> None:
        for size in sizes:
            dist.broadcast(torch.empty(size, dtype=torch.uint8), src=0, group=self.groups[group])


if __name__ == "__main__":
    lifeline.follow(int(sys.argv[2]))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
