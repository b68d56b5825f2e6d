"""A model, a job and a batch for optimizer steps in this process."""

import os
import socket
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from rljob_trainer.trajectories.trajectory import Trajectory

VOCABULARY = 512
SAMPLES = 32
LENGTH = 64


def be_alone() -> None:
    """Makes this process the only rank, on one core."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "OMP_NUM_THREADS": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)


def write_model(directory: Path) -> Path:
    """A model of 11 M parameters: its checkpoint takes 130 MB, and a step about a second."""
    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
    )
    Qwen3ForCausalLM(config).float().save_pretrained(directory)
    return directory


def manifest(checkpoint: Path) -> dict[str, Any]:
    """A job whose batches are these steps."""
    return {
        "apiVersion": "rljob.dev/v1alpha1",
        "kind": "RLJob",
        "metadata": {"name": "steps"},
        "spec": {
            "model": {"checkpoint": str(checkpoint)},
            "data": {"prompts": ["/none"]},
            "algorithm": {"samplesPerPrompt": 8},
            "schedule": {"rollouts": 1, "rolloutBatchSize": 4, "globalBatchSize": SAMPLES},
            "trainer": {"maxTokensPerGpu": SAMPLES * LENGTH, "optimizer": {"lr": 1e-5}},
        },
    }


def trajectories() -> list[Trajectory]:
    """One batch of random tokens."""
    response = LENGTH // 2
    return [
        Trajectory(
            tokens=torch.randint(VOCABULARY, (LENGTH,)),
            prompt_length=LENGTH - response,
            loss_mask=torch.ones(response),
            rollout_log_probs=torch.full((response,), -6.0),
            old_log_probs=torch.full((response,), -6.0),
            advantages=torch.randn(1).expand(response),
        )
        for _ in range(SAMPLES)
    ]
