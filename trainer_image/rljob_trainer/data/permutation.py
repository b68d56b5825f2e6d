"""A permutation with random access that needs no table in memory."""

from hashlib import blake2b
from math import isqrt

_ROUNDS = 8


class Permutation:
    """A bijection on [0, size), determined by its key alone.

    A Feistel network on pairs of digits, with cycle walking where size is not their product (Black
    and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002, sections 3 and 4). Rounds are
    keyed BLAKE2b.
    """

    def __init__(self, size: int, *key: int) -> None:
        """`size` is at least 1; a different key gives a different permutation."""
        self._size = size
        # A number below size is left * self._right + right. Both factors are about the square root
        # of size, so their product is little above it, and walks are short.
        self._left = isqrt(size - 1) + 1
        self._right = -(-size // self._left)
        self._keys = [
            blake2b(f"{key} {n}".encode(), digest_size=32).digest() for n in range(_ROUNDS)
        ]

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, position: int) -> int:
        """The value at `position`, from 0.

        Raises:
            IndexError: there is no such position.
        """
        if not 0 <= position < self._size:
            raise IndexError(position)
        value = self._encrypt(position)
        while value >= self._size:
            value = self._encrypt(value)
        return value

    def _encrypt(self, value: int) -> int:
        left, right = divmod(value, self._right)
        for n in range(0, _ROUNDS, 2):
            left = (left + self._hash(n, right)) % self._left
            right = (right + self._hash(n + 1, left)) % self._right
        return left * self._right + right

    def _hash(self, n: int, value: int) -> int:
        digest = blake2b(value.to_bytes(8, "little"), key=self._keys[n], digest_size=8).digest()
        return int.from_bytes(digest, "little")
