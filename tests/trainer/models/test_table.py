"""Layouts of parameters over ranks: values by hand, and the way back."""

from dataclasses import replace

import pytest
import torch

from rljob_trainer.models.config import ModelConfig
from rljob_trainer.models.decoder import DOWN, EMBEDDING, FINAL_NORM, GATE_UP, OUTPUT, QKV
from rljob_trainer.models.experts import Experts
from rljob_trainer.models.glm4_moe import GLM4_MOE
from rljob_trainer.models.llama import LLAMA
from rljob_trainer.models.qwen3 import QWEN3
from rljob_trainer.models.table import Entry

CONFIG = ModelConfig(
    architecture="Qwen3ForCausalLM",
    layers=2,
    hidden=3,
    ffn=8,
    heads=8,
    groups=4,
    head_dim=2,
    vocabulary=7,
    positions=16,
    norm_epsilon=1e-6,
    rope_base=1e4,
    rope_scaling=None,
    tied=False,
    qk_norm=True,
)


def numbered(entry: Entry) -> list[torch.Tensor]:
    """The entry's full tensors; all their elements differ."""
    tensors = []
    for number, tensor in enumerate(entry.tensors):
        shape = tensor.shape(CONFIG)
        tensors.append(torch.arange(torch.Size(shape).numel()).reshape(shape) + 1000 * number)
    return tensors


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize(
    "entry",
    [EMBEDDING, OUTPUT, FINAL_NORM, QKV, GATE_UP, DOWN],
    ids=lambda entry: entry.tensors[0].name,
)
def test_shards_give_the_full_tensors_back(entry: Entry, size: int) -> None:
    full = numbered(entry)
    shards = [entry.layout.shard(full, CONFIG, rank, size) for rank in range(size)]
    assert len({shard.shape for shard in shards}) == 1
    for found, wanted in zip(entry.layout.full(shards, CONFIG), full, strict=True):
        assert torch.equal(found, wanted)


def test_queries_keys_and_values_lie_group_by_group() -> None:
    # 4 groups of 2 query heads, 1 key head and 1 value head, of 2 rows each; the second of two
    # ranks holds groups 2 and 3. Rows are told by their first element: q 0.., k 1000.., v 2000..
    shard = QKV.layout.shard(numbered(QKV), CONFIG, 1, 2)
    rows = [int(row[0]) for row in shard]
    group_2 = [24, 27, 30, 33, 1012, 1015, 2012, 2015]
    group_3 = [36, 39, 42, 45, 1018, 1021, 2018, 2021]
    assert rows == group_2 + group_3


def test_each_rank_holds_gate_above_up() -> None:
    shard = GATE_UP.layout.shard(numbered(GATE_UP), CONFIG, 1, 4)
    assert [int(row[0]) for row in shard] == [6, 9, 1006, 1009]


def test_the_vocabulary_is_padded_with_zeros() -> None:
    shard = EMBEDDING.layout.shard(numbered(EMBEDDING), CONFIG, 1, 2)
    assert [int(row[0]) for row in shard] == [12, 15, 18, 0]


def test_a_layer_has_an_mlp_or_experts() -> None:
    experts = Experts(layers=(False, True), count=3, chosen=2, ffn=4, score="sigmoid", shared_ffn=4)
    config = replace(CONFIG, experts=experts)
    entries = list(GLM4_MOE.table.entries(config))
    assert [entry.layer for entry in entries if "mlp.linear_fc1" in entry.parameter] == [0]
    assert [entry.layer for entry in entries if "shared_experts.linear_fc1" in entry.parameter] == [
        1
    ]
    fused = [entry for entry in entries if ".experts." in entry.parameter]
    assert [(entry.layer, entry.expert) for entry in fused] == 2 * [(1, 0), (1, 1), (1, 2)]
    second = fused[1]
    assert second.parameter == "decoder.layers.1.mlp.experts.local_experts.1.linear_fc1.weight"
    assert second.fused == "decoder.layers.1.mlp.experts.linear_fc1.weight1"
    assert [tensor.name for tensor in second.tensors] == [
        "model.layers.1.mlp.experts.1.gate_proj.weight",
        "model.layers.1.mlp.experts.1.up_proj.weight",
    ]


def test_entries_go_through_all_layers_once() -> None:
    for architecture, per_layer in ((LLAMA, 9), (QWEN3, 11)):
        config = replace(CONFIG, qk_norm=architecture is QWEN3)
        names = [t.name for e in architecture.table.entries(config) for t in e.tensors]
        assert len(names) == len(set(names)) == 3 + 2 * per_layer
        assert names[0] == "model.embed_tokens.weight"
        assert "model.layers.1.mlp.up_proj.weight" in names
        assert names[-1] == "lm_head.weight"
