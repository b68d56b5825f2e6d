"""Weights of a frozen model that wait in host memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module


class HostWeights:
    """A module's weights in host memory, which are on its device only while they are used.

    While they are not, the module's parameters are the tensors in host memory: they can be saved,
    loaded and overwritten as if nothing had changed.
    """

    def __init__(self, module: Module, device: torch.device) -> None:
        """Moves the weights to the host.

        Args:
            module: whose weights are not trained.
            device: where it computes.
        """
        self._device = device
        self._weights = [(each, _on_host(each.data, device)) for each in module.parameters()]
        self._leave()

    @contextmanager
    def resident(self) -> Iterator[None]:
        """The module can compute inside of this context."""
        try:
            for parameter, weight in self._weights:
                parameter.data = weight.to(self._device, non_blocking=True, copy=True)
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        for parameter, weight in self._weights:
            parameter.data = weight


def _on_host(weight: Tensor, device: torch.device) -> Tensor:
    """A copy from which the device can read without the CPU's help."""
    host = torch.empty(
        weight.shape, dtype=weight.dtype, pin_memory=device.type == "cuda", device="cpu"
    )
    return host.copy_(weight)
