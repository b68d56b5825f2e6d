"""The order in which an epoch goes through the lines."""

from dataclasses import dataclass

from rljob_trainer.data.permutation import Permutation


@dataclass(frozen=True)
class Place:
    """One line, and the block of consecutive lines that it is drawn from.

    A block may wrap around from the end of the lines to the beginning.
    """

    line: int
    block: int  # its first line
    lines: int  # its length


class Order:
    """Blocks of consecutive lines in a permuted order, with the lines of each block permuted, too.

    A single block of all lines gives a permutation of them. The first block begins at a different
    place in each epoch, so blocks do not always contain the same lines, and neither does the short
    one, which comes last.
    """

    def __init__(self, lines: int, block: int | None, seed: int, epoch: int) -> None:
        """`block` is the number of lines in a block; None: all."""
        self._lines = lines
        self._size = min(block or lines, lines)
        self._key = (seed, epoch)
        self._start = Permutation(lines, *self._key, 0)[0]
        self._blocks = Permutation(lines // self._size, *self._key, 1)
        self._block = -1
        self._inside = self._blocks

    def place(self, position: int) -> Place:
        """The line at `position` of the epoch, from 0."""
        block, inner = divmod(position, self._size)
        if block != self._block:
            rest = self._lines - block * self._size
            self._inside = Permutation(min(self._size, rest), *self._key, 2, block)
            self._block = block
        which = self._blocks[block] if block < len(self._blocks) else block
        first = self._start + which * self._size
        line = (first + self._inside[inner]) % self._lines
        return Place(line, first % self._lines, len(self._inside))
