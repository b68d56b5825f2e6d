"""A rollout batch as the ranks compute on it: arrays, without texts."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rljob.buffer import records
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
        float32 `log_probs`, `token_rewards`; per trajectory: `prompts` and `responses`, their
        lengths, `samples`, the number of its sample, `versions`, `truncated`; per sample: `groups`,
        the number of its group, and float32 `rewards`.
        """
        samples = [
            (number, entry.group.prompt_tokens, sample)
            for number, entry in enumerate(groups)
            if entry.completion is not None
            for sample in entry.completion.samples
        ]
        parts = [
            (number, prompt if part.prompt is None else part.prompt, part, sample)
            for number, (_, prompt, sample) in enumerate(samples)
            for part in sample.trajectories
        ]
        segments = [part.segment for _, _, part, _ in parts]
        return cls(
            {
                "tokens": _flat(
                    [
                        array
                        for _, prompt, part, _ in parts
                        for array in (prompt, part.segment.tokens)
                    ],
                    torch.int32,
                ),
                "loss_mask": _flat([one.loss_mask for one in segments], torch.uint8),
                "log_probs": _flat([one.logprobs for one in segments], torch.float32),
                "token_rewards": _flat([_rewards(part) for _, _, part, _ in parts], torch.float32),
                "prompts": torch.tensor([len(prompt) for _, prompt, _, _ in parts]),
                "responses": torch.tensor([len(one) for one in segments]),
                "samples": torch.tensor([number for number, _, _, _ in parts]),
                "versions": torch.tensor([_version(one) for one in segments]),
                "truncated": torch.tensor([s.status == "truncated" for _, _, _, s in parts]),
                "groups": torch.tensor([number for number, _, _ in samples]),
                "rewards": torch.tensor([s.reward for _, _, s in samples], dtype=torch.float32),
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
        """All trajectories, those of one sample next to each other, samples in their order."""
        prompts, responses = self.arrays["prompts"], self.arrays["responses"]
        tokens = torch.split(self.arrays["tokens"].long(), (prompts + responses).tolist())
        masks = torch.split(self.arrays["loss_mask"].float(), responses.tolist())
        log_probs = torch.split(self.arrays["log_probs"], responses.tolist())
        token_rewards = torch.split(self.arrays["token_rewards"], responses.tolist())
        samples = self.arrays["samples"]
        learned = torch.tensor([int((mask > 0).sum()) for mask in masks])
        of_samples = torch.zeros(len(self.rewards), dtype=torch.int64).index_add(
            0, samples, learned
        )
        return [
            Trajectory(
                tokens=tokens[n],
                prompt_length=prompt,
                loss_mask=masks[n],
                rollout_log_probs=log_probs[n],
                truncated=truncated,
                version=None if version == _SEVERAL else version,
                sample=sample,
                sample_tokens=int(of_samples[sample]),
                token_rewards=token_rewards[n],
            )
            for n, (prompt, version, truncated, sample) in enumerate(
                zip(
                    prompts.tolist(),
                    self.arrays["versions"].tolist(),
                    self.arrays["truncated"].tolist(),
                    samples.tolist(),
                    strict=True,
                )
            )
        ]


def _flat(parts: Sequence[object], dtype: torch.dtype) -> Tensor:
    return torch.cat([torch.as_tensor(np.asarray(part)).to(dtype) for part in parts])


def _rewards(trajectory: records.Trajectory) -> records.Numbers:
    if trajectory.rewards is None:
        return np.zeros(len(trajectory.segment), np.float32)
    return trajectory.rewards


def _version(segment: records.Segment) -> int:
    """The weight version of all its tokens."""
    versions = {span.version for span in segment.versions}
    return versions.pop() if len(versions) == 1 else _SEVERAL
