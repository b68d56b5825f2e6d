"""A Hugging Face config.json: the part of it that a dense decoder needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rljob.errors import UsageError


@dataclass(frozen=True)
class Llama3Scaling:
    """Scaling of rotary frequencies, as in Llama 3.1."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_positions: int


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a dense decoder."""

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
    rope_scaling: Llama3Scaling | None
    tied: bool  # the output layer is the embedding

    def size(self, axis: str) -> int:
        """The length of an axis that a table of weights names."""
        return {
            "vocabulary": self.vocabulary,
            "hidden": self.hidden,
            "ffn": self.ffn,
            "queries": self.heads * self.head_dim,
            "keys": self.groups * self.head_dim,
            "head": self.head_dim,
        }[axis]


class ConfigReader:
    """Typed access to the fields of a config.json, with errors that name the field."""

    def __init__(self, fields: Mapping[str, Any], where: str) -> None:
        self._fields = fields
        self._where = where

    def error(self, field: str, found: Any, allowed: str) -> UsageError:
        """The error for a field whose value is not allowed."""
        return UsageError(f"{self._where}: {field}: found {found!r}, allowed: {allowed}")

    def get(self, field: str, default: Any = None) -> Any:
        """Returns a field as it is; null counts as absent."""
        value = self._fields.get(field)
        return default if value is None else value

    def positive_int(self, field: str, default: int | None = None) -> int:
        """Returns a field that must be a whole number above 0."""
        value = self.get(field, default)
        if value is None:
            raise UsageError(f"{self._where}: {field}: missing")
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(field, value, "a whole number above 0")
        return value

    def positive_number(self, field: str, default: float | None = None) -> float:
        """Returns a field that must be a number above 0."""
        value = self.get(field, default)
        if value is None:
            raise UsageError(f"{self._where}: {field}: missing")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise self.error(field, value, "a number above 0")
        return float(value)

    def only(self, field: str, allowed: Any, default: Any) -> None:
        """Refuses values of a field that would change the computation in an unsupported way."""
        value = self.get(field, default)
        if value != allowed:
            raise self.error(field, value, repr(allowed))

    def section(self, field: str) -> "ConfigReader":
        """Returns a field that must be an object; absent means empty."""
        value = self.get(field, {})
        if not isinstance(value, dict):
            raise self.error(field, value, "an object")
        return ConfigReader(value, f"{self._where}: {field}")


def decoder_config(reader: ConfigReader, architecture: str, head_dim: int | None) -> ModelConfig:
    """Sizes of a dense decoder with rotary positions, grouped queries and a gated MLP.

    Args:
        reader: The fields.
        architecture: Its name.
        head_dim: The family's default size of a head; None: hidden size / heads.
    """
    family = architecture.removesuffix("ForCausalLM").lower()
    kind = reader.get("model_type", family)
    if kind != family:  # transformers chooses the model by this field
        raise reader.error("model_type", kind, f"{family!r}, as architectures has {architecture}")
    reader.only("hidden_act", "silu", "silu")
    reader.only("attention_bias", False, False)
    reader.only("mlp_bias", False, False)
    reader.only("use_sliding_window", False, False)
    reader.only("partial_rotary_factor", 1.0, 1.0)
    if reader.get("quantization_config") is not None:
        raise reader.error("quantization_config", "a quantized checkpoint", "none")
    hidden = reader.positive_int("hidden_size")
    heads = reader.positive_int("num_attention_heads")
    groups = reader.positive_int("num_key_value_heads", heads)
    if heads % groups:
        raise reader.error("num_key_value_heads", groups, f"a divisor of the {heads} heads")
    tied = reader.get("tie_word_embeddings", False)
    if not isinstance(tied, bool):
        raise reader.error("tie_word_embeddings", tied, "true or false")
    base, scaling = _rope(reader)
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
        norm_epsilon=reader.positive_number("rms_norm_eps", 1e-6),
        rope_base=base,
        rope_scaling=scaling,
        tied=tied,
    )


def _rope(reader: ConfigReader) -> tuple[float, Llama3Scaling | None]:
    """Base and scaling, from transformers' current form (rope_parameters) or its older one.

    Both may be present if they agree: programs differ in which one they read.
    """
    base = reader.get("rope_theta")
    found = {
        name: _rope_of(reader.section(name), base)
        for name in ("rope_parameters", "rope_scaling")
        if reader.get(name)
    }
    present = found.get("rope_parameters")
    older = found.get("rope_scaling")
    if present and older and present != older:
        raise reader.error(
            "rope_scaling", reader.get("rope_scaling"), "what rope_parameters says, or nothing"
        )
    return present or older or _rope_of(reader.section("rope_scaling"), base)


def _rope_of(rope: ConfigReader, base: Any) -> tuple[float, Llama3Scaling | None]:
    """Base and scaling from one of the two sections.

    Args:
        rope: the section.
        base: the top-level rope_theta of config.json; None: it has none.
    """
    own = rope.get("rope_theta", base)
    if base is not None and own != base:
        raise rope.error("rope_theta", own, f"config.json's own rope_theta, {base!r}, or nothing")
    base = ConfigReader({"rope_theta": own}, "config.json").positive_number("rope_theta", 10000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("type", kind) != kind:
        raise rope.error("type", rope.get("type"), f"that of rope_type, {kind!r}, or nothing")
    if kind == "default":
        return base, None
    if kind != "llama3":
        raise rope.error("rope_type", kind, "default, llama3")
    return base, Llama3Scaling(
        factor=rope.positive_number("factor"),
        low_frequency_factor=rope.positive_number("low_freq_factor"),
        high_frequency_factor=rope.positive_number("high_freq_factor"),
        original_positions=rope.positive_int("original_max_position_embeddings"),
    )
