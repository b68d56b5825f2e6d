"""The samples of a batch of groups, for metrics and for people to read."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from rljob.buffer.records import REWARD_ERROR, Sample
from rljob.telemetry.metrics import REWARDS
from rljob_trainer.algorithms.reward import as_float32
from rljob_trainer.samples.ledger import OpenGroup


def samples_of(batch: Sequence[OpenGroup]) -> list[Sample]:
    """All samples of a batch, group by group."""
    return [
        sample
        for entry in batch
        if entry.completion is not None
        for sample in entry.completion.samples
    ]


def unjudged(samples: Iterable[Sample]) -> list[str]:
    """Why some of these samples could not be judged and got `rollout.reward.failureReward`."""
    return [str(s.metadata[REWARD_ERROR]) for s in samples if REWARD_ERROR in s.metadata]


def batch_metrics(batch: Sequence[OpenGroup], version: int) -> dict[str, float]:
    """Rewards, lengths, staleness and uses of a batch that is about to be trained on."""
    samples = samples_of(batch)
    rewards = as_float32([sample.reward for sample in samples])
    lengths = torch.tensor([sample.tokens for sample in samples]).float()
    ages = torch.tensor(
        [
            [version - span.version, span.end - span.start]
            for sample in samples
            for segment in sample.segments
            for span in segment.versions
        ],
        dtype=torch.float32,
    )
    completions = [entry.completion for entry in batch if entry.completion is not None]
    return {
        "reward/mean": rewards.mean().item(),
        "reward/std": rewards.std(correction=0).item(),
        "response/length_mean": lengths.mean().item(),
        "response/length_min": lengths.min().item(),
        "response/length_max": lengths.max().item(),
        "response/length_p50": lengths.quantile(0.5).item(),
        "response/length_p95": lengths.quantile(0.95).item(),
        "response/truncated_share": sum(s.status == "truncated" for s in samples) / len(samples),
        "staleness/mean": ((ages[:, 0] * ages[:, 1]).sum() / ages[:, 1].sum()).item(),
        "staleness/max": ages[:, 0].max().item(),
        "groups/uses_mean": sum(entry.uses + 1 for entry in batch) / len(batch),
        "time/generate": max(c.finished for c in completions) - min(c.leased for c in completions),
        **_rewards_by_name(samples),
    }


def _rewards_by_name(samples: Sequence[Sample]) -> dict[str, float]:
    """Means over the samples that were judged; a generate function may give its own reward."""
    found: dict[str, list[float]] = {}
    for sample in samples:
        for name, reward in sample.rewards.items():
            found.setdefault(name, []).append(reward)
    return {f"{REWARDS}{name}": sum(values) / len(values) for name, values in found.items()}


def shown_samples(batch: Sequence[OpenGroup], count: int) -> list[dict[str, Any]]:
    """A few samples of a batch, for people to read: the best and the worst of each prompt."""
    shown = [
        (entry, sample)
        for entry in batch
        if entry.completion is not None
        for sample in _extremes(entry.completion.samples)
    ]
    return [
        {
            "group": entry.group.id,
            "prompt": entry.group.prompt,
            "response": sample.response,
            "label": entry.group.label,
            "reward": sample.reward,
            "rewards": sample.rewards,
            "version": max(sample.versions, default=None),
        }
        for entry, sample in shown[:count]
    ]


def _extremes(samples: Sequence[Sample]) -> list[Sample]:
    best, worst = (pick(samples, key=lambda sample: sample.reward) for pick in (max, min))
    return [best] if best.reward == worst.reward else [best, worst]
