"""Whether a model can be split over the ranks of a layout."""

from rljob.api.rules.shape import UNEVEN
from rljob.api.trainer import TrainerSpec
from rljob.errors import UsageError
from rljob_trainer.megatron.parallel import Parallel
from rljob_trainer.models.config import ModelConfig


def check_split(config: ModelConfig, spec: TrainerSpec, parallel: Parallel) -> None:
    """Refuses a layout into which the model's sizes can't be split.

    Raises:
        UsageError: names the first size.
    """
    for name, count in (
        ("num_attention_heads", config.heads),
        ("num_key_value_heads", config.groups),
        ("intermediate_size", config.ffn),
    ):
        _check_divisor("tensor", parallel.tp_size, name, count)
    if not spec.megatron.keys() & set(UNEVEN):
        _check_divisor("pipeline", parallel.pp_size, "num_hidden_layers", config.layers)
        layers = config.layers // parallel.pp_size
        _check_divisor("virtualPipeline", parallel.chunks, "layers on each stage", layers)
    _check_experts(config, parallel)
    if (config.experts or config.latent) and not spec.parallelism.sequence and parallel.tp_size > 1:
        raise UsageError(
            "spec.trainer.parallelism.sequence: found false, allowed: true, as the model has "
            "experts or latent attention and spec.trainer.parallelism.tensor is above 1"
        )


def _check_experts(config: ModelConfig, parallel: Parallel) -> None:
    experts = config.experts
    if experts is not None:
        _check_divisor("expert", parallel.ep_size, "number of experts", experts.count)
        _check_divisor("expertTensor", parallel.etp_size, "moe_intermediate_size", experts.ffn)
        shared = "moe_intermediate_size of the shared experts"
        _check_divisor("tensor", parallel.tp_size, shared, experts.shared_ffn)
        if parallel.etp_size > 1 and parallel.ep_size > 1 and parallel.device.type == "cpu":
            raise UsageError(
                f"spec.trainer.parallelism.expertTensor: found {parallel.etp_size}, allowed: 1 on "
                "a CPU with expert above 1, as gloo can't gather unequal numbers of tokens"
            )
    elif parallel.ep_size > 1:
        raise UsageError(
            f"spec.trainer.parallelism.expert: found {parallel.ep_size}, allowed: 1, as the model "
            "has no experts"
        )


def _check_divisor(field: str, size: int, name: str, count: int) -> None:
    if count % size:
        raise UsageError(
            f"spec.trainer.parallelism.{field}: found {size}, allowed: a divisor of the model's "
            f"{name}, {count}"
        )
