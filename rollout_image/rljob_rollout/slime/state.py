"""slime's GenerateState."""

import asyncio
from functools import cache
from typing import Any, ClassVar

from rljob.slime.arguments import Arguments


@cache
def tokenizer_of(checkpoint: str) -> Any:
    """transformers' tokenizer of a checkpoint, which takes seconds to load."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(checkpoint)


def sampling_params_of(args: Arguments) -> dict[str, Any]:
    """The sampling of training, by SGLang's names."""
    return {
        "temperature": args.rollout_temperature,
        "top_p": args.rollout_top_p,
        "top_k": args.rollout_top_k,
        "max_new_tokens": args.rollout_max_response_len,
        "stop": args.rollout_stop,
        "stop_token_ids": args.rollout_stop_token_ids,
        "skip_special_tokens": args.rollout_skip_special_tokens,
        "no_stop_trim": True,
        "spaces_between_special_tokens": False,
    }


class GenerateState:
    """What the hooks of a process share: always the same object, as in slime.

    Attributes:
        args: the job's.
        tokenizer: of `args.hf_checkpoint`.
        processor: None; there are no images.
        semaphore: for `args.sglang_server_concurrency` calls at the same time.
        sampling_params: of training.
        aborted: False; an episode that must end is cancelled.
    """

    _only: ClassVar["GenerateState | None"] = None

    args: Arguments
    tokenizer: Any
    processor: None
    semaphore: asyncio.Semaphore
    sampling_params: dict[str, Any]
    aborted: bool

    def __new__(cls, args: Arguments) -> "GenerateState":
        """The only one; the first call makes it."""
        if cls._only is None:
            made = super().__new__(cls)
            made.args = args
            made.tokenizer = tokenizer_of(args.hf_checkpoint)
            made.processor = None
            made.semaphore = asyncio.Semaphore(args.sglang_server_concurrency)
            made.sampling_params = sampling_params_of(args)
            made.aborted = False
            cls._only = made
        return cls._only
