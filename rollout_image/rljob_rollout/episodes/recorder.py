"""Keeps what an engine saw and made in an episode, token by token."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from rljob.buffer.records import EMPTY, Segment, Tokens, Trajectory


class ReturnedError(Exception):
    """Samples that the user's code returned can't be learned: which, where, and what to do."""


@dataclass
class _Growing:
    """A trajectory so far; `tokens` are its prompt and all that followed."""

    prompt: list[int]
    tokens: list[int]
    segment: Segment = EMPTY
    rewards: dict[int, float] = field(default_factory=dict)  # by position in the segment
    learned: set[int] = field(default_factory=set)  # of `tokens`, by samples that were returned

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

    @property
    def contexts(self) -> list[list[int]]:
        """All tokens of each trajectory, its prompt included."""
        return [one.tokens for one in self._growing]

    def returned(self, samples: Sequence[Mapping[str, Any]]) -> tuple[Trajectory, ...]:
        """The trajectories of samples that the user's code has put together, one of each.

        A token is learned if the engine made it after exactly the tokens before it, and the mask
        does not take it out. What follows the last token that the recorder knows is left out.

        Args:
            samples: of each the `tokens` of prompt and response; the `length` of the response, the
                last of them; the `mask` of the response, 0: not learned, None: takes out nothing.

        Raises:
            ReturnedError: the engine saw or made other tokens, or a mask is 1 for a token that it
                did not make, or two samples would learn the same token.
        """
        trajectories = []
        for number, one in enumerate(samples, start=1):
            try:
                trajectories.append(self._returned(one["tokens"], one["length"], one["mask"]))
            except ReturnedError as error:
                which = "a sample" if len(samples) == 1 else f"sample {number} of {len(samples)}"
                raise ReturnedError(f"{which}, but its {error}") from None
        return tuple(trajectories)

    def _returned(
        self, tokens: Sequence[int], length: int, mask: Sequence[int] | None
    ) -> Trajectory:
        array, start = np.array(tokens, np.int32), len(tokens) - length
        wanted = np.zeros(len(tokens), bool)
        wanted[start:] = True if mask is None else np.array(mask, bool)
        owner = np.full(len(tokens), -1)
        again = np.zeros(len(tokens), bool)  # another sample learns it
        common = [_common(one.tokens, array) for one in self._growing]
        known = max(common, default=0)
        whole = max(
            (
                same
                for one, same in zip(self._growing, common, strict=True)
                if same == len(one.tokens)
            ),
            default=-1,
        )
        # Calls may have made the same tokens: the one that goes on longest as the sample does is
        # taken, and for what another sample learns of it, another.
        for number in sorted(range(len(common)), key=lambda number: -common[number]):
            one = self._growing[number]
            made = np.flatnonzero(one.segment.loss_mask) + len(one.prompt)
            free = made[made < common[number]]
            free = free[(owner[free] < 0) | again[free]]
            owner[free], again[free] = number, np.isin(free, list(one.learned))
        if known < len(tokens) and (wanted[known:].any() if mask is not None else known != whole):
            raise ReturnedError(
                f"tokens differ from the engine's at position {known}: found {tokens[known]}; "
                "build sample.tokens from the input_ids and output_token_logprobs, not from text, "
                "or set loss_mask to 0 there"
            )
        alien = np.flatnonzero(wanted[start:known] & (owner[start:known] < 0))
        if mask is not None and len(alien):
            raise ReturnedError(
                f"loss_mask is 1 at position {start + alien[0]} of the tokens ({alien[0]} of the "
                "response), which the engine did not make; allowed: 0 there"
            )
        if len(twice := np.flatnonzero(wanted & again)):
            raise ReturnedError(
                f"token at position {twice[0]} is learned in an earlier sample, too; allowed: "
                "loss_mask 0 for it in all samples but one"
            )
        segment = EMPTY
        for begin, end in _runs(owner, start, known):
            if owner[begin] < 0:
                piece = Segment.given(array[begin:end])
            else:
                one = self._growing[owner[begin]]
                piece = one.segment.part(begin - len(one.prompt), end - len(one.prompt))
                piece = replace(piece, loss_mask=wanted[begin:end].astype(np.uint8))
                one.learned.update((np.flatnonzero(wanted[begin:end]) + begin).tolist())
            segment = segment.followed_by(piece)
        is_same = list(tokens[:start]) == self._prompt
        return Trajectory(None if is_same else array[:start], segment)

    def _trajectory(self, one: _Growing) -> Trajectory:
        prompt: Tokens | None = None
        if one.prompt != self._prompt:
            prompt = np.array(one.prompt, np.int32)
        if not one.rewards:
            return Trajectory(prompt, one.segment)
        rewards = np.zeros(len(one.segment), np.float32)
        rewards[list(one.rewards)] = list(one.rewards.values())
        return Trajectory(prompt, one.segment, rewards)


def _common(some: Sequence[int], others: Tokens) -> int:
    """How many tokens at the start are the same."""
    length = min(len(some), len(others))
    differ = np.flatnonzero(np.array(some[:length], np.int32) != others[:length])
    return int(differ[0]) if len(differ) else length


def _runs(owner: np.ndarray[Any, Any], start: int, end: int) -> Iterator[tuple[int, int]]:
    """From `start` to `end`, where values that are the same begin and end."""
    edges = np.flatnonzero(np.diff(owner[start:end])) + 1 + start
    return ((one, next_) for one, next_ in pairwise([start, *edges.tolist(), end]) if one < next_)
