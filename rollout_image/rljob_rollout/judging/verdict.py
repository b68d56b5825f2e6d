"""The result of judging a sample: a score, or why there is none."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN = 200  # characters of a value in a message


@dataclass(frozen=True)
class Score:
    """A reward, and what else the function returned about the sample."""

    reward: float
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """Why a sample could not be judged.

    Args:
        what: what the reward did, such as "raised KeyError: 'answer'".
        is_usage: the user has to change something; then `what` is the whole message.
    """

    what: str
    is_usage: bool = False


Verdict = Score | Failure


def verdict(value: Any) -> Verdict:
    """Checks what a reward function has returned."""
    metadata: dict[str, Any] = {}
    number = value
    if isinstance(value, Mapping):
        metadata = {str(key): item for key, item in value.items() if key != "reward"}
        number = value.get("reward")
    try:
        # A string that looks like a number is most likely a mistake.
        reward = math.nan if isinstance(number, str | bytes | None) else float(number)
    except (TypeError, ValueError, OverflowError):
        reward = math.nan
    if not math.isfinite(reward):
        return Failure(
            f'returned {short(value)}; allowed: a finite number, or a dict with one as "reward"'
        )
    try:
        # Round-trip through JSON, so that other processes need not know the user's classes.
        return Score(reward, json.loads(json.dumps(metadata)))
    except (TypeError, ValueError, RecursionError) as error:
        return Failure(f"returned {short(value)}: {error}; allowed next to the reward: JSON values")


def verdicts(values: Any, count: int) -> list[Verdict] | Failure:
    """Checks what a function that judges `count` samples has returned."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes) or len(values) != count:
        items = f", {len(values)} items" if isinstance(values, Sequence) else ""
        return Failure(f"returned {short(values)}{items}; allowed: a list of {count} rewards")
    return [verdict(value) for value in values]


def short(value: Any) -> str:
    """A value, shortened for a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
