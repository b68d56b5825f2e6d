"""A rollout batch as the ranks compute on it: arrays, without texts."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rljob.buffer.records import Sample
from rljob_trainer.samples.ledger import OpenGroup
from rljob_trainer.trajectories.trajectory import Trajectory

_SEVERAL = -1  # instead of a version


class RolloutBatch:
    """The samples of a batch, group by group.

    It is made at the desk of completed groups, and on the other ranks of the `arrays` sent to them.
    """

    def __init__(self, arrays: dict[str, Tensor]) -> None:
        """Takes the arrays of another one, see `of`."""
        self.arrays = arrays

    @classmethod
    def of(cls, groups: Sequence[OpenGroup]) -> "RolloutBatch":
        """The batch of completed groups.

        Per token of prompts and responses: int32 `tokens`; per response token: uint8 `loss_mask`,
        float32 `log_probs`; per sample: `prompts` and `responses`, their lengths, `groups`, the
        number of its group, `versions`, `truncated`, and float32 `rewards`.
        """
        pairs = [
            (number, entry.group.prompt_tokens, sample)
            for number, entry in enumerate(groups)
            if entry.completion is not None
            for sample in entry.completion.samples
        ]
        return cls(
            {
                "tokens": _flat(
                    [part for _, prompt, s in pairs for part in (prompt, s.response_tokens)],
                    torch.int32,
                ),
                "loss_mask": _flat([s.loss_mask for _, _, s in pairs], torch.uint8),
                "log_probs": _flat([s.logprobs for _, _, s in pairs], torch.float32),
                "prompts": torch.tensor([len(prompt) for _, prompt, _ in pairs]),
                "responses": torch.tensor([len(s.response_tokens) for _, _, s in pairs]),
                "groups": torch.tensor([number for number, _, _ in pairs]),
                "versions": torch.tensor([_version(s) for _, _, s in pairs]),
                "truncated": torch.tensor([s.status == "truncated" for _, _, s in pairs]),
                "rewards": torch.tensor([s.reward for _, _, s in pairs], dtype=torch.float32),
            }
        )

    @property
    def rewards(self) -> Tensor:
        """Float32 [samples]."""
        return self.arrays["rewards"]

    @property
    def groups(self) -> Tensor:
        """Int64 [samples]: the number of each sample's group."""
        return self.arrays["groups"]

    def trajectories(self) -> list[Trajectory]:
        """One of each sample, in the order of the other arrays."""
        prompts, responses = self.arrays["prompts"], self.arrays["responses"]
        tokens = torch.split(self.arrays["tokens"].long(), (prompts + responses).tolist())
        masks = torch.split(self.arrays["loss_mask"].float(), responses.tolist())
        log_probs = torch.split(self.arrays["log_probs"], responses.tolist())
        return [
            Trajectory(
                tokens=tokens[n],
                prompt_length=prompt,
                loss_mask=masks[n],
                rollout_log_probs=log_probs[n],
                truncated=truncated,
                version=None if version == _SEVERAL else version,
            )
            for n, (prompt, version, truncated) in enumerate(
                zip(
                    prompts.tolist(),
                    self.arrays["versions"].tolist(),
                    self.arrays["truncated"].tolist(),
                    strict=True,
                )
            )
        ]


def _flat(parts: Sequence[object], dtype: torch.dtype) -> Tensor:
    return torch.cat([torch.as_tensor(np.asarray(part)).to(dtype) for part in parts])


def _version(sample: Sample) -> int:
    """The weight version of all its tokens."""
    versions = {span.version for span in sample.versions}
    return versions.pop() if len(versions) == 1 else _SEVERAL
