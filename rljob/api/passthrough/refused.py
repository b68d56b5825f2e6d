"""Options of SGLang that break weight updates or the protocol between worker and engine."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rljob.api.problem import Path, Problem, problem, show


@dataclass(frozen=True)
class Refusal:
    """An option that must keep its default.

    Args:
        default: the only allowed value, besides null.
        reason: why no other is allowed.
    """

    default: Any
    reason: str

    def problem(self, path: Path, value: Any) -> Problem | None:
        """What is wrong with a value; None if it is the default."""
        if value is None or value == self.default:
            return None
        return problem(path, value, show(self.default), self.reason)


def _refuse(names: Iterable[str], default: Any, reason: str) -> dict[str, Refusal]:
    return dict.fromkeys(names, Refusal(default, reason))


_FORMAT = "new weights arrive in the number format of spec.model.dtype after every update"
_LOADING = "rljob decides how an engine gets its first weights"
_ONE_ENGINE = "a worker has one engine, which reads the prompt and writes the response"
_BASE_ONLY = "updates replace the weights of the model itself, not those of an adapter"
_DRAFT = "updates do not reach the draft model, and its weights would grow stale"
_HTTP = "the worker reaches its engine by plain HTTP on the same machine or in the same pod"

SGLANG = {
    **_refuse(("disaggregation_mode",), "null", _ONE_ENGINE),
    **_refuse(("enable_pd_role_switch", "encoder_only", "language_only"), False, _ONE_ENGINE),
    **_refuse(("enable_lora",), False, _BASE_ONLY),
    **_refuse(("lora_paths", "uno_lora_path"), None, _BASE_ONLY),
    **_refuse(("speculative_algorithm", "speculative_draft_model_path"), None, _DRAFT),
    **_refuse(
        ("quantization", "modelopt_quant", "rl_quant_profile", "kt_weight_path"), None, _FORMAT
    ),
    **_refuse(("quantize_and_serve",), False, _FORMAT),
    **_refuse(("load_format",), "auto", _LOADING),
    **_refuse(("weight_cache_mode",), "off", _LOADING),
    **_refuse(
        ("delete_ckpt_after_loading",),
        False,
        "the trainer, and an engine that starts later, read the same checkpoint",
    ),
    **_refuse(("grpc_mode", "smg_grpc_mode"), False, _HTTP),
    **_refuse(("ssl_certfile", "ssl_keyfile"), None, _HTTP),
    **_refuse(
        ("use_ray",), False, "the worker starts its engine's processes and ends them with itself"
    ),
    **_refuse(
        ("dllm_algorithm",), None, "a diffusion model gives no log-probability for each token"
    ),
    **_refuse(
        ("allow_auto_truncate",),
        False,
        "the engine would answer a shorter prompt than the one that is trained on",
    ),
}
