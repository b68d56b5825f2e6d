"""A source that makes its own prompts: first one digit to sort, then two, up to four."""

import random
from typing import Any

from rljob.api.data import DataSpec
from rljob_trainer.data.source import EndedGroup

LONGEST = 4
RECENT = 16  # groups whose rewards decide
ENOUGH = 0.8  # mean reward at which the next length starts


class Curriculum:
    """Strings of random digits, which get longer once the engines sort the present length."""

    def __init__(self, data: DataSpec, seed: int) -> None:
        self._input, self._label = data.input_key, data.label_key
        self._random = random.Random(seed)
        self._digits = 1
        self._rewards: list[float] = []

    def get_samples(self, count: int) -> list[dict[str, Any]]:
        """Returns the next prompts, in the form of lines of a file."""
        numbers = [
            "".join(self._random.choices("0123456789", k=self._digits)) for _ in range(count)
        ]
        return [{self._input: f"{n}>", self._label: "".join(sorted(n))} for n in numbers]

    def add_samples(self, groups: list[EndedGroup]) -> None:
        """Learns from groups that were trained on or dropped."""
        for group in groups:
            if group.samples and len(group.label) == self._digits:
                rewards = [sample.reward for sample in group.samples]
                self._rewards.append(sum(rewards) / len(rewards))
        recent = self._rewards[-RECENT:]
        if len(recent) == RECENT and sum(recent) / RECENT >= ENOUGH and self._digits < LONGEST:
            self._digits += 1
            recent = []
        self._rewards = recent

    def save(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {
            "digits": self._digits,
            "rewards": self._rewards,
            "random": self._random.getstate(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restores a checkpoint's state, in which tuples have become lists."""
        self._digits = state["digits"]
        self._rewards = state["rewards"]
        version, words, gauss = state["random"]
        self._random.setstate((version, tuple(words), gauss))
