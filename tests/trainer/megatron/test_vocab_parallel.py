"""Log-probabilities and entropy from split logits, against torch's own and by hand."""

import math
from typing import Any

import pytest
import torch
import torch.distributed as dist

from rljob_trainer.megatron.vocab_parallel import log_probs_and_entropy
from tests.trainer.megatron.ranks import alone

VOCABULARY, TEMPERATURE = 7, 0.6


def inputs() -> Any:
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 3, VOCABULARY, generator=random) * 4
    targets = torch.randint(0, VOCABULARY, (2, 3), generator=random)
    weights = torch.randn(2, 2, 3, generator=random)
    return logits, targets, weights


def results(log_probs: Any, entropy: Any, weights: Any, logits: Any) -> Any:
    """Values, and the gradients by either and by both."""
    gradients = [
        torch.autograd.grad(value, logits, retain_graph=True)[0]
        for value in (
            (log_probs * weights[0]).sum(),
            (entropy * weights[1]).sum(),
            (log_probs * weights[0] + entropy * weights[1]).sum(),
        )
    ]
    return log_probs.detach(), entropy.detach(), *gradients


def expected() -> Any:
    logits, targets, weights = inputs()
    logits.requires_grad_()
    of_all = (logits / TEMPERATURE).log_softmax(-1)
    log_probs = of_all.gather(-1, targets[..., None])[..., 0]
    return results(log_probs, -(of_all.exp() * of_all).sum(-1), weights, logits)


def split() -> Any:
    """The same from this rank's columns, padded to a multiple of the ranks with large logits."""
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    logits, targets, weights = inputs()
    padding = torch.full((2, 3, -VOCABULARY % size), 50.0)
    part = torch.cat([logits, padding], -1).chunk(size, -1)[rank].clone().requires_grad_()
    log_probs, entropy = log_probs_and_entropy(
        part, targets, vocabulary=VOCABULARY, temperature=TEMPERATURE, group=dist.group.WORLD
    )
    return results(log_probs, entropy, weights, part)


def test_one_rank_equals_torch() -> None:
    for found, wanted in zip(alone(split), expected(), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_two_ranks_equal_torch_without_the_padding(two_ranks: Any) -> None:
    first, second = two_ranks.run(split)
    for number, wanted in enumerate(expected()):
        if number < 2:  # values are the same on both ranks
            assert torch.equal(first[number], second[number])
            found = first[number]
        else:  # gradients are of each rank's columns
            found = torch.cat([first[number], second[number]], -1)
            assert (found[..., VOCABULARY:] == 0).all()
            found = found[..., :VOCABULARY]
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def by_hand() -> Any:
    dist.init_process_group("gloo")
    logits = torch.tensor([[[math.log(2), 0.0, 0.0]]])  # probabilities 1/2, 1/4, 1/4
    found = log_probs_and_entropy(
        logits, torch.tensor([[1]]), vocabulary=3, temperature=1.0, group=dist.group.WORLD
    )
    return [value.item() for value in found]


def test_values_by_hand() -> None:
    # log 1/4;  1/2 log 2 + 2 x 1/4 log 4 = 3/2 log 2
    assert alone(by_hand) == pytest.approx([math.log(0.25), 1.5 * math.log(2)])


def certain() -> Any:
    dist.init_process_group("gloo")
    logits = torch.tensor([[[500.0, 0.0, -500.0]]], requires_grad=True)
    log_probs, entropy = log_probs_and_entropy(
        logits, torch.tensor([[0]]), vocabulary=3, temperature=1.0, group=dist.group.WORLD
    )
    (log_probs + entropy).sum().backward()
    return log_probs.item(), entropy.item(), logits.grad


def test_certainty_is_finite() -> None:
    log_prob, entropy, gradient = alone(certain)
    assert log_prob == 0
    assert entropy == 0
    assert torch.equal(gradient, torch.zeros(1, 1, 3))
