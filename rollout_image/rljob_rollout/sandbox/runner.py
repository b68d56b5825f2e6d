"""Runs programs in the sandbox, as the process that waits for them sees it."""

import json
import os
import resource
import secrets
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rljob_rollout.sandbox.program import CONFINED

_ROOT = Path(__file__).parents[2]
_MEMORY = 2 << 30  # bytes, where the waiting process has no limit
_THREADS = 64
_REPORT = 1024  # bytes
_LOOK_SECONDS = 0.05  # between two looks at the number of threads


class SandboxError(Exception):
    """The sandbox can't be made on this machine."""


@dataclass(frozen=True)
class Outcome:
    """What a program did.

    Args:
        output: what it wrote to its standard output, cut at the limit.
        is_complete: it ended by itself with exit code 0 and within all limits.
        is_tested: the statements ran to their end.
        is_too_long: it was stopped at its time limit.
    """

    output: bytes
    is_complete: bool
    is_tested: bool
    is_too_long: bool


def run(
    program: str, *, stdin: str = "", statements: str = "", seconds: float, output: int
) -> Outcome:
    """Runs a Python program, then statements in its namespace.

    Args:
        program: the program's text.
        stdin: its standard input.
        statements: the test. A program that looks for it can find it, and claim to have passed.
        seconds: of wall time.
        output: bytes of its standard output after which it is stopped.

    Raises:
        SandboxError: this machine has not what the sandbox needs.
    """
    text, word = program.encode("utf-8", "replace"), secrets.token_hex(16)
    test = json.dumps({"statements": statements, "word": word}).encode()
    source, given = _file(text + test), _file(stdin.encode("utf-8", "replace"))
    report, reported = os.pipe()
    with ExitStack() as files:
        for descriptor in (source, given, report):
            files.callback(os.close, descriptor)
        # Closed here once the process has it, so that reading the report ends with the process.
        with os.fdopen(reported, "wb", buffering=0):
            process = subprocess.Popen(
                [
                    *(sys.executable, "-s", "-P", "-B", "-m", "rljob_rollout.sandbox.program"),
                    json.dumps(
                        {
                            "parent": os.getpid(),
                            "source": source,
                            "size": len(text),
                            "report": reported,
                            "seconds": int(seconds) + 1,
                            "memory": _memory(),
                        }
                    ),
                ],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(source, reported),
                cwd="/",
                # Nothing of this process's environment, which has the job's secrets.
                env={
                    "LANG": "C.UTF-8",
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                    "PYTHONHASHSEED": "0",
                    "PYTHONPATH": str(_ROOT),
                },
                start_new_session=True,
            )
        try:
            written, is_too_long = _watch(process, report, seconds, output)
        finally:
            # Not yet waited for, so the number can't be another's.
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        said = os.read(report, _REPORT)
    first, _, last = said.partition(b"\n")
    if first != CONFINED.strip():
        reason = first.decode(errors="replace")
        raise SandboxError(reason or f"the process ended with {code} before it was confined")
    is_complete = code == 0 and len(written) <= output
    return Outcome(written[:output], is_complete, last == word.encode(), is_too_long)


def _watch(
    process: subprocess.Popen[bytes], report: int, seconds: float, output: int
) -> tuple[bytes, bool]:
    """What a process writes until it ends or breaks a limit; and whether that is the time's."""
    assert process.stdout is not None
    stdout, ended = process.stdout.fileno(), os.pidfd_open(process.pid)
    try:
        select.select([report, ended], [], [])  # the start does not count
        deadline = time.monotonic() + seconds
        written, waiting = b"", [stdout, ended]
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(waiting, [], [], min(left, _LOOK_SECONDS))
            if stdout in ready:
                chunk = os.read(stdout, 1 << 16)
                written += chunk
                if not chunk:
                    waiting.remove(stdout)
            elif ended in ready:
                return written, False
            if len(written) > output or _threads(process.pid) > _THREADS:
                return written, False
        return written, True
    finally:
        process.stdout.close()
        os.close(ended)


def _threads(pid: int) -> int:
    # No limit holds for a user's threads in one process: RLIMIT_NPROC counts those of all.
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[17])


def _memory() -> int:
    """The limit of the waiting process, which is the job's for judging."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return _MEMORY if limit == resource.RLIM_INFINITY else limit


def _file(content: bytes) -> int:
    """A file in memory, to be read from its beginning."""
    descriptor = os.memfd_create("sandbox")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
