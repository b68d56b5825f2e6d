"""Plays a sample by slime's generate function."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rljob.slime.arguments import Arguments
from rljob.slime.json_values import json_values
from rljob.slime.modules import sample_class
from rljob.slime.signature import takes
from rljob_rollout.generate import Context, Engine, Sample
from rljob_rollout.slime.http import ENGINE
from rljob_rollout.slime.reward import number_of
from rljob_rollout.slime.state import sampling_params_of, tokenizer_of

_BUILD = "build it from the input_ids that were sent and from output_token_logprobs"


class RefusedReturnError(Exception):
    """What a function returned can't be used; a phrase that begins with `returned`."""


@dataclass(frozen=True)
class Returned:
    """What a function returned.

    Args:
        value: as a function of rljob returns it: reward, response and metadata.
        trajectories: of each returned sample the tokens, the response's length, and its mask.
        truncated: whether it says it is; None: it does not say.
    """

    value: dict[str, Any]
    trajectories: list[dict[str, Any]]
    truncated: bool | None


class SlimeGenerate:
    """`async def (args, sample, sampling_params[, evaluation])` as a generate function of rljob."""

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """Loads the tokenizer, during which no episode could be played.

        Args:
            function: the user's.
            arguments: the job's, by slime's names.
        """
        self._function = function
        self._arguments = dict(arguments)
        self._takes_evaluation = takes(function, "evaluation")
        tokenizer_of(arguments["hf_checkpoint"])

    async def __call__(self, sample: Sample, engine: Engine, context: Context) -> Returned:
        """Plays a sample.

        Of several that the function returns, the last is what is judged.

        Raises:
            RefusedReturnError: the function returned what can't be learned.
        """
        router = urlsplit(engine.url)
        args = Arguments(
            {
                "sglang_router_ip": router.hostname,
                "sglang_router_port": router.port,
                **self._arguments,
            }
        )
        given = sample_class()(
            group_index=context.group,
            index=sample.index,
            prompt=sample.prompt,
            label=sample.label,
            metadata=dict(sample.metadata),
        )
        own = set(vars(given))
        more = {"evaluation": context.evaluation} if self._takes_evaluation else {}
        ENGINE.set(engine)
        params = _sampling_params(args, context.sampling)
        found = await self._function(args, given, params, **more)
        samples = _samples(found)
        last = samples[-1]
        changed = {
            name: value
            for name, value in last.metadata.items()
            if name not in sample.metadata or sample.metadata[name] != value
        }
        added = json_values({n: value for n, value in vars(last).items() if n not in own})
        return Returned(
            {
                **changed,
                **({"attributes": added} if added else {}),
                "reward": _reward(samples, args),
                "response": last.response,
            },
            [
                {
                    "tokens": [int(token) for token in each.tokens],
                    "length": int(each.response_length),
                    "mask": _mask(each),
                }
                for each in samples
            ],
            {"truncated": True, "completed": False}.get(last.status.value),
        )


def _sampling_params(args: Arguments, sampling: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling of the sample's group, which may be of an evaluation."""
    return {
        **sampling_params_of(args),
        "temperature": sampling["temperature"],
        "top_p": sampling["top_p"],
        "top_k": sampling["top_k"],
        "max_new_tokens": sampling["max_response_tokens"],
        "stop": sampling["stop"] or None,
        "stop_token_ids": sampling["stop_token_ids"] or None,
        "ignore_eos": sampling["ignore_eos"],
    }


def _samples(found: Any) -> list[Any]:
    """The samples that a function returned, one or several.

    Raises:
        RefusedReturnError: it returned something else, or a field of one is wrong.
    """
    samples = found if isinstance(found, list) else [found]
    if not samples or not all(isinstance(each, sample_class()) for each in samples):
        raise RefusedReturnError(
            f"returned {found!r:.200}; allowed: the Sample, or a list of Samples"
        )
    for each in samples:
        _check(each)
    return samples


def _reward(samples: Sequence[Any], args: Arguments) -> Any:
    """The reward that all of them share; None: it is to be judged.

    Raises:
        RefusedReturnError: they don't share one.
    """
    rewards = [None if each.reward is None else number_of(each.reward, args) for each in samples]
    if any(reward != rewards[0] for reward in rewards):
        raise RefusedReturnError(
            f"returned samples with the rewards {rewards!r:.200}; allowed: the same for all, or "
            "None for all, because they are learned as one sample"
        )
    return rewards[0]


def _check(found: Any) -> None:
    """
    Raises:
        RefusedReturnError: a field of a returned sample is wrong.
    """
    status = found.status.value
    if status in ("aborted", "failed"):
        raise RefusedReturnError(f"returned a sample with the status {status.upper()}")
    if not isinstance(found.response, str):
        raise RefusedReturnError(f"returned the response {found.response!r:.200}; allowed: a text")
    if not isinstance(found.metadata, dict):
        raise RefusedReturnError(f"returned the metadata {found.metadata!r:.200}; allowed: a dict")
    length = len(found.tokens)
    if not length:
        raise RefusedReturnError(f"returned a sample without tokens; {_BUILD}")
    if not 0 <= found.response_length <= length:
        raise RefusedReturnError(
            f"returned the response_length {found.response_length}; allowed: 0 to {length}, the "
            "length of tokens"
        )
    mask = found.loss_mask
    if mask is None:
        return
    if len(mask) != found.response_length:
        raise RefusedReturnError(
            f"returned a loss_mask of {len(mask)} items; allowed: {found.response_length}, the "
            "response_length"
        )
    for position, value in enumerate(mask):
        if value not in (0, 1):
            raise RefusedReturnError(
                f"returned {value!r:.200} in loss_mask at position {position}; allowed: 0 or 1"
            )


def _mask(found: Any) -> Sequence[int] | None:
    if found.remove_sample:
        return [0] * int(found.response_length)
    return None if found.loss_mask is None else [int(value) for value in found.loss_mask]
