"""The order in which the optimizer steps of a batch take its samples."""

import torch


def random_order(count: int, *, seed: int, rollout: int) -> list[int]:
    """The numbers of `count` samples in a random order, the same in every run.

    Args:
        count: samples of the batch.
        seed: of the job.
        rollout: batches trained on before.
    """
    shuffle = torch.Generator().manual_seed(seed * 1_000_003 + rollout)
    order: list[int] = torch.randperm(count, generator=shuffle).tolist()
    return order
