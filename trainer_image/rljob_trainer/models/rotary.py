"""Rotary positions, as a config.json describes them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from rljob_trainer.models.config_reader import ConfigReader


@dataclass(frozen=True)
class Llama3Scaling:
    """Scaling of rotary frequencies, as in Llama 3.1."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_positions: int


@dataclass(frozen=True)
class YarnScaling:
    """YaRN's scaling of rotary frequencies and of attention, as in DeepSeek V3."""

    factor: float
    original_positions: int
    beta_fast: float
    beta_slow: float
    mscale: float
    mscale_all_dim: float


@dataclass(frozen=True)
class Rotary:
    """Rotary positions of a model."""

    base: float
    scaling: Llama3Scaling | YarnScaling | None
    percent: float  # share of a head's dimensions that are rotated


def rotary(reader: ConfigReader, percent: float, kinds: Collection[str]) -> Rotary:
    """Reads transformers' current form (rope_parameters) or its older one.

    Both may be present if they agree: programs differ in which one they read.

    Args:
        reader: the fields of config.json.
        percent: the family's share of rotated dimensions. A family that rotates all of them allows
            no other.
        kinds: the allowed values of rope_type.
    """
    sections = [
        (name, _rotary(reader, reader.section(name), percent, kinds))
        for name in ("rope_parameters", "rope_scaling")
        if reader.get(name)
    ]
    if not sections:
        return _rotary(reader, reader.section("rope_scaling"), percent, kinds)
    if sections[0][1] != sections[-1][1]:
        raise reader.error(
            "rope_scaling", reader.get("rope_scaling"), "what rope_parameters says, or nothing"
        )
    return sections[0][1]


def _rotary(
    reader: ConfigReader, rope: ConfigReader, percent: float, kinds: Collection[str]
) -> Rotary:
    base = ConfigReader({"rope_theta": _agreed(reader, rope, "rope_theta")}, "config.json")
    share = _agreed(reader, rope, "partial_rotary_factor")
    share = percent if share is None else share
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise reader.error("partial_rotary_factor", share, "a number above 0, at most 1")
    if percent == 1 and share != 1:
        raise reader.error("partial_rotary_factor", share, "1.0")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("type", kind) != kind:
        raise rope.error("type", rope.get("type"), f"that of rope_type, {kind!r}, or nothing")
    if kind not in kinds:
        raise rope.error("rope_type", kind, ", ".join(kinds))
    scaling = {"default": _none, "llama3": _llama3, "yarn": _yarn}[kind](rope)
    return Rotary(base.positive_number("rope_theta", 10000.0), scaling, float(share))


def _agreed(reader: ConfigReader, rope: ConfigReader, field: str) -> Any:
    """A field that may be in a section, at the top level of config.json, or the same in both."""
    top = reader.get(field)
    own = rope.get(field, top)
    if top is not None and own != top:
        raise rope.error(field, own, f"config.json's own {field}, {top!r}, or nothing")
    return own


def _none(_rope: ConfigReader) -> None:
    return None


def _llama3(rope: ConfigReader) -> Llama3Scaling:
    return Llama3Scaling(
        factor=rope.positive_number("factor"),
        low_frequency_factor=rope.positive_number("low_freq_factor"),
        high_frequency_factor=rope.positive_number("high_freq_factor"),
        original_positions=rope.positive_int("original_max_position_embeddings"),
    )


def _yarn(rope: ConfigReader) -> YarnScaling:
    """Both factors of mscale, or none: with one alone, programs compute different things."""
    rope.only("attention_factor", None, None)
    rope.only("truncate", True, True)
    both = bool(rope.get("mscale")) and bool(rope.get("mscale_all_dim"))
    if bool(rope.get("mscale_all_dim")) and not both:
        raise rope.error("mscale", rope.get("mscale"), "a number above 0, as for mscale_all_dim")
    return YarnScaling(
        factor=rope.positive_number("factor"),
        original_positions=rope.positive_int("original_max_position_embeddings"),
        beta_fast=rope.positive_number("beta_fast", 32.0),
        beta_slow=rope.positive_number("beta_slow", 1.0),
        mscale=rope.positive_number("mscale") if both else 1.0,
        mscale_all_dim=rope.positive_number("mscale_all_dim") if both else 0.0,
    )
