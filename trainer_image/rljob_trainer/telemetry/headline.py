"""The number by which people judge a run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Headline:
    """A metric that /status, the summary and checkpoints name.

    Args:
        name: there.
        metric: as batches are recorded.
        saved: of all batches, in checkpoints.
    """

    name: str
    metric: str
    saved: str


REWARD = Headline("reward", "reward/mean", "rewards")  # of samples that were generated
LOSS = Headline("loss", "loss/total", "losses")  # of answers from the data
