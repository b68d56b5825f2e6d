"""Requests and answers in the format of SGLang's `/generate`."""

from collections.abc import Mapping
from typing import Any

from rljob.tokenizer import Tokenizer
from rljob_rollout.episodes.session import Turn

# Fields of sampling_params and the job's names of them.
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_new_tokens": "max_response_tokens",
    "stop": "stop",
    "stop_token_ids": "stop_token_ids",
    "ignore_eos": "ignore_eos",
}
# What changes only the text of the answer.
_OF_THE_TEXT = ("skip_special_tokens", "no_stop_trim", "spaces_between_special_tokens")
# What the job decides itself: seeds are per sample.
_IGNORED = ("sampling_seed", "custom_params")
# What would change the answer, unless it has the value with which it does nothing.
_NEUTRAL: dict[str, Any] = {
    "n": 1,
    "min_p": 0,
    "min_new_tokens": 0,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "repetition_penalty": 1,
}


def sampling_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of SamplingSpec that `sampling_params` set.

    Raises:
        ValueError: they ask for something that can't be had.
    """
    known = {*_SAMPLING, *_OF_THE_TEXT, *_IGNORED}
    for name, value in params.items():
        if name in known or value is None:
            continue
        if name not in _NEUTRAL:
            raise ValueError(
                f"sampling_params.{name}: found {value!r:.100}; allowed: {', '.join(sorted(known))}"
            )
        if value != _NEUTRAL[name]:
            raise ValueError(
                f"sampling_params.{name}: found {value!r:.100}; allowed: {_NEUTRAL[name]}"
            )
    found = {
        ours: params[theirs] for theirs, ours in _SAMPLING.items() if params.get(theirs) is not None
    }
    if isinstance(found.get("stop"), str):
        found["stop"] = [found["stop"]]
    return found


def answer(
    turn: Turn, version: int | None, tokenizer: Tokenizer, params: Mapping[str, Any]
) -> dict[str, Any]:
    """An answer of `/generate`.

    Args:
        turn: what the engine said.
        version: of the weights that made its last token.
        tokenizer: the checkpoint's.
        params: of the request. The text is as if they had `no_stop_trim: true`, so that it is the
            text of exactly the tokens.
    """
    skip = bool(params.get("skip_special_tokens", True))
    reason: dict[str, Any] = {"type": turn.finish}
    if turn.finish == "length":
        reason["length"] = len(turn.tokens)
    pairs = zip(turn.logprobs, turn.tokens, strict=True)
    return {
        "text": tokenizer.decode(turn.tokens, skip_special_tokens=skip),
        "output_ids": turn.tokens,
        "meta_info": {
            "finish_reason": reason,
            "output_token_logprobs": [[logprob, token, None] for logprob, token in pairs],
            "prompt_tokens": turn.prompt_tokens,
            "completion_tokens": len(turn.tokens),
            "cached_tokens": 0,
            "weight_version": str(version),
        },
    }
