"""Processes of a generate function: how they start, are lost and are replaced."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rljob.api.rollout import EpisodesSpec
from rljob.errors import UsageError
from rljob_rollout.episodes.hosts import HostLostError, Hosts


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("no_such_module:play", "the module 'no_such_module' does not import: ModuleNotFoundError"),
        ("play:no_such_function", "is nothing; allowed: async def"),
        ("play:not_async", "is a function, not async; allowed: async def"),
    ],
)
def test_the_field_is_named(hook: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "code")
    hosts = Hosts(hook, EpisodesSpec(), 0)
    with pytest.raises(UsageError, match=r"spec\.rollout\.generate: found") as raised:
        asyncio.run(hosts.start())
    assert message in str(raised.value)


ORDER: dict[str, Any] = {
    "url": "http://127.0.0.1:1",
    "sample": {
        "prompt": "4>",
        "prompt_tokens": [4],
        "messages": [],
        "label": None,
        "metadata": {},
        "index": 0,
        "seed": 1,
    },
    "context": {
        "base_url": "",
        "api_key": "",
        "model": "",
        "evaluation": False,
        "max_turns": None,
        "context_tokens": 8,
        "seconds": 60,
        "tool_concurrency": 1,
    },
}


@pytest.fixture
def hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Callable[[Hosts], Coroutine[Any, Any, Any]]], Any]:
    """Runs a test with one process of a module of this text."""
    monkeypatch.syspath_prepend(tmp_path)

    def run(text: str, body: Callable[[Hosts], Coroutine[Any, Any, Any]]) -> Any:
        (tmp_path / "player.py").write_text(text)

        async def whole() -> Any:
            made = Hosts("player:play", EpisodesSpec(processes=1), 0)
            await made.start()
            try:
                return await body(made)
            finally:
                await made.close()

        return asyncio.run(whole())

    return run


EXITS = """
import os
async def play(sample, engine, context):
    os._exit(7)
"""
SEEDED = """
import asyncio
async def play(sample, engine, context):
    await asyncio.sleep(0)
    return {"reward": context.random.random(), "index": sample.index}
"""


def test_a_process_that_cannot_be_replaced_is_told(hosts: Any, tmp_path: Path) -> None:
    async def body(made: Hosts) -> None:
        (tmp_path / "player.py").write_text("import no_such_library\n")
        with pytest.raises(HostLostError, match="exit code 7"):
            await made.play(ORDER)
        with pytest.raises(UsageError, match="no_such_library"):
            await made.play(ORDER)

    hosts(EXITS, body)


def test_a_single_episode_is_the_culprit_and_the_next_process_plays_on(
    hosts: Any, tmp_path: Path
) -> None:
    async def body(made: Hosts) -> Any:
        (tmp_path / "player.py").write_text(SEEDED)
        with pytest.raises(HostLostError) as lost:
            await made.play(ORDER)
        assert lost.value.is_culprit
        return [await made.play(ORDER) for _ in range(2)] + [await made.play_alone(ORDER)]

    answers = [answer["result"] for answer in hosts(EXITS, body)]
    assert answers[0]["metadata"] == {"index": 0}
    # The same sample plays the same, wherever it is played.
    assert len({answer["reward"] for answer in answers}) == 1
