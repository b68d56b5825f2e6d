"""The arguments of an SGLang server, from the job."""

import json
from pathlib import Path
from typing import Any

from rljob.api import RLJobSpec

# A request of the longest prompt and the longest response must stay below the context: SGLang
# keeps a few positions for itself.
_RESERVED_TOKENS = 8
# Key-value cache of a CPU engine; without a bound it takes most of the machine's memory. Tokens.
_MOST_CPU_TOKENS = 16384


def engine_arguments(spec: RLJobSpec, *, replica: int, gpu: bool) -> dict[str, Any]:
    """Values by the names of sglang.srt.server_args.ServerArgs; address and keys are not in it.

    `spec.rollout.sglang` comes before our defaults, and what the manifest says elsewhere before
    both: the names concerned are refused there.
    """
    context = longest_request(spec) + _RESERVED_TOKENS
    defaults: dict[str, Any] = {
        "enable_metrics": True,
        "log_level_http": "warning",
        # A retracted request's cache is computed anew; one that stays in place keeps an old
        # one, of which no other request may take a part.
        "disable_radix_cache": spec.weights.pause_mode == "in_place",
    }
    limit = model_context(Path(spec.model.checkpoint))
    if limit is not None and context <= limit:
        # Memory for each running request grows with the context.
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
        # Engines of one seed would draw the same responses to the same prompt.
        "random_seed": (spec.seed + replica * 1_000_003) % 2**31,
        # Only texts that end a response need the engine to know texts.
        "skip_tokenizer_init": not spec.rollout.sampling.stop,
        # The trainer sends all weights before the engine works. One that was never sent shows
        # then, and would not if the checkpoint had it; and nothing is read twice.
        "load_format": "dummy",
        # What it has loaded is no published version yet.
        "weight_version": "-1",
    }


def longest_request(spec: RLJobSpec) -> int:
    """Tokens of the longest prompt with the longest response that the job allows."""
    responses = [spec.rollout.sampling.max_response_tokens]
    responses += [e.sampling.max_response_tokens or 0 for e in spec.evaluation]
    return spec.data.max_prompt_tokens + max(responses)


def model_context(checkpoint: Path) -> int | None:
    """Positions that the model was made for; None where its config.json does not tell."""
    try:
        config = json.loads((checkpoint / "config.json").read_bytes())
    except (OSError, ValueError):
        return None  # the engine says what is wrong with it
    config = config.get("text_config", config)
    value = config.get("max_position_embeddings")
    return value if isinstance(value, int) else None
