"""Held-out evaluation."""

from typing import Annotated, Any

from pydantic import Field

from rljob.api.base import (
    LARGEST_INT,
    METRIC_NAME,
    UNIQUE,
    FilePath,
    NonNegativeInt,
    Part,
    PositiveInt,
    Probability,
    Text,
)
from rljob.api.reward import RewardSpec
from rljob.api.rollout import SamplingSpec

_UNIQUE = Field(max_length=64, json_schema_extra=UNIQUE)


class EvaluationSamplingSpec(Part):
    """How responses are sampled in an evaluation; unset fields are as in training."""

    temperature: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Softmax temperature; 0: greedy."
    )
    top_p: Probability | None = Field(None, description="Nucleus probability.")
    top_k: int | None = Field(
        None,
        ge=-1,
        le=LARGEST_INT,
        description="Sample from this many most likely tokens; -1: all.",
    )
    max_response_tokens: PositiveInt | None = Field(None, description="Longest response.")
    stop: Annotated[list[Text], _UNIQUE] | None = Field(
        None, description="Strings that end a response; an empty list: none."
    )
    stop_token_ids: Annotated[list[NonNegativeInt], _UNIQUE] | None = Field(
        None, description="Token ids that end a response, besides end-of-sequence."
    )
    ignore_eos: bool | None = Field(
        None, description="Continue after an end-of-sequence token, up to maxResponseTokens."
    )

    def over(self, training: SamplingSpec) -> dict[str, Any]:
        """The fields of SamplingSpec: those set here, the others as in training."""
        return {**training.model_dump(), **self.model_dump(exclude_none=True)}


class EvaluationSpec(Part):
    """One evaluation data set."""

    name: str = Field(pattern=METRIC_NAME, max_length=63, description="Name in metrics and report.")
    prompts: FilePath = Field(description="JSON Lines file.")
    samples_per_prompt: PositiveInt = Field(1, description="Responses per prompt.")
    limit: PositiveInt | None = Field(None, description="Use only this many lines from the start.")
    interval: PositiveInt | None = Field(
        None,
        description="Rollout batches between two evaluations of this data set. Default: "
        "schedule.evalInterval.",
    )
    sampling: EvaluationSamplingSpec = Field(
        default_factory=EvaluationSamplingSpec, description="Sampling of this evaluation."
    )
    reward: RewardSpec | None = Field(None, description="Reward. Default: as in training.")
    pass_reward: float = Field(
        1.0,
        allow_inf_nan=False,
        description="Least reward with which a response passes, for pass@k (docs/evaluation.md).",
    )
