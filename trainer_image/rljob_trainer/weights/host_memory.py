"""Memory on the host that is used again: pages touched for the first time cost more than a copy."""

import threading
import weakref

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor


class HostMemory:
    """Hands out memory, and takes it back when no tensor looks at it any more.

    Versions of the same weights ask for the same sizes, so from the third version on there is
    nothing to allocate: the one before the last makes room for the next.
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []
        # A tensor may end in any thread, and within this thread's own calls.
        self._lock = threading.RLock()

    def take(self, nbytes: int) -> UInt8[Tensor, " nbytes"]:
        """Memory of so many bytes, with anything in it."""
        with self._lock:
            fitting = [block for block in self._free if block.nbytes >= nbytes]
            if fitting:
                block = min(fitting, key=len)
                self._free = [other for other in self._free if other is not block]
            else:
                # None of what is left is of use for these weights, or there is nothing left.
                self._free = []
                block = np.empty(nbytes, np.uint8)
        # The tensor and all that is cut out of it hold this part, and it lives as long as they do.
        part = block[:nbytes]
        weakref.finalize(part, self._give_back, block).atexit = False
        return torch.from_numpy(part)

    def _give_back(self, block: np.ndarray) -> None:
        with self._lock:
            self._free.append(block)
