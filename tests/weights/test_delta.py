"""A delta leads from one version to the next without loss, and is small if little changes."""

from typing import Any

import hypothesis.strategies as st
import msgpack
import numpy as np
import pytest
import torch
import zstandard
from hypothesis import given, settings

from rljob.weights import delta
from rljob.weights.delta import DeltaError, decode, encode

WORDS = [1, 2, 4, 8]


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(WORDS), st.sampled_from([1, 3, 7, 1 << 22]))
def test_any_change_of_any_numbers(data: st.DataObject, word: int, block: int) -> None:
    numbers = st.integers(0, 2 ** (8 * word) - 1)
    base = data.draw(st.lists(numbers, max_size=20))
    new = [data.draw(st.one_of(st.just(n), numbers)) for n in base]
    before, after = (np.array(values, f"<u{word}").tobytes() for values in (base, new))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta, "_BLOCK", block)
        assert decode(before, encode(before, after, word), word) == after


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changed", [0.0, 1e-4, 0.02, 1.0])
def test_weights(dtype: torch.dtype, changed: float) -> None:
    torch.manual_seed(0)
    before = (torch.randn(100_003) * 0.02).to(dtype)
    step = 1e-3 * torch.randn(100_003) * (torch.rand(100_003) < changed)
    after = (before.float() + step).to(dtype)
    after[:3] = torch.tensor([float("nan"), float("-inf"), -0.0])
    packed = encode(raw(before), raw(after), dtype.itemsize)
    assert decode(raw(before), packed, dtype.itemsize) == raw(after)
    assert len(packed) < len(raw(after)) * (0.001 + min(0.8, 6 * changed))


def test_steps_are_small_numbers_whatever_their_sign() -> None:
    """By hand: numbers 3 and 260 of 300 change, by 1 and by -2; gaps 3 and 257."""
    before = np.full(300, 7, "<u4")
    after = before.copy()
    after[3], after[260] = 8, 5
    (block,) = msgpack.unpackb(encode(before.tobytes(), after.tobytes(), 4))
    gaps = bytes([3, 1, 0, 1, 0, 0, 0, 0])
    steps = bytes([2, 3, 0, 0, 0, 0, 0, 0])
    assert zstandard.decompress(block) == gaps + steps


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\xc1",
        msgpack.packb(7),
        msgpack.packb([]),
        msgpack.packb([b"no frame"]),
        msgpack.packb([7]),
        msgpack.packb([zstandard.compress(b"123")]),
        msgpack.packb([zstandard.compress(np.array([5, 1], "<u4").tobytes())]),
        encode(bytes(8), bytes(8), 4)[:-1],
    ],
)
def test_what_is_no_delta_is_refused(packed: Any) -> None:
    with pytest.raises(DeltaError):
        decode(bytes(16), packed, 4)


def test_a_delta_of_more_numbers_is_refused() -> None:
    many = encode(bytes(4 << 23), bytes(4 << 23), 4)
    with pytest.raises(DeltaError):
        decode(bytes(16), many, 4)
