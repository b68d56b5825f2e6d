"""A trajectory as the trainer computes on it."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float32, Int64
from torch import Tensor


@dataclass(frozen=True)
class Trajectory:
    """A prompt and the tokens after it, with what each stage of a batch adds to them.

    A sample has one, or several next to each other. All tensors are on the CPU; fields of response
    tokens have one value per token.
    """

    tokens: Int64[Tensor, " length"]  # prompt, then response
    prompt_length: int
    loss_mask: Float32[Tensor, " response"]  # 0: no loss, e.g. a tool's tokens
    rollout_log_probs: Float32[Tensor, " response"]  # the engine's, while it generated
    truncated: bool = False  # cut at the maximum length
    version: int | None = None  # of the weights that generated all of it; None: several, or none
    sample: int | None = None  # its number in the batch; None: a sample of its own
    sample_tokens: int | None = None  # that its sample learns in all; None: those of this one
    token_rewards: Float32[Tensor, " response"] | None = None  # part of the sample's reward
    trainer_log_probs: Float32[Tensor, " response"] | None = None  # before the steps
    old_log_probs: Float32[Tensor, " response"] | None = None  # of the ratio; None: of the step
    reference_log_probs: Float32[Tensor, " response"] | None = None
    teacher_log_probs: Float32[Tensor, " response"] | None = None
    values: Float32[Tensor, " response"] | None = None  # the critic's, before the steps
    advantages: Float32[Tensor, " response"] | None = None
    returns: Float32[Tensor, " response"] | None = None  # what the critic learns

    @property
    def length(self) -> int:
        """Tokens of prompt and response."""
        return int(self.tokens.shape[0])

    @property
    def response_length(self) -> int:
        """Tokens of the response."""
        return self.length - self.prompt_length

    def replace(self, **changes: Any) -> "Trajectory":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)
