"""Scores of tokens from a split output layer, against torch's own and by hand."""

import math
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from rljob_trainer.megatron import vocab_parallel
from rljob_trainer.megatron.vocab_parallel import token_scores
from tests.trainer.megatron.ranks import alone

VOCABULARY, TEMPERATURE, TOKENS, HIDDEN = 7, 0.6, 6, 5
IN_ONE_PIECE, ROW_BY_ROW = 2**20, 4 * TOKENS
PIECES = pytest.mark.parametrize("piece_bytes", [IN_ONE_PIECE, 2 * ROW_BY_ROW, ROW_BY_ROW])


def inputs() -> Any:
    random = torch.Generator().manual_seed(5)
    hidden = torch.randn(TOKENS, HIDDEN, generator=random) * 2
    weight = torch.randn(VOCABULARY, HIDDEN, generator=random) * 2
    targets = torch.randint(0, VOCABULARY, (TOKENS,), generator=random)
    weights = torch.randn(2, TOKENS, generator=random)
    return hidden, weight, targets, weights


def results(log_probs: Any, entropy: Any, likely: Any, weights: Any, of: Any) -> Any:
    """Values, and the gradients by either and by both."""
    gradients = [
        torch.autograd.grad(value, of, retain_graph=True)
        for value in (
            (log_probs * weights[0]).sum(),
            (entropy * weights[1]).sum(),
            (log_probs * weights[0] + entropy * weights[1]).sum(),
        )
    ]
    return (log_probs.detach(), entropy.detach(), likely), gradients


def expected() -> Any:
    hidden, weight, targets, weights = inputs()
    hidden.requires_grad_()
    weight.requires_grad_()
    of_all = (hidden @ weight.T / TEMPERATURE).log_softmax(-1)
    log_probs = of_all.gather(-1, targets[:, None])[:, 0]
    entropy = -(of_all.exp() * of_all).sum(-1)
    return results(log_probs, entropy, of_all.argmax(-1), weights, (hidden, weight))


def split(piece_bytes: int) -> Any:
    """The same from this rank's rows, padded to a multiple of the ranks with large weights."""
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    hidden, weight, targets, weights = inputs()
    hidden.requires_grad_()
    padding = torch.full((-VOCABULARY % size, HIDDEN), 50.0)
    part = torch.cat([weight, padding]).chunk(size)[rank].clone().requires_grad_()
    with mock.patch.object(vocab_parallel, "_PIECE_BYTES", piece_bytes):
        scores = token_scores(
            hidden,
            part,
            targets,
            vocabulary=VOCABULARY,
            temperature=TEMPERATURE,
            group=dist.group.WORLD,
        )
        return results(*scores, weights, (hidden, part))


def assert_equal(found: Any, wanted: Any) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


@PIECES
def test_one_rank_equals_torch(piece_bytes: int) -> None:
    assert_equal(alone(split, piece_bytes), expected())


@PIECES
def test_two_ranks_equal_torch_without_the_padding(piece_bytes: int, two_ranks: Any) -> None:
    (first, by_first), (second, by_second) = two_ranks.run(split, piece_bytes)
    values, gradients = expected()
    for one, other in zip(first, second, strict=True):  # values are the same on both ranks
        assert torch.equal(one, other)
    assert_equal(first, values)
    for one, other, (of_hidden, of_weight) in zip(by_first, by_second, gradients, strict=True):
        assert_equal(one[0] + other[0], of_hidden)
        found = torch.cat([one[1], other[1]])
        assert (found[VOCABULARY:] == 0).all()
        assert_equal(found[:VOCABULARY], of_weight)


def of_logits(logits: Any, target: int) -> Any:
    """The scores of a token with these logits, by a weight that is the unit matrix."""
    dist.init_process_group("gloo")
    hidden = torch.tensor([logits], requires_grad=True)
    scores = token_scores(
        hidden,
        torch.eye(len(logits)),
        torch.tensor([target]),
        vocabulary=len(logits),
        temperature=1.0,
        group=dist.group.WORLD,
    )
    (scores.log_probs + scores.entropies).sum().backward()
    return [value.item() for value in scores], hidden.grad


def test_values_by_hand() -> None:
    # Probabilities 1/2, 1/4, 1/4: log 1/4;  1/2 log 2 + 2 x 1/4 log 4 = 3/2 log 2; the first
    (log_prob, entropy, likely), _ = alone(of_logits, [math.log(2), 0.0, 0.0], 1)
    assert (log_prob, entropy) == pytest.approx((math.log(0.25), 1.5 * math.log(2)))
    assert likely == 0


def test_the_first_of_the_most_likely_counts() -> None:
    (_, _, likely), _ = alone(of_logits, [0.0, 2.0, 2.0], 0)
    assert likely == 1


def test_certainty_is_finite() -> None:
    values, gradient = alone(of_logits, [500.0, 0.0, -500.0], 0)
    assert values == [0, 0, 0]
    assert torch.equal(gradient, torch.zeros(1, 3))
