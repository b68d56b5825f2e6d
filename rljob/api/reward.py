"""How responses are judged."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args

from pydantic import Field

from rljob.api.base import (
    HTTP_URL,
    METRIC_NAME,
    QUANTITY,
    VARIABLE,
    Hook,
    NonNegativeInt,
    Part,
    PositiveFloat,
    PositiveInt,
    Text,
)
from rljob.errors import UsageError

# Rewards of a response that read it and its label alone: a retry would give the same result.
BuiltIn = Literal[
    "exact",
    "math",
    "f1",
    "gpqa",
    "dapo",
    "deepscaler",
    "code",
    "ifeval",
    "overlong",
    "length",
    "random",
]
# Rewards that a server judges.
Served = Literal["remote", "judge"]


class JudgeSpec(Part):
    """A language model that judges responses, behind an OpenAI-compatible endpoint."""

    model: Text = Field(description="The model's name at the endpoint.")
    template: str = Field(
        "Judge the response to a task.\n\n[Task]\n{prompt}\n\n[Reference answer]\n{label}\n\n"
        "[Response]\n{response}\n\nIs the response correct? Reason briefly, then end with the line "
        '"Score: N", where N is a number from 0 (wrong) to 1 (correct).',
        min_length=1,
        max_length=32768,
        description="What the judge is asked; {prompt}, {response}, {label} and {metadata} are "
        "filled in, other braces stay. The last number after `Score:` in its answer is the score.",
    )
    lowest: float = Field(
        0.0, allow_inf_nan=False, description="Lowest score; a sample then gets reward 0."
    )
    highest: float = Field(
        1.0, allow_inf_nan=False, description="Highest score; a sample then gets reward 1."
    )
    answer_tokens: PositiveInt = Field(1024, description="Longest answer of the judge, in tokens.")
    temperature: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Temperature of the judge."
    )


class RewardSpec(Part):
    """How a response is judged."""

    type: BuiltIn | Served | Hook = Field(
        "exact",
        description='Name of a built-in reward (docs/rewards.md), "module:function", or what a '
        "server judges: remote or judge.",
    )
    type_key: Text | None = Field(
        None,
        description="Key of a prompt's metadata that names its built-in reward, for mixed data. "
        "A prompt without it is judged by `type`.",
    )
    group: bool = Field(
        False,
        description="Your function judges all samples of a prompt at once: it gets their list and "
        "returns a list of rewards.",
    )
    url: str | None = Field(
        None,
        pattern=HTTP_URL,
        max_length=2048,
        description="remote: address of the reward server. judge: base address of the endpoint, "
        "e.g. http://judge:8000/v1.",
    )
    api_key_variable: str | None = Field(
        None,
        pattern=VARIABLE,
        max_length=256,
        description="Environment variable of the rollout pods that holds the server's API key. "
        "Default: no key.",
    )
    outage_seconds: PositiveFloat = Field(
        600.0,
        description="remote, judge: seconds for which samples wait for a server that does not "
        "answer; then judging them has failed.",
    )
    judge: JudgeSpec | None = Field(None, description="judge: the model and what it is asked.")
    timeout_seconds: PositiveFloat = Field(
        30.0,
        description="Seconds until judging a sample counts as failed and its process is killed; "
        "remote, judge: until a request counts as unanswered.",
    )
    memory: str = Field(
        "2Gi",
        pattern=QUANTITY,
        max_length=128,
        description="Memory that judging may use, a Kubernetes quantity, on top of what the "
        "reward's module used when it was imported. A process that needs more is replaced.",
    )
    retries: NonNegativeInt = Field(
        2,
        description="Retries for a sample on which your own function, or a server, failed. "
        "Built-in rewards are not retried.",
    )
    failure_reward: float | None = Field(
        None,
        allow_inf_nan=False,
        description="Reward of a sample that no attempt could judge. Default: 0 for a built-in "
        "reward; with your own function or a server the group is dropped.",
    )
    strict: bool = Field(
        False,
        description="math: an answer counts only in a box or after a final-answer phrase, and not "
        "in a truncated response. code, ifeval: 1 if all tests are passed, or all instructions "
        "followed, else 0, instead of their share.",
    )
    buffer_tokens: PositiveInt | None = Field(
        None,
        description="overlong: the last tokens of maxResponseTokens, over which the penalty grows "
        "from 0 to -1.",
    )


class NamedRewardSpec(RewardSpec):
    """One of several rewards."""

    name: str = Field(
        pattern=METRIC_NAME, max_length=63, description="Name in metrics, report and samples."
    )
    weight: float = Field(
        1.0,
        allow_inf_nan=False,
        description="Factor of this reward in the sum that is trained on; 0: only recorded.",
    )


Spec = TypeVar("Spec", bound=RewardSpec)

# `overlong` needs a field of its own.
KEYED = tuple(name for name in get_args(BuiltIn) if name != "overlong")
STRICT = ("math", "code", "ifeval")


def of_prompt(spec: Spec, metadata: Mapping[str, Any], where: str) -> Spec:
    """The reward of a prompt: of the type that its metadata names, if the job looks there.

    Args:
        spec: the job's.
        metadata: the prompt's.
        where: the prompt's file and line, for the error.

    Raises:
        UsageError: there is no built-in reward of this name.
    """
    type_ = None if spec.type_key is None else metadata.get(spec.type_key)
    if type_ is None:
        return spec
    if type_ not in KEYED:
        raise UsageError(
            f"{where}: found {type_!r:.200} as {spec.type_key!r} (typeKey) in the metadata, "
            f"allowed {', '.join(KEYED)}"
        )
    return spec.model_copy(
        update={
            "type": type_,
            "strict": spec.strict and type_ in STRICT,
            "buffer_tokens": None,
            "group": False,
            "url": None,
        }
    )


def only(spec: RewardSpec) -> NamedRewardSpec:
    """A reward that is the only one, named after its type or its function."""
    return NamedRewardSpec(
        **vars(spec), name=spec.type.rpartition(":")[2].lstrip("_")[:63] or "reward"
    )
