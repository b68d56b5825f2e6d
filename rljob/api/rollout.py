"""The SGLang rollout."""

from typing import Any, Literal

from pydantic import Field

from rljob.api.base import (
    BY_NAME,
    LARGEST_INT,
    QUANTITY,
    UNIQUE,
    Hook,
    NonNegativeInt,
    Part,
    PositiveFloat,
    PositiveInt,
    Probability,
    Text,
)
from rljob.api.passthrough.named import named
from rljob.api.reward import NamedRewardSpec, RewardSpec, only


class SamplingSpec(Part):
    """How responses are sampled."""

    temperature: PositiveFloat = Field(1.0, description="Softmax temperature, above 0.")
    top_p: Probability = Field(
        1.0, description="Nucleus sampling: total probability of the tokens to sample from."
    )
    top_k: int = Field(
        -1, ge=-1, le=LARGEST_INT, description="Sample from this many most likely tokens; -1: all."
    )
    max_response_tokens: PositiveInt = Field(1024, description="Longest response, in tokens.")
    stop: list[Text] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=UNIQUE,
        description="Strings that end a response.",
    )
    stop_token_ids: list[NonNegativeInt] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=UNIQUE,
        description="Token ids that end a response, besides end-of-sequence.",
    )
    ignore_eos: bool = Field(
        False, description="Continue after an end-of-sequence token, up to maxResponseTokens."
    )


class AutoscalingSpec(Part):
    """How the number of rollout replicas is chosen."""

    mode: Literal["Off", "Rate", "External"] = Field(
        "Off",
        description="Off; Rate: by the trainer's waiting time; External: an HPA or KEDA on the "
        "scale subresource.",
    )
    min_replicas: PositiveInt = Field(1, description="Minimum number of replicas.")
    max_replicas: PositiveInt | None = Field(
        None, description="Maximum number of replicas. Default: rollout.replicas."
    )
    target_wait_share: float | None = Field(
        None,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Rate: share of its time that the trainer may wait for samples. Default: 0 "
        "if generation and training overlap; 0.5 with maxStaleness 0, where they take turns. "
        "A smaller share needs more replicas, which idle longer.",
    )
    scale_up_stabilization_seconds: int = Field(
        30,
        ge=0,
        le=3600,
        description="Rate: seconds for which more replicas must have been needed.",
    )
    scale_down_stabilization_seconds: int = Field(
        300,
        ge=0,
        le=3600,
        description="Rate: seconds for which fewer replicas must have been enough; also the "
        "minimum time between a step up and a step down.",
    )


class RouterSpec(Part):
    """The sglang-router: one address for all engines of the job.

    It is for clients of your own, such as a chat with the model in training: workers ask their own
    engine.
    """

    enabled: bool = Field(False, description="Start the router role.")
    policy: Literal["cache_aware", "power_of_two", "round_robin", "random"] = Field(
        "cache_aware",
        description="Which engine gets a request. cache_aware: the one that has the longest part "
        "of its prompt in its cache, unless the load is uneven; power_of_two: the less loaded of "
        "two; round_robin; random.",
    )
    template: dict[str, Any] = Field(
        default_factory=dict, description="Pod template overlay, by strategic merge."
    )


class EpisodesSpec(Part):
    """How the generate function plays samples, and what a sample may use."""

    processes: PositiveInt = Field(
        2, le=256, description="Processes of a worker that run the function."
    )
    max_turns: PositiveInt | None = Field(
        None, description="Calls of the engine that an episode may make. Default: any number."
    )
    context_tokens: PositiveInt | None = Field(
        None,
        description="Tokens that a context may have, from the prompt to the last turn. Default: "
        "maxPromptTokens plus maxResponseTokens.",
    )
    timeout_seconds: PositiveFloat = Field(
        600.0, description="Seconds after which an episode is cancelled; it is then truncated."
    )
    block_seconds: PositiveFloat = Field(
        10.0,
        description="Seconds for which the function may keep its event loop from running; then its "
        "process is replaced, and the attempt has failed.",
    )
    memory: str = Field(
        "4Gi",
        pattern=QUANTITY,
        max_length=128,
        description="Memory that a process may use, a Kubernetes quantity, on top of what the "
        "function's module used when it was imported.",
    )
    tool_concurrency: PositiveInt = Field(
        16, description="Calls of one tool at the same time, in one process, by context.tool."
    )
    retries: NonNegativeInt = Field(
        1, description="Retries of an episode that failed; then its group is dropped."
    )


class RolloutSpec(Part):
    """Replicas, sampling, rewards and engine options of the rollout."""

    replicas: PositiveInt = Field(1, description="Rollout pods, each a worker with its engine.")
    gpus_per_replica: PositiveInt = Field(
        1, description="GPUs of an engine (its tensor-parallel size); a CPU engine has one process."
    )
    autoscaling: AutoscalingSpec = Field(
        default_factory=AutoscalingSpec, description="Autoscaling of the replicas."
    )
    sampling: SamplingSpec = Field(default_factory=SamplingSpec, description="Training sampling.")
    max_concurrent_groups: PositiveInt = Field(
        64, description="Groups that one worker generates concurrently."
    )
    lease_seconds: PositiveFloat = Field(
        30.0,
        description="Seconds after which a group leased by a silent worker goes to another.",
    )
    generation_timeout_seconds: PositiveFloat | None = Field(
        None,
        description="Time limit in seconds of one request to the engine; then its groups go to "
        "another worker, which counts as an attempt. Default: 600 plus half a second for each "
        "token of maxResponseTokens.",
    )
    attempts: PositiveInt = Field(
        5,
        description="Failed attempts after which a group is dropped, because it may be the cause: "
        "a worker died with it, or could not generate it. Groups that a worker gives back do not "
        "count.",
    )
    generate: Hook | None = Field(
        None, description='Generate function "module:function": multi-turn, tools, agents.'
    )
    episodes: EpisodesSpec = Field(
        default_factory=EpisodesSpec, description="The generate function's processes and limits."
    )
    slime_arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of your own in `args`, for functions written for slime "
        "(docs/slime-hooks.md).",
    )
    reward: RewardSpec | None = Field(
        None,
        description="The reward, where there is only one. Default: exact, unless rewards is given.",
    )
    rewards: list[NamedRewardSpec] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra=BY_NAME,
        description="Several rewards instead of one. A sample earns the sum of weight times "
        "reward; each is also recorded and drawn by its name.",
    )
    reward_processes: PositiveInt = Field(
        4,
        description="Processes of a worker that judge responses: one sample at a time each, or one "
        "group if the reward is an async function.",
    )
    buffer_filter: Literal["prioritized", "stratified"] | Hook | None = Field(
        None,
        description="How the next batch is chosen from the ready groups. prioritized: those whose "
        "rewards differ most; stratified: equally many from each level of reward; or "
        '"module:function". Groups about to exceed maxStaleness come first. Default: the '
        "oldest.",
    )
    partial: bool = Field(
        False, description="Keep the tokens of interrupted generations and continue them."
    )
    sglang: dict[str, Any] = Field(
        default_factory=dict,
        json_schema_extra=named("sglang"),
        description="SGLang server arguments, passed through; names are checked against the "
        "pinned version.",
    )
    router: RouterSpec = Field(default_factory=RouterSpec, description="The router role.")
    image: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="Container image (on Kubernetes). Default: the operator's.",
    )
    template: dict[str, Any] = Field(
        default_factory=dict, description="Pod template overlay, by strategic merge."
    )

    @property
    def all_rewards(self) -> list[NamedRewardSpec]:
        """What judges a sample: `rewards`, or `reward` as the only one, with weight 1."""
        return self.rewards or [only(self.reward or RewardSpec())]
