"""Flattened buckets contain every byte once, in order, within their size limit."""

import torch

from rljob_trainer.weights.bucket import Bucket, buckets
from rljob_trainer.weights.host_memory import HostMemory


def unpacked(bucket: Bucket) -> list[tuple[str, torch.Tensor]]:
    tensors = []
    start = 0
    for name, dtype, shape in zip(bucket.names, bucket.dtypes, bucket.shapes, strict=True):
        kind = getattr(torch, dtype)
        size = torch.Size(shape).numel() * kind.itemsize
        tensors.append((name, bucket.data[start : start + size].view(kind).reshape(shape)))
        start += size
    assert start == len(bucket.data)
    return tensors


def test_weights_come_out_as_they_went_in() -> None:
    torch.manual_seed(0)
    weights = [
        ("a", torch.randn(3, 5)),
        ("b", torch.randn(7).bfloat16()),
        ("c", torch.randn(4, 4).t()),  # not contiguous
        ("d", torch.randn(1, dtype=torch.float64)),
    ]
    memory = HostMemory()
    for limit in (1, 64, 100, 10_000):
        assert all(len(set(bucket.dtypes)) == 1 for bucket in buckets(weights, limit, memory))
        out = [pair for bucket in buckets(weights, limit, memory) for pair in unpacked(bucket)]
        assert [name for name, _ in out] == ["a", "b", "c", "d"]
        assert all(torch.equal(x, y) for (_, x), (_, y) in zip(weights, out, strict=True))


def test_a_bucket_is_within_its_size_unless_one_tensor_is_larger() -> None:
    weights = [(str(n), torch.zeros(n)) for n in (10, 10, 10, 100, 10)]
    sizes = [len(bucket.data) for bucket in buckets(weights, 80, HostMemory())]
    assert sizes == [80, 40, 400, 40]


def test_the_first_buckets_are_small_and_grow_up_to_the_limit() -> None:
    weights = [(str(n), torch.zeros(2**20)) for n in range(40)]  # 4 MiB each
    sizes = [len(bucket.data) // 2**20 for bucket in buckets(weights, 60 * 2**20, HostMemory())]
    assert sizes == [16, 32, 60, 52]
