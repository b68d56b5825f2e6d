"""Weights that wait in host memory: a copy takes their place while they are used."""

import pytest
import torch
from torch import Tensor

from rljob_trainer.megatron.host_weights import HostWeights


def test_the_weights_are_copies_while_they_are_used() -> None:
    module = torch.nn.Linear(3, 2)
    given, expected = module.weight.data, module(torch.ones(3))
    weights = HostWeights(module, torch.device("cpu"))
    waiting = module.weight.data_ptr()
    with weights.resident():
        used = module.weight.data_ptr()
        assert torch.equal(module(torch.ones(3)), expected)
    assert given.data_ptr() != waiting  # all three are alive: no two can be at one address
    assert waiting != used
    assert module.weight.data_ptr() == waiting


def test_what_is_written_meanwhile_is_used_next_time() -> None:
    module = torch.nn.Linear(3, 2, bias=False)
    weights = HostWeights(module, torch.device("cpu"))
    module.weight.data.fill_(1.0)
    with weights.resident():
        assert module(torch.ones(3)).tolist() == [3.0, 3.0]


def test_they_leave_after_a_failure() -> None:
    module = torch.nn.Linear(3, 2)
    weights = HostWeights(module, torch.device("cpu"))
    waiting = module.weight.data_ptr()

    def fail() -> Tensor:
        with weights.resident():
            raise ValueError("out of memory")

    with pytest.raises(ValueError, match="out of memory"):
        fail()
    assert module.weight.data_ptr() == waiting
