"""Peak memory of log-probabilities and entropies, in pieces of the vocabulary and the plain way.

Both compute the same values and gradients, with torch's own autograd in the plain way, each in a
process of its own; what counts is its peak beyond hidden states, weight and their gradients.

    python benchmarks/logits.py [--tokens 1024]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.training.workload import be_alone
from rljob_trainer.megatron.vocab_parallel import token_scores

GOAL = 0.3
VOCABULARY = 151_936  # Qwen3's
HIDDEN = 512


def plain(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """As the formulas say."""
    log_probs = (hidden @ weight.T).float().log_softmax(-1)
    entropies = -(log_probs.exp() * log_probs).sum(-1)
    return log_probs.gather(1, targets[:, None])[:, 0], entropies


def in_pieces(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """As the trainer does."""
    dist.init_process_group("gloo")
    log_probs, entropies, _ = token_scores(
        hidden,
        weight,
        targets,
        vocabulary=VOCABULARY,
        temperature=1.0,
        group=dist.group.WORLD,
    )
    return log_probs, entropies


WAYS = {"plain": plain, "in pieces": in_pieces}


def measure(way: str, tokens: int) -> dict[str, float]:
    """Peak MiB and seconds of one way, in this process, and a number to compare the results by."""
    be_alone()
    torch.manual_seed(0)
    hidden = torch.randn(tokens, HIDDEN, requires_grad=True)
    weight = (torch.randn(VOCABULARY, HIDDEN) / HIDDEN**0.5).requires_grad_()
    targets = torch.randint(0, VOCABULARY, (tokens,))
    hidden.grad, weight.grad = torch.zeros_like(hidden), torch.zeros_like(weight)
    before = _peak()
    began = time.perf_counter()
    log_probs, entropies = WAYS[way](hidden, weight, targets)
    (log_probs.sum() + 0.1 * entropies.sum()).backward()
    seconds = time.perf_counter() - began
    norm = torch.cat([hidden.grad.flatten(), weight.grad.flatten()]).norm().item()
    return {"peak": _peak() - before, "seconds": seconds, "norm": norm}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Prints a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--way", choices=WAYS, help="measure one way in this process")
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measure(arguments.way, arguments.tokens)))
        return
    found = {}
    for way in WAYS:
        command = [sys.executable, Path(__file__), "--way", way, "--tokens", str(arguments.tokens)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found[way] = json.loads(output.splitlines()[-1])
        print(f"{way:12}{found[way]['peak']:8.0f} MiB{found[way]['seconds']:8.1f} s")
    norms = [each["norm"] for each in found.values()]
    assert abs(norms[0] / norms[1] - 1) < 1e-4, f"not the same gradients: norms {norms}"
    pieces, whole = found["in pieces"]["peak"], found["plain"]["peak"]
    result = {
        "name": f"peak memory of log-probabilities of {arguments.tokens} tokens",
        "value": round(pieces),
        "unit": "MiB",
        "peer": round(whole),
        "ratio": round(pieces / whole, 3),
        "goal": GOAL,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
