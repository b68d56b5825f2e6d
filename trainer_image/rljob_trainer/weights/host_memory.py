"""Reuses host memory: touching pages for the first time costs more than a copy."""

import threading
import weakref

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor


class HostMemory:
    """Hands out memory, and takes it back when no tensor refers to it any more.

    Versions of the same weights need the same sizes, so from the third version on nothing is
    allocated: the version before the last makes room for the next.
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []
        # A tensor may be freed in any thread, even during this thread's own calls.
        self._lock = threading.RLock()

    def take(self, nbytes: int) -> UInt8[Tensor, " nbytes"]:
        """`nbytes` bytes of uninitialized memory."""
        with self._lock:
            fitting = [block for block in self._free if block.nbytes >= nbytes]
            if fitting:
                block = min(fitting, key=len)
                self._free = [other for other in self._free if other is not block]
            else:
                # No free block is large enough, so none is of use for these weights.
                self._free = []
                block = np.empty(nbytes, np.uint8)
        # The tensor and its views refer to this slice; the block is free once the slice is gone.
        part = block[:nbytes]
        weakref.finalize(part, self._give_back, block).atexit = False
        return torch.from_numpy(part)

    def _give_back(self, block: np.ndarray) -> None:
        with self._lock:
            self._free.append(block)
