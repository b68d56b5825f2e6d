"""What has changed from one version of some numbers to the next: small, and without loss.

A number's bits are taken as an integer. An optimizer step changes it by little, or, in a short
format, not at all: what is kept is how far the next changed number is, and by how much it changed.
Byte by byte (all first bytes, then all second ones, ...) both are mostly zeros, which zstd packs.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import msgpack
import numpy as np
import zstandard
from numpy.typing import NDArray

_Numbers: TypeAlias = NDArray[Any]  # unsigned

_BLOCK = 1 << 22  # numbers that are looked at together; bounds memory
_GAP = np.dtype("<u4")
_THREADS = 8  # numpy and zstd let go of the GIL
# Higher ones take longer and were not seen to pack these better.
_LEVEL = 1


class DeltaError(ValueError):
    """What should be a delta of these numbers is none."""


def encode(base: bytes, new: bytes, word: int) -> bytes:
    """The way from `base` to `new`.

    Args:
        base: the numbers before.
        new: as many numbers.
        word: bytes of a number: 1, 2, 4 or 8.
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
    """The numbers to which `delta` leads from `base`; arguments as of `encode`.

    Raises:
        DeltaError: it leads nowhere. One that was made for other numbers, or was damaged, may also
            lead to wrong ones: compare their checksum.
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
    """Small steps up and down (0, 1, -1, 2, ... modulo the range) as small numbers 0, 2, 1, 4."""
    sign = change >> (8 * change.itemsize - 1)
    return (change << 1) ^ -sign


def _unfolded(folded: _Numbers) -> _Numbers:
    return (folded >> 1) ^ -(folded & 1)


def _planes(numbers: _Numbers) -> bytes:
    """All lowest bytes, then all second ones, ..."""
    return numbers.view(np.uint8).reshape(-1, numbers.itemsize).T.tobytes()


def _joined(planes: NDArray[np.uint8], count: int, dtype: np.dtype[Any]) -> _Numbers:
    """The numbers of which `_planes` made these."""
    return np.ascontiguousarray(planes.reshape(dtype.itemsize, count).T).view(dtype).reshape(count)
