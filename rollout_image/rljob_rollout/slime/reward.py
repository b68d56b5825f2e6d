"""Judges by slime's reward functions."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rljob.errors import UsageError
from rljob.slime.arguments import Arguments
from rljob.slime.modules import sample_class
from rljob.slime.signature import is_slime_hook
from rljob_rollout.rewards.sample import RewardInput

_METHOD = "compute_reward"
Judged = RewardInput | Sequence[RewardInput]


def adapted(reward: Callable[..., Any], type_: str, arguments: Mapping[str, Any]) -> Any:
    """A reward of slime's form as one of rljob; any other as it is.

    Args:
        reward: `(args, sample)`, `(args, samples)`, plain or async, or a class with
            `compute_reward(prompts, responses)`.
        type_: how the job names it.
        arguments: the job's, by slime's names.

    Raises:
        UsageError: an object of the class can't be made.
    """
    args = Arguments(arguments)
    if isinstance(reward, type) and hasattr(reward, _METHOD):
        return _of_model(_made(reward, type_, args), type_)
    if not is_slime_hook(reward):
        return reward

    def given(judged: Judged) -> Any:
        if isinstance(judged, RewardInput):
            return slime_sample(judged)
        return [slime_sample(each) for each in judged]

    def result(judged: Judged, found: Any) -> Any:
        if isinstance(judged, RewardInput):
            return _result(found, args)
        return [_result(each, args) for each in found] if isinstance(found, Sequence) else found

    if inspect.iscoroutinefunction(reward):

        async def judge_async(judged: Judged) -> Any:
            return result(judged, await reward(args, given(judged)))

        return judge_async

    def judge(judged: Judged) -> Any:
        return result(judged, reward(args, given(judged)))

    return judge


def slime_sample(judged: RewardInput) -> Any:
    """slime's Sample of a response."""
    returned = dict(judged.returned)
    attributes = returned.pop("attributes", {})
    statuses = sample_class().Status
    sample = sample_class()(
        index=judged.index,
        prompt=judged.prompt,
        tokens=[*judged.prompt_tokens, *judged.response_tokens],
        response=judged.response,
        response_length=len(judged.response_tokens),
        label=judged.label,
        status=statuses.TRUNCATED if judged.status == "truncated" else statuses.COMPLETED,
        metadata={**judged.metadata, **returned},
    )
    for name, value in attributes.items():
        setattr(sample, name, value)
    return sample


def number_of(reward: Any, args: Arguments) -> Any:
    """A reward as a number: of a dict, the value that `args.reward_key` names.

    Raises:
        ValueError: it has none of this name, or the job names none.
    """
    if not isinstance(reward, Mapping):
        return reward
    key = args.reward_key
    if key is None or key not in reward:
        raise ValueError(
            f"the reward is {dict(reward)!r:.200}, and rollout.slimeArguments.reward_key is "
            f"{key!r}; allowed: {', '.join(map(str, reward))}"
        )
    return reward[key]


def _result(found: Any, args: Arguments) -> Any:
    """What a reward of rljob returns."""
    if not isinstance(found, Mapping):
        return found
    rest = {str(key): value for key, value in found.items() if key != args.reward_key}
    return {**rest, "reward": number_of(found, args)}


def _made(model: type, type_: str, args: Arguments) -> Any:
    try:
        return model(args) if is_slime_hook(model) else model()
    except Exception as error:  # whatever user code raises
        raise UsageError(
            f"reward {type_}: making it raised {type(error).__name__}: {error}; allowed: a class "
            "that is made without arguments, or with args"
        ) from error


def _of_model(model: Any, type_: str) -> Callable[[Judged], Any]:
    def judge(judged: Judged) -> Any:
        if isinstance(judged, RewardInput):
            raise UsageError(
                f"reward {type_}: found group false, but {_METHOD} judges all samples of a prompt "
                "at once; allowed: group: true"
            )
        prompts, responses = [each.prompt for each in judged], [each.response for each in judged]
        found = getattr(model, _METHOD)(prompts, responses)
        return found.tolist() if hasattr(found, "tolist") else found

    return judge
