"""The files that a program in the sandbox may open, as Landlock rules.

Landlock also keeps it from what ptrace guards in processes outside: their memory, and their
environment and open files under /proc, even if they belong to the same user.
"""

import ctypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all machines
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_VERSION_1 = (1 << 13) - 1  # all rights of the first version: also making, renaming, removing
_PATH_BENEATH = 1
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")


def restrict() -> None:
    """Leaves this process the files of Python and its packages, to read, and /dev/null.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    ruleset = _call(_CREATE_RULESET, struct.pack("=Q", _VERSION_1), 8, 0)
    _add(ruleset, ("/dev/null",), _READ_FILE | _WRITE_FILE)
    _add(ruleset, ("/dev/urandom", "/etc/ld.so.cache"), _READ_FILE)
    python = (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())
    # A Python in / would open everything.
    _add(ruleset, {path for path in (*_LIBRARIES, *python) if path != "/"}, _READ)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _add(ruleset: int, paths: Iterable[str], access: int) -> None:
    for path in paths:
        if not Path(path).exists():
            continue
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, descriptor), 0)
        os.close(descriptor)


def _call(number: int, *arguments: int | bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    # no_new_privs, which Landlock asks for, only after the rules are complete.
    if number == _RESTRICT_SELF and libc.prctl(38, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "Landlock: prctl(no_new_privs)")
    values = [each if isinstance(each, bytes) else ctypes.c_long(each) for each in arguments]
    found: int = libc.syscall(ctypes.c_long(number), *values)
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return found
