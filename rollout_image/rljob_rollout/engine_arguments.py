"""Derives the arguments of an SGLang server from the job."""

import json
from pathlib import Path
from typing import Any

from rljob.api import RLJobSpec

# The longest prompt with the longest response must stay below the context, because SGLang keeps a
# few positions for itself.
_RESERVED_TOKENS = 8
# Key-value cache of a CPU engine, in tokens; unbounded, it takes most of the machine's memory.
_MOST_CPU_TOKENS = 16384


def engine_arguments(spec: RLJobSpec, *, replica: int, gpu: bool) -> dict[str, Any]:
    """Values by field name of sglang.srt.server_args.ServerArgs, without address and keys.

    `spec.rollout.sglang` overrides our defaults. What other manifest fields set overrides both:
    `spec.rollout.sglang` may not contain those names.
    """
    context = longest_request(spec) + _RESERVED_TOKENS
    defaults: dict[str, Any] = {
        "enable_metrics": True,
        "log_level_http": "warning",
        # With pause mode in_place a request keeps the cache of old weights, which no other request
        # may share. With other modes the cache of a retracted request is computed again.
        "disable_radix_cache": spec.weights.pause_mode == "in_place",
    }
    limit = model_context(Path(spec.model.checkpoint))
    if limit is not None and context <= limit:
        # The memory for each running request grows with the context.
        defaults["context_length"] = context
    if not gpu:
        defaults |= {
            "device": "cpu",
            "attention_backend": "torch_native",
            "max_total_tokens": max(context, _MOST_CPU_TOKENS),
            "sleep_on_idle": True,  # an idle engine would keep a core busy
        }
    dtype = spec.model.dtype
    if dtype == "auto":
        dtype = "bfloat16" if gpu else "float32"
    return {
        **defaults,
        **spec.rollout.sglang,
        "model_path": spec.model.checkpoint,
        "dtype": dtype,
        "tp_size": spec.rollout.gpus_per_replica if gpu else 1,
        # Engines with the same seed would sample the same responses to the same prompt.
        "random_seed": (spec.seed + replica * 1_000_003) % 2**31,
        # The engine needs the tokenizer only for stop texts.
        "skip_tokenizer_init": not (
            spec.rollout.sampling.stop or any(e.sampling.stop for e in spec.evaluation)
        ),
        # The trainer sends all weights before the engine works. Dummy weights reveal a tensor that
        # was never sent, which the checkpoint's would hide, and save reading the checkpoint.
        "load_format": "dummy",
        # The dummy weights are not a published version.
        "weight_version": "-1",
    }


def longest_request(spec: RLJobSpec) -> int:
    """Tokens of the longest prompt plus the longest response, or episode, that the job allows."""
    responses = [spec.rollout.sampling.max_response_tokens]
    responses += [e.sampling.max_response_tokens or 0 for e in spec.evaluation]
    one_turn = spec.data.max_prompt_tokens + max(responses)
    return max(one_turn, spec.rollout.episodes.context_tokens or 0)


def model_context(checkpoint: Path) -> int | None:
    """Positions that the model was made for; None if its config.json does not say."""
    try:
        config = json.loads((checkpoint / "config.json").read_bytes())
    except (OSError, ValueError):
        return None  # the engine reports what is wrong with it
    config = config.get("text_config", config)
    value = config.get("max_position_embeddings")
    return value if isinstance(value, int) else None
