"""Packs weights into buckets: few large messages instead of many small ones."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from rljob_trainer.weights.host_memory import HostMemory

# Sending starts when the first bucket is gathered, so that one is small, and each following one is
# twice as large, up to the limit.
_FIRST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Bucket:
    """Some tensors, concatenated as bytes, and what an engine needs to split them."""

    names: list[str]
    dtypes: list[str]  # as torch names them, without "torch."
    shapes: list[list[int]]
    data: UInt8[Tensor, "bytes"]

    def tensors(self) -> Iterator[Tensor]:
        """The tensors, as views of the data."""
        begin = 0
        for dtype, shape in zip(self.dtypes, self.shapes, strict=True):
            numbers: torch.dtype = getattr(torch, dtype)
            end = begin + math.prod(shape) * numbers.itemsize
            yield self.data[begin:end].view(numbers).reshape(shape)
            begin = end


def buckets(
    weights: Iterable[tuple[str, Tensor]], limit: int, memory: HostMemory
) -> Iterator[Bucket]:
    """Packs tensors into buckets of at most `limit` bytes, in order; a larger one gets its own.

    A bucket holds a single dtype: the receiver reads the bytes as numbers in place, so each must be
    aligned to its size.

    Args:
        weights: names and tensors.
        limit: bytes of a bucket.
        memory: host memory for the buckets: the last version is kept for engines that join late.
    """
    parts: list[tuple[str, Tensor]] = []
    size, largest = 0, min(limit, _FIRST_BYTES)
    for name, tensor in weights:
        if parts and (size + tensor.nbytes > largest or tensor.dtype != parts[0][1].dtype):
            yield _bucket(parts, memory.take(size))
            parts, size, largest = [], 0, min(limit, 2 * largest)
        parts.append((name, tensor.detach()))
        size += tensor.nbytes
    if parts:
        yield _bucket(parts, memory.take(size))


def _bucket(parts: list[tuple[str, Tensor]], data: UInt8[Tensor, "bytes"]) -> Bucket:
    bucket = Bucket(
        names=[name for name, _ in parts],
        dtypes=[str(tensor.dtype).removeprefix("torch.") for _, tensor in parts],
        shapes=[list(tensor.shape) for _, tensor in parts],
        data=data,
    )
    for place, (_, tensor) in zip(bucket.tensors(), parts, strict=True):
        place.copy_(tensor)
    return bucket
