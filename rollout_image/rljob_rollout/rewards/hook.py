"""The user's own reward: `module:function`."""

import asyncio
import importlib
import inspect
from typing import Any

from rljob.errors import UsageError
from rljob_rollout.rewards.reward import RewardFailed, RewardInput, finite


class HookReward:
    """Calls `function(sample)`, plain or async; it returns a number, or a dict with "reward".

    Raises:
        UsageError: at construction, if the module does not import or lacks the function.
    """

    def __init__(self, hook: str, field: str, timeout: float) -> None:
        module, _, attribute = hook.partition(":")
        try:
            self._function = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise UsageError(
                f"{field}: cannot load {hook!r}: {type(error).__name__}: {error}; allowed: "
                '"module:function" on PYTHONPATH'
            ) from error
        self._hook = hook
        self._timeout = timeout

    async def score(self, sample: RewardInput) -> float:
        """What the function says of the sample."""
        try:
            async with asyncio.timeout(self._timeout):
                value = await self._call(sample)
        except TimeoutError as error:
            raise RewardFailed(f"{self._hook} took more than {self._timeout:g} s") from error
        except Exception as error:
            raise RewardFailed(f"{self._hook} raised {type(error).__name__}: {error}") from error
        if isinstance(value, dict):
            value = value.get("reward")
        return finite(value, self._hook)

    async def _call(self, sample: RewardInput) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(sample)
        return await asyncio.to_thread(self._function, sample)
