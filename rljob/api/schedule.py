"""Batches, intervals and staleness."""

from pydantic import Field

from rljob.api.base import NonNegativeInt, Part, PositiveInt


class ScheduleSpec(Part):
    """The batch equation is rolloutBatchSize x samplesPerPrompt = globalBatchSize x
    stepsPerRollout."""

    rollouts: NonNegativeInt = Field(
        description="Number of rollout batches to train on. 0: only evaluate (docs/evaluation.md)."
    )
    rollout_batch_size: PositiveInt = Field(16, description="Prompts per rollout batch.")
    global_batch_size: PositiveInt = Field(128, description="Samples per optimizer step.")
    steps_per_rollout: PositiveInt = Field(1, description="Optimizer steps per rollout batch.")
    over_sampling_batch_size: PositiveInt | None = Field(
        None,
        description="Prompts generated to fill a rollout batch, at least rolloutBatchSize. "
        "Default: rolloutBatchSize.",
    )
    max_staleness: NonNegativeInt = Field(
        0,
        description="Maximum age of a consumed token in weight versions. 0: synchronous; "
        "k: generation runs at most k versions ahead of training.",
    )
    max_uses: PositiveInt = Field(
        1,
        description="Rollout batches that may train on the same group, while its tokens are "
        "within maxStaleness; above 1, fewer groups are generated for the same number of batches.",
    )
    update_weights_interval: PositiveInt = Field(
        1, description="Rollout batches between two published weight versions."
    )
    save_interval: PositiveInt = Field(
        20, description="Rollout batches between two checkpoints; the last is always saved."
    )
    keep_last: PositiveInt = Field(2, description="Number of newest checkpoints to keep.")
    keep_every: PositiveInt | None = Field(
        None,
        description="Keep checkpoints at multiples of this many rollout batches permanently. "
        "Default: none.",
    )
    eval_interval: PositiveInt | None = Field(
        None,
        description="Rollout batches between two evaluations, for data sets without an interval of "
        "their own. They always run before the first and after the last batch. Default: only those "
        "two.",
    )
    target_reward: float | None = Field(
        None,
        allow_inf_nan=False,
        description="Finish early once the mean reward of the last five rollout batches reaches "
        "this. Default: never.",
    )

    @property
    def trains(self) -> bool:
        """Whether there is a batch to train on; otherwise the weights are only evaluated."""
        return self.rollouts > 0
