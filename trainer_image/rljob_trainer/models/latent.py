"""Multi-head latent attention: keys and values are computed from a vector of low rank."""

from dataclasses import dataclass

from rljob_trainer.models.config_reader import ConfigReader


@dataclass(frozen=True)
class LatentAttention:
    """Its sizes (DeepSeek-V2, https://arxiv.org/abs/2405.04434)."""

    query_rank: int | None  # None: queries are computed from the hidden state directly
    key_value_rank: int
    unrotated: int  # dimensions of a query's or key's head without positions
    rotated: int  # and with rotary positions
    value: int  # dimensions of a value's head


def latent_attention(reader: ConfigReader) -> LatentAttention:
    """The sizes in a config.json."""
    reader.only("rope_interleave", True, True)
    rank = reader.get("q_lora_rank")
    return LatentAttention(
        query_rank=None if rank is None else reader.positive_int("q_lora_rank"),
        key_value_rank=reader.positive_int("kv_lora_rank"),
        unrotated=reader.positive_int("qk_nope_head_dim"),
        rotated=reader.positive_int("qk_rope_head_dim"),
        value=reader.positive_int("v_head_dim"),
    )
