"""Keeps what an engine saw and made in an episode, token by token."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rljob.buffer.records import EMPTY, Segment, Tokens, Trajectory


@dataclass
class _Growing:
    """A trajectory so far; `tokens` are its prompt and all that followed."""

    prompt: list[int]
    tokens: list[int]
    segment: Segment = EMPTY
    rewards: dict[int, float] = field(default_factory=dict)  # by position in the segment

    def is_begun_by(self, context: Sequence[int]) -> bool:
        """Whether `context` is this trajectory, or goes on from it."""
        length = len(self.tokens)
        return len(context) >= length and list(context[:length]) == self.tokens


class Recorder:
    """Makes trajectories of the calls of an episode.

    A call whose context goes on from where a trajectory stands extends it: what lies between is
    from a tool or the environment, and is not learned. Any other call begins a trajectory: a
    sub-agent, a context that was cut, a second answer to the same history. So no token is ever
    learned in a context other than the one in which the engine made it, and none is learned twice.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        """`prompt` are the tokens of the group's prompt."""
        self._prompt = list(prompt)
        self._growing: list[_Growing] = []
        self._last: _Growing | None = None

    def add(self, context: Sequence[int], segment: Segment) -> None:
        """Adds what the engine made, and the tokens from which it went on."""
        going_on = [one for one in self._growing if one.is_begun_by(context)]
        if going_on:
            one = max(going_on, key=lambda one: len(one.tokens))
        else:
            one = _Growing(list(context), list(context))
            self._growing.append(one)
        between = list(context[len(one.tokens) :])
        if between:
            one.segment = one.segment.followed_by(Segment.given(np.array(between, np.int32)))
        one.segment = one.segment.followed_by(segment)
        one.tokens += [*between, *segment.tokens.tolist()]
        self._last = one

    def reward(self, value: float) -> None:
        """Adds to what the last generated token earns.

        Raises:
            ValueError: no token was generated yet.
        """
        learned = np.flatnonzero(self.last_segment.loss_mask)
        if self._last is None or not len(learned):
            raise ValueError("a reward before the first generated token")
        position = int(learned[-1])
        self._last.rewards[position] = self._last.rewards.get(position, 0.0) + value

    @property
    def earned(self) -> float:
        """The sum of all rewards so far."""
        return sum(sum(one.rewards.values()) for one in self._growing)

    @property
    def last_segment(self) -> Segment:
        """The segment that grew last; without a call, an empty one."""
        return self._last.segment if self._last else EMPTY

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """What was recorded; without a call, one trajectory without tokens."""
        if not self._growing:
            return (Trajectory(None, EMPTY),)
        return tuple(self._trajectory(one) for one in self._growing)

    def _trajectory(self, one: _Growing) -> Trajectory:
        prompt: Tokens | None = None
        if one.prompt != self._prompt:
            prompt = np.array(one.prompt, np.int32)
        if not one.rewards:
            return Trajectory(prompt, one.segment)
        rewards = np.zeros(len(one.segment), np.float32)
        rewards[list(one.rewards)] = list(one.rewards.values())
        return Trajectory(prompt, one.segment, rewards)
