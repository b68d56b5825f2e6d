"""The mixture of experts that some layers have in place of an MLP."""

from dataclasses import dataclass
from typing import Literal

from rljob_trainer.models.config_reader import ConfigReader


@dataclass(frozen=True)
class Experts:
    """Sizes of the experts, and how a token's are chosen and weighted."""

    layers: tuple[bool, ...]  # by number: whether a layer has experts
    count: int
    chosen: int  # per token
    ffn: int  # of each expert
    score: Literal["softmax", "sigmoid"]
    normalized: bool = True  # the weights of the chosen experts sum to `scale`
    scale: float = 1.0
    bias: bool = False  # of the scores, in the choice only
    groups: int = 1  # the choice is limited to `chosen_groups` groups of experts
    chosen_groups: int = 1
    shared_ffn: int = 0  # of the MLP that every token passes; 0: none


def chosen_count(reader: ConfigReader, count: int) -> int:
    """The number of experts of a token, of `count`.

    With one, megatron-core's routers don't weight it as transformers' do.
    """
    chosen = reader.positive_int("num_experts_per_tok")
    if not 1 < chosen <= count:
        raise reader.error("num_experts_per_tok", chosen, f"2 to the {count} experts")
    return chosen


def sigmoid_experts(reader: ConfigReader, layers: int, dense: int) -> Experts:
    """Experts as in DeepSeek V3: sigmoid scores, a bias of the choice, a shared expert.

    Args:
        reader: the fields of config.json.
        layers: of the model.
        dense: the family's default number of first layers without experts.
    """
    reader.only("norm_topk_prob", True, True)
    reader.only("scoring_func", "sigmoid", "sigmoid")
    reader.only("topk_method", "noaux_tc", "noaux_tc")
    reader.only("moe_layer_freq", 1, 1)
    count = reader.positive_int("n_routed_experts", reader.get("num_local_experts"))
    chosen = chosen_count(reader, count)
    groups = reader.positive_int("n_group", 1)
    if count % groups:
        raise reader.error("n_group", groups, f"a divisor of the {count} experts")
    chosen_groups = reader.positive_int("topk_group", 1)
    if chosen_groups > groups:
        raise reader.error("topk_group", chosen_groups, f"at most the {groups} groups")
    if chosen_groups < groups and chosen // chosen_groups != 2:
        # A group's score is the sum of its two best experts. megatron-core takes as many as this.
        raise reader.error(
            "num_experts_per_tok", chosen, f"twice the {chosen_groups} of topk_group, or one more"
        )
    dense = reader.whole("first_k_dense_replace", dense)
    ffn = reader.positive_int("moe_intermediate_size")
    return Experts(
        layers=tuple(number >= dense for number in range(layers)),
        count=count,
        chosen=chosen,
        ffn=ffn,
        score="sigmoid",
        scale=reader.positive_number("routed_scaling_factor", 1.0),
        bias=True,
        groups=groups,
        chosen_groups=chosen_groups,
        shared_ffn=ffn * reader.whole("n_shared_experts", 0),
    )
