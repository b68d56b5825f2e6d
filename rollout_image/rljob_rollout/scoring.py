"""From an engine's outputs to scored samples."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from rljob.api import RLJobSpec
from rljob.api.rollout import RewardSpec
from rljob.buffer.records import Group, Sample, Status
from rljob.errors import UsageError
from rljob_rollout.engine import Output
from rljob_rollout.rewards import Reward, RewardFailed, RewardInput, load_reward


class Scoring:
    """Decodes responses and judges them with the job's rewards.

    Raises:
        UsageError: at construction, if a reward hook does not import or the checkpoint has no
            tokenizer.
    """

    def __init__(self, spec: RLJobSpec) -> None:
        self._rewards: dict[str, Reward] = {}
        self._load(spec.rollout.reward, "spec.rollout.reward")
        for n, evaluation in enumerate(spec.evaluation):
            if evaluation.reward is not None:
                self._load(evaluation.reward, f"spec.evaluation[{n}].reward")
        checkpoint = Path(spec.model.checkpoint)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"spec.model.checkpoint: {checkpoint} has no usable tokenizer: {error}"
            ) from error

    async def score(self, group: Group, outputs: Sequence[Output]) -> tuple[Sample, ...]:
        """The group's samples with their rewards.

        Raises:
            RewardFailed: for a sample, also after the retries that the reward allows.
        """
        reward = RewardSpec.model_validate(group.reward)
        judge = self._load(reward, "spec.rollout.reward")
        return tuple(
            await asyncio.gather(
                *(
                    self._sample(group, n, output, judge, reward.retries)
                    for n, output in enumerate(outputs)
                )
            )
        )

    async def _sample(
        self, group: Group, index: int, output: Output, judge: Reward, retries: int
    ) -> Sample:
        text: str = self._tokenizer.decode(output.tokens, skip_special_tokens=True)
        status = _status(group, output)
        value = await _attempt(
            judge,
            RewardInput(
                prompt=group.prompt,
                response=text,
                label=group.label,
                metadata=group.metadata,
                response_tokens=output.tokens,
                status=status,
                index=index,
            ),
            retries,
        )
        return Sample(
            index=index,
            response=text,
            response_tokens=np.array(output.tokens, np.int32),
            logprobs=np.array(output.logprobs, np.float32),
            loss_mask=np.ones(len(output.tokens), np.uint8),
            versions=output.versions,
            reward=value,
            status=status,
            metadata={},
        )

    def _load(self, spec: RewardSpec, field: str) -> Reward:
        key = spec.model_dump_json()
        if key not in self._rewards:
            self._rewards[key] = load_reward(spec, field)
        return self._rewards[key]


async def _attempt(judge: Reward, sample: RewardInput, retries: int) -> float:
    for _ in range(retries):
        try:
            return await judge.score(sample)
        except RewardFailed as failure:
            if failure.usage:
                raise
    return await judge.score(sample)


def _status(group: Group, output: Output) -> Status:
    if output.finish == "length" and not group.sampling["ignore_eos"]:
        return "truncated"
    return "completed"
