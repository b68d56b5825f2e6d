"""The arguments of the SGLang server, from the job."""

from typing import Any

import torch

from rljob.api import RLJobSpec

# What a CPU engine needs; a job may still set any of them otherwise.
_CPU = {
    "device": "cpu",
    "attention_backend": "torch_native",
    "max_total_tokens": 16384,
    "sleep_on_idle": True,  # otherwise an idle engine keeps a core busy
}


def engine_arguments(
    spec: RLJobSpec, *, host: str, port: int, api_key: str | None, admin_key: str | None
) -> dict[str, Any]:
    """Arguments of sglang's ServerArgs; `rollout.sglang` overrides the defaults among them."""
    gpu = torch.cuda.is_available()
    dtype = spec.model.dtype
    if dtype == "auto":
        dtype = "bfloat16" if gpu else "float32"
    return {
        **({} if gpu else _CPU),
        "tp_size": spec.rollout.gpus_per_replica if gpu else 1,
        "enable_metrics": True,
        "random_seed": spec.seed,
        "weight_version": "-1",  # until the trainer has published its weights
        # A request that is paused in place keeps what old weights cached; no other may use it.
        "disable_radix_cache": spec.weights.pause_mode == "in_place",
        "log_level": "warning",
        "log_level_http": "warning",
        **spec.rollout.sglang,
        "model_path": spec.model.checkpoint,
        "dtype": dtype,
        "host": host,
        "port": port,
        "api_key": api_key,
        "admin_api_key": admin_key,
    }
