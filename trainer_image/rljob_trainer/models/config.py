"""A Hugging Face config.json: the part of it that a decoder needs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rljob_trainer.models.block_fp8 import check_quantization
from rljob_trainer.models.config_reader import ConfigReader
from rljob_trainer.models.experts import Experts
from rljob_trainer.models.latent import LatentAttention
from rljob_trainer.models.rotary import Llama3Scaling, YarnScaling, rotary


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a decoder, and what varies within its family."""

    architecture: str  # as in `architectures` of config.json
    layers: int
    hidden: int
    ffn: int
    heads: int
    groups: int  # key-value heads
    head_dim: int
    vocabulary: int
    positions: int  # longest sequence
    norm_epsilon: float
    rope_base: float
    rope_scaling: Llama3Scaling | YarnScaling | None
    tied: bool  # the output layer is the embedding
    rotary_percent: float = 1.0  # share of a head's dimensions that are rotated
    qkv_bias: bool = False  # biases of queries, keys and values
    qk_norm: bool = False  # RMSNorm of queries and keys, head by head
    experts: Experts | None = None
    latent: LatentAttention | None = None
    prediction_layers: int = 0  # after the last layer, for multi-token prediction; not trained

    def size(self, axis: str) -> int:
        """The length of an axis that a table of weights names."""
        sizes = {
            "vocabulary": self.vocabulary,
            "hidden": self.hidden,
            "ffn": self.ffn,
            "twice_ffn": 2 * self.ffn,
            "queries": self.heads * self.head_dim,
            "keys": self.groups * self.head_dim,
            "head": self.head_dim,
        }
        if self.experts:
            sizes |= {
                "experts": self.experts.count,
                "expert_ffn": self.experts.ffn,
                "shared_ffn": self.experts.shared_ffn,
            }
        if self.latent:
            sizes |= {
                "query_rank": self.latent.query_rank or 0,
                "key_value_rank": self.latent.key_value_rank,
                "key_value_down": self.latent.key_value_rank + self.latent.rotated,
                "latent_queries": self.heads * (self.latent.unrotated + self.latent.rotated),
                "latent_keys_values": self.heads * (self.latent.unrotated + self.latent.value),
                "latent_values": self.heads * self.latent.value,
            }
        return sizes[axis]

    def has_experts(self, layer: int) -> bool:
        """Whether a layer, numbered from 0, has experts in place of its MLP."""
        return self.experts is not None and self.experts.layers[layer]


def decoder_config(
    reader: ConfigReader,
    architecture: str,
    model_types: Sequence[str],
    *,
    head_dim: int | None = None,
    norm_epsilon: float = 1e-6,
    rotary_percent: float = 1.0,
    rope_kinds: Collection[str] = ("default", "llama3"),
    qkv_bias: bool = False,
    qk_norm: bool = False,
    block_fp8: bool = False,
) -> ModelConfig:
    """Sizes of a decoder with rotary positions, grouped queries and a gated MLP.

    Args:
        reader: the fields.
        architecture: its name.
        model_types: the values of model_type that go with it.
        head_dim: the family's default size of a head; None: hidden size / heads.
        norm_epsilon: the family's default.
        rotary_percent: the family's default share of rotated dimensions.
        rope_kinds: the kinds of rotary positions that the family's attention can compute.
        qkv_bias: queries, keys and values have biases.
        qk_norm: queries and keys are normalized.
        block_fp8: the checkpoint may be quantized in blocks.
    """
    kind = reader.get("model_type", model_types[0])
    if kind not in model_types:  # transformers chooses the model by this field
        allowed = " or ".join(map(repr, model_types))
        raise reader.error("model_type", kind, f"{allowed}, as architectures has {architecture}")
    reader.only("hidden_act", "silu", "silu")
    reader.only("mlp_bias", False, False)
    reader.only("use_sliding_window", False, False)
    check_quantization(reader, allowed=block_fp8)
    hidden = reader.positive_int("hidden_size")
    heads = reader.positive_int("num_attention_heads")
    groups = reader.positive_int("num_key_value_heads", heads)
    if heads % groups:
        raise reader.error("num_key_value_heads", groups, f"a divisor of the {heads} heads")
    rope = rotary(reader, rotary_percent, rope_kinds)
    return ModelConfig(
        architecture=architecture,
        layers=reader.positive_int("num_hidden_layers"),
        hidden=hidden,
        ffn=reader.positive_int("intermediate_size"),
        heads=heads,
        groups=groups,
        head_dim=reader.positive_int("head_dim", head_dim or hidden // heads),
        vocabulary=reader.positive_int("vocab_size"),
        positions=reader.positive_int("max_position_embeddings"),
        norm_epsilon=reader.positive_number("rms_norm_eps", norm_epsilon),
        rope_base=rope.base,
        rope_scaling=rope.scaling,
        tied=reader.flag("tie_word_embeddings", False),
        rotary_percent=rope.percent,
        qkv_bias=qkv_bias,
        qk_norm=qk_norm,
        prediction_layers=reader.whole("num_nextn_predict_layers", reader.get("num_mtp_layers", 0)),
    )
