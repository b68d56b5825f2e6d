"""A mark for tests of the sandbox, which needs Linux 5.13 with Landlock switched on."""

import ctypes
import sys

import pytest

_CREATE_RULESET, _VERSION = 444, 1


def _is_there() -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    return int(libc.syscall(ctypes.c_long(_CREATE_RULESET), None, 0, _VERSION)) >= 1


HAS_LANDLOCK = _is_there()
needs_landlock = pytest.mark.skipif(not HAS_LANDLOCK, reason="this kernel has no Landlock")
