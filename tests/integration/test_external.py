"""A server that the user provides, which a run leaves as it found it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.job import Run
from tests.support.valkey import ValkeyServer

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_no_key_is_left_after_a_stop_nor_after_the_end(
    new_run: Callable[..., Run], tmp_path: Path
) -> None:
    with ValkeyServer(tmp_path / "server") as server, server.client() as client:
        client.set("someone's", "value")
        run = new_run("external", buffer={"external": {"url": server.url}}).start()
        run.wait_until(lambda: run.trained() >= 2, "the second batch")
        assert len(client.keys()) > 1
        run.interrupt()
        assert run.wait() == 130, run.text()
        assert client.keys() == [b"someone's"]
        assert run.run() == 0, run.text()
        assert client.keys() == [b"someone's"]
    assert "the run has ended" in run.audit()
