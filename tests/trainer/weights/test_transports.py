"""Every transport with a real engine: weights and version arrive, even after a failure."""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from rljob.api import RLJob
from rljob.buffer.records import Engine
from rljob.errors import UsageError
from rljob_trainer.weights.bucket import buckets
from rljob_trainer.weights.disk import DiskGroup
from rljob_trainer.weights.engine import EngineControl, EngineFailedError
from rljob_trainer.weights.engine_group import EngineGroup
from rljob_trainer.weights.host_memory import HostMemory
from rljob_trainer.weights.ipc import IpcGroup
from rljob_trainer.weights.snapshot import Snapshot
from rljob_trainer.weights.transport import open_transport
from rljob_trainer.weights.version_store import VersionStore
from tests.support.engine import ADMIN_KEY, API_KEY, RunningEngine
from tests.support.job import manifest

pytestmark = pytest.mark.engine

CPU = torch.device("cpu")
TOKENS = [5, 3, 8, 2, 7, 4, 6, 3, 5]
LIMIT = 100_000  # bytes of a bucket: several
TRANSPORTS: dict[str, dict[str, Any]] = {
    "broadcast": {"weights": {"transport": "broadcast"}},
    "disk": {"weights": {"transport": "disk"}},
    "deltas": {"weights": {"transport": "disk", "fullInterval": 3}},
    "ipc": {"weights": {"transport": "ipc"}, "device": "cpu"},
}


def weights(task: Path, version: int) -> dict[str, torch.Tensor]:
    """The model's, some way off, another for each version."""
    noise = torch.Generator().manual_seed(version)
    with safe_open(task / "model" / "model.safetensors", "pt") as file:
        return {
            name: file.get_tensor(name)
            + 0.02 * torch.randn(file.get_slice(name).get_shape(), generator=noise)
            for name in sorted(file.keys())
        }


def snapshot_of(task: Path, version: int) -> Snapshot:
    snapshot = Snapshot(version)
    snapshot.fill(buckets(weights(task, version).items(), LIMIT, HostMemory()))
    return snapshot


def expected(task: Path, version: int) -> torch.Tensor:
    """Log-probabilities of the tokens after the first, by transformers."""
    model = AutoModelForCausalLM.from_pretrained(task / "model", dtype=torch.float32)
    model.load_state_dict(weights(task, version), strict=False)
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0, :-1]
    following = torch.tensor(TOKENS[1:])[:, None]
    return logits.log_softmax(-1).gather(1, following)[:, 0]


def served(engine: RunningEngine) -> tuple[torch.Tensor, str]:
    """The same by the engine, and the version that it has."""
    body = {
        "input_ids": TOKENS,
        "sampling_params": {"max_new_tokens": 1},
        "return_logprob": True,
        "logprob_start_len": 0,
    }
    headers = {"Authorization": f"Bearer {API_KEY}"}
    reply = httpx.post(
        engine.url + "/generate", json=body, headers=headers, timeout=60, trust_env=False
    ).json()
    found = [entry[0] for entry in reply["meta_info"]["input_token_logprobs"][1:]]
    return torch.tensor(found), reply["meta_info"]["weight_version"]


def control(url: str) -> EngineControl:
    return EngineControl(Engine(id=url, worker="worker", url=url), ADMIN_KEY, 60.0)


async def bring(group: EngineGroup, snapshot: Snapshot) -> None:
    """As the publisher does it."""
    await group.prepare(snapshot)
    await group.each(lambda member: member.pause("retract"))
    await group.deliver(snapshot, flush_cache=True)
    await group.each(EngineControl.resume)


def agree(engine: RunningEngine, version: int) -> None:
    found, label = served(engine)
    assert label == str(version)
    torch.testing.assert_close(found, expected(engine.task, version), rtol=0, atol=1e-4)


def own_shared_memory() -> list[Path]:
    return list(Path("/dev/shm").glob(f"torch_{os.getpid()}_*"))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_weights_arrive(transport: str, engine: RunningEngine, tmp_path: Path) -> None:
    """Five versions in one group, the last also to a group of its own, as of one that is late."""
    spec = RLJob.model_validate(manifest(engine.task, **TRANSPORTS[transport])).spec
    opened = open_transport(spec, host="127.0.0.1", device=CPU, run_dir=tmp_path)

    async def run() -> None:
        group = opened.new_group([control(engine.url)], lambda _: True)
        await group.meet()
        for version in range(1, 6):
            snapshot = snapshot_of(engine.task, version)
            await bring(group, snapshot)
            await asyncio.to_thread(agree, engine, version)
        await group.close()
        engine.reset()
        late = opened.new_group([control(engine.url)], lambda _: True)
        await late.meet()
        await bring(late, snapshot)
        await late.close()

    asyncio.run(run())
    agree(engine, 5)
    opened.close()
    assert own_shared_memory() == []
    assert not list((tmp_path / "weights").glob("*"))


def with_group(
    group: EngineGroup, work: Callable[[EngineGroup], Coroutine[Any, Any, None]]
) -> None:
    async def run() -> None:
        try:
            await work(group)
        finally:
            await group.close()

    asyncio.run(run())


def damage(version: Path) -> None:
    """One bit of what the first file of a version has."""
    file = min(version.glob("model-*"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("full_interval", [1, 3])
def test_a_damaged_version_is_written_anew(
    full_interval: int, engine: RunningEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = VersionStore(tmp_path, companions=engine.task / "model", full_interval=full_interval)
    group = DiskGroup([control(engine.url)], store=store, timeout=60.0, is_live=lambda _: True)

    async def work(group: EngineGroup) -> None:
        await bring(group, snapshot_of(engine.task, 1))
        snapshot = snapshot_of(engine.task, 2)
        damage(await store.write(snapshot, group))
        await bring(group, snapshot)
        await asyncio.to_thread(agree, engine, 2)
        await bring(group, snapshot_of(engine.task, 3))

    with_group(group, work)
    agree(engine, 3)
    assert capsys.readouterr().out.count("weights.damaged") == 1


def test_only_the_administrator_has_weights_prepared(engine: RunningEngine, tmp_path: Path) -> None:
    for key in (None, API_KEY):
        reply = httpx.post(
            engine.url + "/prepare_weights",
            json={"directory": str(tmp_path)},
            headers={"Authorization": f"Bearer {key}"} if key else {},
            trust_env=False,
        )
        assert reply.status_code == 401


def test_a_bucket_that_memory_has_no_room_for_is_a_mistake(
    engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage("/dev/shm")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    group = IpcGroup(
        [control(engine.url)], device=CPU, ranks_per_engine=1, timeout=60.0, is_live=lambda _: True
    )

    async def work(group: EngineGroup) -> None:
        with pytest.raises(UsageError, match=r"spec.weights.bucketMebibytes: .* 1000 left"):
            await bring(group, snapshot_of(engine.task, 1))
        await group.each(EngineControl.recover)

    with_group(group, work)


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of an engine that refuses weights, which a real one does only when it is broken.

    A stand-in: it answers to everything else that it is done.
    """

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(400 if self.path == "/update_weights_from_tensor" else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_engine_that_refuses_takes_no_other_along(engine: RunningEngine, refusing: str) -> None:
    """It is told which one has failed; the other one lives, and no memory stays behind."""

    def group_of(*members: EngineControl) -> IpcGroup:
        return IpcGroup(
            members, device=CPU, ranks_per_engine=1, timeout=60.0, is_live=lambda _: True
        )

    async def fail(group: EngineGroup) -> None:
        await group.meet()
        with pytest.raises(EngineFailedError) as raised:
            await bring(group, snapshot_of(engine.task, 6))
        assert raised.value.engine.url == refusing
        assert own_shared_memory() == []

    async def succeed(group: EngineGroup) -> None:
        await group.meet()
        await bring(group, snapshot_of(engine.task, 7))

    with_group(group_of(control(engine.url), control(refusing)), fail)
    with_group(group_of(control(engine.url)), succeed)
    agree(engine, 7)
