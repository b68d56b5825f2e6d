"""A batch of prompts with their answers, as the ranks compute on it: arrays, without texts."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rljob_trainer.data.source import Prompt
from rljob_trainer.trajectories.trajectory import Trajectory


class ExampleBatch:
    """The examples of a batch.

    It is made at the desk of drawn prompts, and on the other ranks of the `arrays` sent to them.
    """

    def __init__(self, arrays: dict[str, Tensor]) -> None:
        """Takes the arrays of another one, see `of`."""
        self.arrays = arrays

    @classmethod
    def of(cls, prompts: Sequence[Prompt]) -> "ExampleBatch":
        """The batch of prompts that have answers.

        Per token of prompts and answers: int32 `tokens`; per example: `prompts` and `answers`,
        their lengths.
        """
        pairs = [(each.tokens, each.answer.tokens) for each in prompts if each.answer is not None]
        flat = np.concatenate([tokens for pair in pairs for tokens in pair])
        return cls(
            {
                "tokens": torch.from_numpy(flat),
                "prompts": torch.tensor([len(prompt) for prompt, _ in pairs]),
                "answers": torch.tensor([len(answer) for _, answer in pairs]),
            }
        )

    def trajectories(self) -> list[Trajectory]:
        """One of each example: the answer's tokens are learned, the prompt's are not."""
        prompts, answers = self.arrays["prompts"], self.arrays["answers"]
        tokens = torch.split(self.arrays["tokens"].long(), (prompts + answers).tolist())
        return [
            Trajectory(
                tokens=tokens[n],
                prompt_length=prompt,
                loss_mask=torch.ones(answer),
                rollout_log_probs=torch.zeros(answer),  # no engine has sampled it
            )
            for n, (prompt, answer) in enumerate(
                zip(prompts.tolist(), answers.tolist(), strict=True)
            )
        ]

    def metrics(self) -> dict[str, float]:
        """The lengths of the answers."""
        lengths = self.arrays["answers"].float()
        return {
            "response/length_mean": lengths.mean().item(),
            "response/length_min": lengths.min().item(),
            "response/length_max": lengths.max().item(),
            "response/length_p50": lengths.quantile(0.5).item(),
            "response/length_p95": lengths.quantile(0.95).item(),
        }
