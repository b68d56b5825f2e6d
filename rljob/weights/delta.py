"""Lossless, compressed deltas between two versions of an array of numbers.

Each number's bits are treated as an integer. An optimizer step changes it little or, in a short
format, not at all, so a delta stores the distances between changed numbers and their changes. With
the bytes of both regrouped (all first bytes, then all second bytes, ...) most are zeros, which zstd
compresses well.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import msgpack
import numpy as np
import zstandard
from numpy.typing import NDArray

_Numbers: TypeAlias = NDArray[Any]  # unsigned

_BLOCK = 1 << 22  # numbers processed together; bounds memory
_GAP = np.dtype("<u4")
_THREADS = 8  # numpy and zstd release the GIL
# Higher levels are slower and did not compress these deltas better.
_LEVEL = 1


class DeltaError(ValueError):
    """The data is not a delta of these numbers."""


def encode(base: bytes, new: bytes, word: int) -> bytes:
    """Encode the delta from `base` to `new`.

    Args:
        base: the old numbers.
        new: the new numbers, the same count.
        word: bytes per number: 1, 2, 4 or 8.
    """
    old, wanted = _numbers(base, word), _numbers(new, word)
    assert len(old) == len(wanted), "a version has the tensors of the one before"

    def pack(block: slice) -> bytes:
        change = wanted[block] - old[block]
        places = np.flatnonzero(change)
        gaps = np.diff(places, prepend=0).astype(_GAP)
        return zstandard.compress(_planes(gaps) + _planes(_folded(change[places])), _LEVEL)

    with ThreadPoolExecutor(_THREADS) as threads:
        packed: bytes = msgpack.packb(list(threads.map(pack, _blocks(len(old)))))
    return packed


def decode(base: bytes, delta: bytes, word: int) -> bytes:
    """Apply `delta` to `base` and return the new numbers; for the arguments see `encode`.

    Raises:
        DeltaError: the delta can't be applied. A delta for other numbers or a damaged one may also
            silently give wrong numbers: compare their checksum.
    """

    def apply(packed: tuple[slice, bytes]) -> None:
        block, data = packed
        raw = np.frombuffer(zstandard.decompress(data), np.uint8)
        count = len(raw) // (_GAP.itemsize + word)
        middle = count * _GAP.itemsize
        places = np.cumsum(_joined(raw[:middle], count, _GAP), dtype=np.int64)
        numbers[block][places] += _unfolded(_joined(raw[middle:], count, numbers.dtype))

    try:
        numbers = _numbers(base, word).copy()
        blocks = zip(_blocks(len(numbers)), msgpack.unpackb(delta), strict=True)
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(apply, blocks))
    except (ValueError, TypeError, IndexError, MemoryError, zstandard.ZstdError) as error:
        raise DeltaError(str(error)) from error
    return numbers.tobytes()


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))


def _numbers(data: bytes, word: int) -> _Numbers:
    return np.frombuffer(data, np.dtype(f"<u{word}"))


def _folded(change: _Numbers) -> _Numbers:
    """Zigzag encoding: changes 0, 1, -1, 2, ... (modulo the range) as 0, 2, 1, 4, ..."""
    sign = change >> (8 * change.itemsize - 1)
    return (change << 1) ^ -sign


def _unfolded(folded: _Numbers) -> _Numbers:
    return (folded >> 1) ^ -(folded & 1)


def _planes(numbers: _Numbers) -> bytes:
    """The bytes regrouped: all lowest bytes, then all second ones, ..."""
    return numbers.view(np.uint8).reshape(-1, numbers.itemsize).T.tobytes()


def _joined(planes: NDArray[np.uint8], count: int, dtype: np.dtype[Any]) -> _Numbers:
    """The inverse of `_planes`."""
    return np.ascontiguousarray(planes.reshape(dtype.itemsize, count).T).view(dtype).reshape(count)
