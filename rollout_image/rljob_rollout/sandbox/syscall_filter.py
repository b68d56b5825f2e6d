"""The system calls that a program in the sandbox may make, as a seccomp filter.

What is not listed fails with EPERM: sockets, new processes, other processes' limits and priorities,
shared memory, io_uring. A list of what is forbidden would miss what later kernels add.
"""

import ctypes
import os
import platform
import struct

_X86_64, _AARCH64 = 0xC000003E, 0xC00000B7  # AUDIT_ARCH_*
# Name: number on x86-64 and on aarch64, None where it does not exist.
_ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, None),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "poll": (7, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "pipe": (22, None),
    "select": (23, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "dup2": (33, None),
    "pause": (34, None),
    "nanosleep": (35, 101),
    "getitimer": (36, 102),
    "alarm": (37, None),
    "setitimer": (38, 103),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "getcwd": (79, 17),
    "readlink": (89, None),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "getdents64": (217, 61),
    "set_tid_address": (218, 96),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "openat": (257, 56),
    "newfstatat": (262, 79),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "dup3": (292, 24),
    "pipe2": (293, 59),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "statx": (332, 291),
    "rseq": (334, 293),
    "close_range": (436, 436),
    "faccessat2": (439, 439),
}
_IOCTL, _FCNTL = (16, 29), (72, 25)
_CLONE, _CLONE3 = (56, 220), (435, 435)
_KILL, _TGKILL = (62, 129), (234, 131)
_PRLIMIT64, _PRCTL = (302, 261), (157, 167)

# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# Duplicating, and flags; not F_SETOWN, which sends signals to any process of the user.
_FCNTLS = (0, 1, 2, 3, 4, 1030)
_CLONE_THREAD = 0x10000
_RLIMIT_STACK = 3
_PR_SET_NAME, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 15, 22, 38
_SECCOMP_MODE_FILTER = 2

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # classic BPF
_ALLOW, _EPERM, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


def install() -> None:
    """Installs the filter for this process, for ever.

    Raises:
        OSError: the kernel refuses it, or the machine is neither x86-64 nor aarch64.
    """
    program = b"".join(struct.pack("=HBBI", *each) for each in _program())
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header))


def _prctl(option: int, *values: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [*values, *[ctypes.c_ulong(0)] * (4 - len(values))]
    if libc.prctl(option, *arguments) != 0:
        raise OSError(ctypes.get_errno(), f"seccomp: prctl({option})")


def _program() -> list[Instruction]:
    machine = platform.machine()
    if machine not in ("x86_64", "aarch64"):
        raise OSError(f"seccomp: this machine is {machine}")
    column = ("x86_64", "aarch64").index(machine)
    architecture = (_X86_64, _AARCH64)[column]
    found: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        *_unless_equal(architecture, [(_RETURN, 0, 0, _EPERM)]),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for numbers in _ALLOWED.values():
        number = numbers[column]
        if number is not None:
            found += _if_equal(number, [(_RETURN, 0, 0, _ALLOW)])
    here = os.getpid()
    for numbers, allowed in (
        (_IOCTL, _if_argument(1, *_IOCTLS)),
        (_FCNTL, _if_argument(1, *_FCNTLS)),
        # Threads, which share the limits of this process.
        (_CLONE, [_argument(0), (_ANY_BIT, 0, 1, _CLONE_THREAD), (_RETURN, 0, 0, _ALLOW)]),
        (_KILL, _if_argument(0, here)),
        (_TGKILL, _if_argument(0, here)),
        # Reading this process's limits, and changing that of the stack, as recursive programs do.
        (
            _PRLIMIT64,
            [
                _argument(0),
                *_unless_equal(0, [(_RETURN, 0, 0, _EPERM)]),
                *_if_argument(1, _RLIMIT_STACK),
                _argument(2),
                *_unless_equal(0, [(_RETURN, 0, 0, _EPERM)]),
                (_LOAD, 0, 0, _ARGUMENTS + 8 * 2 + 4),
                *_if_equal(0, [(_RETURN, 0, 0, _ALLOW)]),
            ],
        ),
        (_PRCTL, _if_argument(0, _PR_SET_NAME)),
        # Its flags are in memory, where a filter can't look; the C library falls back to clone.
        (_CLONE3, [(_RETURN, 0, 0, _ENOSYS)]),
    ):
        found += _if_equal(numbers[column], [*allowed, (_RETURN, 0, 0, _EPERM)])
    return [*found, (_RETURN, 0, 0, _EPERM)]


def _argument(index: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index)  # the lower half, on a little-endian machine


def _if_argument(index: int, *values: int) -> list[Instruction]:
    """Allows the call if an argument is one of the values."""
    found = [_argument(index)]
    for value in values:
        found += _if_equal(value, [(_RETURN, 0, 0, _ALLOW)])
    return found


def _if_equal(value: int, then: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, 0, len(then), value), *then]


def _unless_equal(value: int, then: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, len(then), 0, value), *then]
