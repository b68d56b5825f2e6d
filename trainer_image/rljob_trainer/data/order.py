"""The order in which an epoch goes through the lines."""

from dataclasses import dataclass

from rljob_trainer.data.permutation import Permutation


@dataclass(frozen=True)
class Place:
    """One line, and the block of consecutive lines that it is drawn from.

    A block may begin at the end of the lines and go on at their beginning.
    """

    line: int
    block: int  # its first line
    lines: int  # its length


class Order:
    """Blocks of consecutive lines in a permuted order, the lines of a block permuted, too.

    With one block of all lines it is a permutation of them. Where the first block begins is another
    place in each epoch: neither are the blocks always of the same lines, nor is the short one,
    which comes last, always of the same.
    """

    def __init__(self, lines: int, block: int | None, seed: int, epoch: int) -> None:
        """`block` is the lines of a block; None: all."""
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
