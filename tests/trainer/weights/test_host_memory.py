"""Memory is reused when nothing refers to it any more, and not before."""

import gc

import torch

from rljob_trainer.weights.bucket import buckets
from rljob_trainer.weights.host_memory import HostMemory

MEBIBYTE = 2**20


def test_memory_that_nothing_looks_at_is_used_again() -> None:
    memory = HostMemory()
    taken = memory.take(MEBIBYTE)
    address = taken.data_ptr()
    del taken
    gc.collect()
    assert memory.take(MEBIBYTE).data_ptr() == address


def test_a_view_keeps_the_memory() -> None:
    memory = HostMemory()
    taken = memory.take(MEBIBYTE)
    view = taken[8:16].view(torch.float32)
    view.fill_(3.0)
    del taken
    gc.collect()
    other = memory.take(MEBIBYTE)
    other.zero_()
    assert view.tolist() == [3.0, 3.0]


def test_of_what_is_free_the_smallest_that_fits_is_taken() -> None:
    memory = HostMemory()
    small, large = memory.take(10), memory.take(100)
    addresses = small.data_ptr(), large.data_ptr()
    del small, large
    gc.collect()
    again = memory.take(9), memory.take(50)
    assert tuple(part.data_ptr() for part in again) == addresses
    assert [len(part) for part in again] == [9, 50]


def test_every_other_version_lies_where_the_one_before_it_lay() -> None:
    memory = HostMemory()
    weights = [("a", torch.zeros(1000)), ("b", torch.zeros(500).bfloat16())]
    kept = list(buckets(weights, 8000, memory))
    places = []
    for _ in range(4):
        kept = list(buckets(weights, 8000, memory))
        places.append([bucket.data.data_ptr() for bucket in kept])
    assert places[0] == places[2]
    assert places[1] == places[3]
    assert places[0] != places[1]
