"""Weights in flattened buckets: few large messages instead of many small ones."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor


@dataclass(frozen=True)
class Bucket:
    """Some tensors, one after the other as bytes, and what an engine needs to cut them apart."""

    names: list[str]
    dtypes: list[str]  # as torch names them, without "torch."
    shapes: list[list[int]]
    data: UInt8[Tensor, "bytes"]

    def tensors(self) -> Iterator[Tensor]:
        """The tensors, cut apart in place."""
        begin = 0
        for dtype, shape in zip(self.dtypes, self.shapes, strict=True):
            numbers: torch.dtype = getattr(torch, dtype)
            end = begin + math.prod(shape) * numbers.itemsize
            yield self.data[begin:end].view(numbers).reshape(shape)
            begin = end


def buckets(weights: Iterable[tuple[str, Tensor]], limit: int) -> Iterator[Bucket]:
    """Fills buckets of at most `limit` bytes in the given order; a larger tensor gets its own.

    A bucket holds one number format: the receiver looks at the bytes as numbers in place, which
    must then lie at multiples of their size.
    """
    names: list[str] = []
    tensors: list[Tensor] = []
    size = 0
    for name, tensor in weights:
        nbytes = tensor.numel() * tensor.element_size()
        if tensors and (size + nbytes > limit or tensor.dtype != tensors[0].dtype):
            yield _bucket(names, tensors)
            names, tensors, size = [], [], 0
        names.append(name)
        tensors.append(tensor)
        size += nbytes
    if tensors:
        yield _bucket(names, tensors)


def _bucket(names: list[str], tensors: list[Tensor]) -> Bucket:
    return Bucket(
        names=names,
        dtypes=[str(tensor.dtype).removeprefix("torch.") for tensor in tensors],
        shapes=[list(tensor.shape) for tensor in tensors],
        # On the host: the last version is kept for engines that come late.
        data=torch.cat([t.detach().reshape(-1).view(torch.uint8) for t in tensors]).cpu(),
    )
