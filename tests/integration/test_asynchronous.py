"""Two engines, generation one version ahead; a buffer that is lost, an engine that hangs."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.job import Run
from tests.support.valkey import ValkeyServer

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ROLLOUTS = 200  # enough for an engine to be missed, to come back and to be caught up
BATCH = 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """The user's own server."""
    server = ValkeyServer(tmp_path / "server")
    server.start()
    yield server
    server.stop()


def engines(run: Run) -> list[int]:
    """Leaders of the engines' process groups."""
    family = psutil.Process(run.pid).children(recursive=True)
    return [each.pid for each in family if "rljob_rollout.engine_server" in each.cmdline()]


def test_two_engines_one_version_ahead_one_hangs_and_the_buffer_is_gone_twice(
    new_run: Callable[..., Run], server: ValkeyServer
) -> None:
    """The server freezes for 10 s, an engine hangs and comes back, the server loses its data.

    Training goes on, and nothing is lost or doubled.
    """

    def logged(event: str) -> int:
        files = run.directory.rglob("stdout.log")
        return sum(path.read_text().count(event) for path in files)

    run = new_run(
        "asynchronous",
        schedule__rollouts=ROLLOUTS,
        schedule__maxStaleness=1,
        rollout__replicas=2,
        rollout__maxConcurrentGroups=4,  # so that one engine cannot take it all
        buffer={"external": {"url": server.url}},
    ).start()
    run.wait_until(lambda: run.trained() >= 2, "the second batch")
    server.pause()
    time.sleep(10)  # the fault's length
    server.resume()
    run.wait_until(lambda: run.trained() >= 5, "batches after the pause")
    run.wait_until(lambda: logged("members=2") > 0, "both engines take part in updates")
    hanging, _ = engines(run)
    os.killpg(hanging, signal.SIGSTOP)
    run.wait_until(lambda: logged("engine.silent") == 1, "the worker notices")
    trained, caught_up = run.trained(), logged("engine.caught_up")
    run.wait_until(lambda: run.trained() >= trained + 3, "batches with the other engine")
    assert logged("engine.caught_up") == caught_up
    os.killpg(hanging, signal.SIGCONT)
    run.wait_until(lambda: logged("engine.caught_up") > caught_up, "the engine has the weights")
    assert logged("engine.answers") == 1
    server.restart(empty=True)
    assert run.wait() == 0, run.text()

    consumed = run.consumed()
    assert len(consumed) == ROLLOUTS * BATCH
    assert len({(epoch, index) for _, epoch, index in consumed}) == len(consumed)
    staleness = [e["version"] - e["versions"][0] for e in run.events("consume")]
    assert max(staleness) == 1
    assert max(record["staleness/max"] for record in run.records("metrics")) == 1
    assert run.summary()["staleness_max"] == 1
    assert "the stalest 1 versions old (allowed: 1)" in run.audit()
    logs = "".join(path.read_text() for path in run.directory.rglob("*.log") if path.is_file())
    assert "members=2" in logs
