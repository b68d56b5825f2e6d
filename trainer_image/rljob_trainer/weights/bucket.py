"""Weights in flattened buckets: few large messages instead of many small ones."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from rljob_trainer.weights.host_memory import HostMemory

# Nothing is sent before the first bucket is gathered: it is small, and each that follows twice as
# large, up to the limit.
_FIRST_BYTES = 16 * 2**20


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


def buckets(
    weights: Iterable[tuple[str, Tensor]], limit: int, memory: HostMemory
) -> Iterator[Bucket]:
    """Fills buckets of at most `limit` bytes in the given order; a larger tensor gets its own.

    A bucket holds one number format: the receiver looks at the bytes as numbers in place, which
    must then lie at multiples of their size.

    Args:
        weights: names and tensors.
        limit: bytes of a bucket.
        memory: where buckets lie, on the host: the last version is kept for engines that come late.
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
