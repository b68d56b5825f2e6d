"""The process in the sandbox: locks itself in, then runs the program."""

import ctypes
import json
import os
import resource
import signal
import sys

CONFINED = b"confined\n"
_PR_SET_PDEATHSIG = 1


def main(*, parent: int, source: int, size: int, report: int, seconds: int, memory: int) -> None:
    """Runs a program, and then statements in its namespace.

    Args:
        parent: the process that waits; this one ends with it.
        source: a file with the program; what follows is read when the program has ended:
            {"statements": ..., "word": ...}.
        size: bytes of the program.
        report: where to write CONFINED, and the word when the statements have run.
        seconds: of processor time.
        memory: bytes of address space.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)
    text = os.read(source, size)
    try:
        _confine(seconds, memory)
    except OSError as error:
        os.write(report, f"{error.strerror or error}\n".encode())
        os._exit(1)
    os.write(report, CONFINED)
    namespace = {"__name__": "__main__"}
    exec(compile(text, "program.py", "exec"), namespace)  # noqa: S102 - this process is for that
    rest = json.loads(os.read(source, os.fstat(source).st_size - size))
    if rest["statements"]:
        exec(compile(rest["statements"], "test.py", "exec"), namespace)  # noqa: S102 - as above
        os.write(report, rest["word"].encode())


def _confine(seconds: int, memory: int) -> None:
    from rljob_rollout.sandbox import file_access, syscall_filter

    for limit, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    # Without it a write beyond the limit of a file's size would end the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    file_access.restrict()
    syscall_filter.install()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
