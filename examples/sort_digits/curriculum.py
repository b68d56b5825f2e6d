"""A source of prompts that makes them itself: first one digit to sort, then two, up to four."""

import random
from typing import Any

from rljob.api.data import DataSpec
from rljob_trainer.data.source import EndedGroup

LONGEST = 4
RECENT = 16  # groups whose rewards decide
ENOUGH = 0.8  # mean reward at which the next length begins


class Curriculum:
    """Strings of random digits, longer once the engines sort those of the present length."""

    def __init__(self, data: DataSpec, seed: int) -> None:
        self._input, self._label = data.input_key, data.label_key
        self._random = random.Random(seed)
        self._digits = 1
        self._rewards: list[float] = []

    def get_samples(self, count: int) -> list[dict[str, Any]]:
        """The next prompts, as lines of a file would be."""
        numbers = [
            "".join(self._random.choices("0123456789", k=self._digits)) for _ in range(count)
        ]
        return [{self._input: f"{n}>", self._label: "".join(sorted(n))} for n in numbers]

    def add_samples(self, groups: list[EndedGroup]) -> None:
        """Hears of groups that were trained on or dropped."""
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
        """What a checkpoint keeps."""
        return {
            "digits": self._digits,
            "rewards": self._rewards,
            "random": self._random.getstate(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint kept; tuples have become lists there."""
        self._digits = state["digits"]
        self._rewards = state["rewards"]
        version, words, gauss = state["random"]
        self._random.setstate((version, tuple(words), gauss))
