"""Processes of a generate function that can't be loaded."""

import asyncio
from pathlib import Path

import pytest

from rljob.api.rollout import EpisodesSpec
from rljob.errors import UsageError
from rljob_rollout.episodes.hosts import Hosts


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
