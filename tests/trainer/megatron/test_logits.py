"""Log-probabilities against transformers, which defines what a checkpoint means."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from rljob_trainer.megatron.model import Model
from rljob_trainer.megatron.parallel import initialize
from rljob_trainer.megatron.scorer import Scorer
from rljob_trainer.models.registry import ARCHITECTURES
from tests.trainer.megatron.cases import make_job, make_trajectories
from tests.trainer.megatron.ranks import alone
from tests.trainer.models.tiny import FAMILIES, LLAMA3_ROPE, YARN_ROPE, make_checkpoint

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("qwen3", {}),
    "qwen3 tied": ("qwen3", {"tie_word_embeddings": True}),
    "qwen3 heads wider than hidden": ("qwen3", {"head_dim": 32}),
    "qwen3 one query group": ("qwen3", {"num_key_value_heads": 1}),
    "qwen3 moe": ("qwen3_moe", {}),
    "qwen3 moe, weights not normalized": ("qwen3_moe", {"norm_topk_prob": False}),
    "qwen3 moe, every second layer": (
        "qwen3_moe",
        {"num_hidden_layers": 4, "decoder_sparse_step": 2, "mlp_only_layers": []},
    ),
    "glm-4": ("glm4", {"attention_bias": False}),
    "glm-4 with biases": ("glm4", {"attention_bias": True}),
    "glm-4.5": ("glm4_moe", {"use_qk_norm": True, "attention_bias": True}),
    "glm-4.5 air": ("glm4_moe", {"n_shared_experts": 2}),
    "deepseek v3": (
        "deepseek_v3",
        {"rope_parameters": YARN_ROPE, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 4},
    ),
    "moonlight": ("deepseek_v3", {"q_lora_rank": None, "n_shared_experts": 2}),
    "kimi k2": (
        "deepseek_v3",
        {"rope_parameters": {**YARN_ROPE, "beta_fast": 1.0}, "num_experts_per_tok": 3},
    ),
    "qwen2.5": ("qwen2", {"use_sliding_window": False}),
    "qwen2.5 tied": ("qwen2", {"tie_word_embeddings": True}),
    "llama": ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
    "llama tied": ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    "llama 3.1": ("llama", {"rope_parameters": LLAMA3_ROPE, "rms_norm_eps": 1e-5}),
}


def test_every_family_has_a_case() -> None:
    assert {FAMILIES[family][1].__name__ for family, _ in CASES.values()} == set(ARCHITECTURES)


def policy_log_probs(job: Any, checkpoint: Path, trajectories: Any) -> Any:
    return Scorer(job, Model(job, initialize(job), checkpoint))(trajectories)


def transformers_log_probs(checkpoint: Path, trajectories: Any, temperature: float) -> Any:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    answer = []
    for trajectory in trajectories:
        with torch.no_grad():
            logits = model(trajectory.tokens[None]).logits[0, :-1] / temperature
        of_tokens = logits.log_softmax(-1).gather(1, trajectory.tokens[1:, None])[:, 0]
        answer.append(of_tokens[trajectory.prompt_length - 1 :])
    return answer


@pytest.mark.parametrize("case", CASES)
def test_log_probs_equal_transformers(case: str, tmp_path: Path) -> None:
    family, changes = CASES[case]
    checkpoint = make_checkpoint(tmp_path, family, **changes)
    job = make_job(checkpoint, rollout={"sampling": {"temperature": 0.7}})
    trajectories = make_trajectories()
    found = alone(policy_log_probs, job, checkpoint, trajectories)
    expected = transformers_log_probs(checkpoint, trajectories, 0.7)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_log_probs_of_two_tensor_parallel_ranks_equal_transformers(
    tmp_path: Path, two_ranks: Any
) -> None:
    # 33 is no multiple of 2: the vocabulary is padded, and the padding must not count.
    checkpoint = make_checkpoint(tmp_path, vocab_size=33)
    trainer = {"gpusPerReplica": 2, "parallelism": {"tensor": 2, "sequence": True}}
    job = make_job(checkpoint, trainer=trainer)
    trajectories = make_trajectories(vocabulary=33)
    expected = transformers_log_probs(checkpoint, trajectories, 1.0)
    for found in two_ranks.run(policy_log_probs, job, checkpoint, trajectories):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
