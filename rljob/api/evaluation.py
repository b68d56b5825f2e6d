"""Held-out evaluation."""

from pydantic import Field

from rljob.api.base import METRIC_NAME, FilePath, Part, PositiveInt, Probability
from rljob.api.reward import RewardSpec


class EvaluationSamplingSpec(Part):
    """How responses are sampled in an evaluation; unset fields are as in training."""

    temperature: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Softmax temperature; 0: greedy."
    )
    top_p: Probability | None = Field(None, description="Nucleus probability.")
    max_response_tokens: PositiveInt | None = Field(None, description="Longest response.")


class EvaluationSpec(Part):
    """One evaluation data set."""

    name: str = Field(pattern=METRIC_NAME, max_length=63, description="Name in metrics and report.")
    prompts: FilePath = Field(description="JSON Lines file.")
    samples_per_prompt: PositiveInt = Field(1, description="Responses per prompt.")
    limit: PositiveInt | None = Field(None, description="Use only this many lines from the start.")
    sampling: EvaluationSamplingSpec = Field(
        default_factory=EvaluationSamplingSpec, description="Sampling of this evaluation."
    )
    reward: RewardSpec | None = Field(None, description="Reward. Default: as in training.")
