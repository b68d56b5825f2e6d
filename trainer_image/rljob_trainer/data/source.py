"""The interface of every source of prompts."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import structlog

from rljob.api.data import DataSpec
from rljob.buffer.records import Completion, Group, Sample
from rljob.errors import UsageError
from rljob_trainer.data.bad_share import BadShare

log = structlog.get_logger()


@dataclass(frozen=True)
class PromptRef:
    """Which prompt of which epoch: identifies one use of a prompt."""

    epoch: int
    index: int  # line number over all files, from 0; keeps counting if the length is not known


@dataclass(frozen=True)
class Answer:
    """What is to be learned after a prompt, with the tokens that end it."""

    text: str
    tokens: npt.NDArray[np.int32]  # [answer]


@dataclass(frozen=True)
class Prompt:
    """A prompt, ready to become a group."""

    text: str
    tokens: npt.NDArray[np.int32]  # [prompt]
    messages: list[dict[str, Any]] | None  # that the chat template has rendered, if it has
    label: Any
    metadata: dict[str, Any]
    answer: Answer | None = None  # where the label is to be learned


@dataclass(frozen=True)
class LongPrompt:
    """A prompt that is left out because of its length, or that of its answer.

    Args:
        where: file and line.
        tokens: its length.
        allowed: the longest allowed.
        limit: the field that says so.
        noun: what is too long.
    """

    where: str
    tokens: int
    allowed: int
    limit: str = "spec.data.maxPromptTokens"
    noun: str = "prompt"


@dataclass(frozen=True)
class BadPrompt:
    """A prompt that can't be used; the reason begins with where it is."""

    reason: str


Drawn = Prompt | LongPrompt | BadPrompt


@dataclass(frozen=True)
class Skipped:
    """A prompt that does not become a group, and why."""

    reason: str
    is_bad: bool = False  # invalid, rather than just too long


@dataclass(frozen=True)
class EndedGroup:
    """What became of a drawn prompt.

    Args:
        index: its number among the prompts that the source has given, from 0.
        prompt: as the model sees it.
        label: as the source gave it.
        metadata: as the source gave it, with the prompt's place as `source`.
        samples: with their rewards; none where the group failed.
        outcome: trained on, or not.
        reason: why it was dropped; None where it was consumed.
    """

    index: int
    prompt: str
    label: Any
    metadata: dict[str, Any]
    samples: tuple[Sample, ...]
    outcome: Literal["consumed", "dropped"]
    reason: str | None

    @classmethod
    def of(
        cls, group: Group, ref: PromptRef, completion: Completion | None, reason: str | None = None
    ) -> "EndedGroup":
        """The end of a group: dropped if there is a reason, otherwise consumed."""
        return cls(
            index=ref.index,
            prompt=group.prompt,
            label=group.label,
            metadata=group.metadata,
            samples=completion.samples if completion is not None else (),
            outcome="consumed" if reason is None else "dropped",
            reason=reason,
        )


class PromptSource(ABC):
    """An endless stream of prompts, with a cursor to resume from. Lives on rank 0."""

    prompts: int | None
    """Prompts in an epoch; None: unknown, and there is only one epoch."""

    patience: int
    """How many prompts in a row may be unusable before the run ends with an error."""

    files: dict[str, str]
    """The checksum of each file's content, by its path; empty for a custom source."""

    def __init__(self, spec: DataSpec) -> None:
        self.bad_share = BadShare(spec.max_bad_share)
        self.skipped = 0  # too long
        self._skipped_in_a_row = 0

    def draw(self, count: int) -> list[tuple[PromptRef, Prompt | Skipped]]:
        """The next prompts: `count`, or fewer but at least one.

        Raises:
            UsageError: too many were bad, or too long; names the last one.
        """
        return [(ref, self._accepted(prompt)) for ref, prompt in self._take(count)]

    @abstractmethod
    def save(self) -> dict[str, Any]:
        """The cursor for a checkpoint, in plain types and bytes. It covers drawn prompts only."""

    @abstractmethod
    def load(self, cursor: dict[str, Any]) -> None:
        """Continues from a cursor.

        Raises:
            UsageError: the source has changed since the cursor was saved.
        """

    def end(self, groups: Sequence[EndedGroup]) -> None:  # noqa: B027 (most sources don't learn)
        """Tells the source what became of prompts that it gave."""

    def close(self) -> None:  # noqa: B027 (most sources hold nothing)
        """Releases processes and files."""

    @abstractmethod
    def _take(self, count: int) -> Iterable[tuple[PromptRef, Drawn]]:
        """The next prompts, as for `draw`; the cursor moves past whatever is taken."""

    def _accepted(self, prompt: Drawn) -> Prompt | Skipped:
        self.bad_share.drawn += 1
        if isinstance(prompt, Prompt):
            self._skipped_in_a_row = 0
            return prompt
        if isinstance(prompt, BadPrompt):
            self.bad_share.add(prompt.reason)
            return Skipped(prompt.reason, is_bad=True)
        log.warning("prompt.skipped", where=prompt.where, tokens=prompt.tokens)
        self.skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= self.patience:
            which = "the last" if self.prompts is None else "all"
            raise UsageError(
                f"{prompt.limit}: {which} {self._skipped_in_a_row} {prompt.noun}s are longer "
                f"than {prompt.allowed} tokens"
            )
        return Skipped(f"longer than {prompt.limit}")
