"""The sandbox against hostile programs; real processes and a real kernel.

Each program is bounded by itself too: a hole in the sandbox fails the test and nothing else.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rljob_rollout.sandbox import runner
from rljob_rollout.sandbox.runner import SandboxError, run
from tests.support.landlock import needs_landlock
from tests.support.waiting import wait_for

pytestmark = needs_landlock

SECONDS = 20.0  # that no program here needs, unless it is to be stopped
OUTPUT = 1 << 16


def output(program, **changes):
    """What a program writes, which must end well."""
    outcome = run(program, **{"seconds": SECONDS, "output": OUTPUT, **changes})
    assert outcome.is_complete
    return outcome.output.decode()


def refused(statement, prelude=""):
    """The error of a statement in the sandbox, or "done"."""
    lines = "".join(f"    {line}\n" for line in statement.split("\n"))
    return output(
        f"import os\n{prelude}\ntry:\n{lines}    print('done')\n"
        "except (OSError, MemoryError, ValueError) as e:\n    print(type(e).__name__)"
    ).strip()


@pytest.fixture
def children():
    """Processes that this one has after the test, and had not before."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: [
        each for each in psutil.Process().children(recursive=True) if each not in before
    ]


def test_a_program_reads_and_writes():
    assert output("a, b = map(int, input().split())\nprint(a * b)", stdin="6 7\n") == "42\n"


def test_what_programs_use_works():
    """Modules of the standard library, numpy, threads with a deep stack."""
    assert (
        output(
            "import bisect, collections, dataclasses, decimal, heapq, itertools, json, random, re\n"
            "import sys, threading, time, numpy, resource\n"
            "resource.setrlimit(resource.RLIMIT_STACK, (64 << 20, -1))\n"
            "sys.setrecursionlimit(20_000)\n"
            "threading.stack_size(64 << 20)\n"
            "depth = lambda n: 0 if n == 0 else 1 + depth(n - 1)\n"
            "t = threading.Thread(target=lambda: print(depth(15_000)))\n"
            "t.start()\nt.join()\ntime.sleep(0.01)\nprint(numpy.arange(4).sum())"
        )
        == "15000\n6\n"
    )


def test_statements_run_in_the_programs_namespace():
    outcome = run(
        "def f(x):\n    return x + 1", statements="assert f(1) == 2", seconds=SECONDS, output=0
    )
    assert outcome.is_tested


@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    return x",
        "raise SystemExit(0)",
        "import os\nos._exit(0)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "syntax error",
        "1 / 0",
        "",
    ],
)
def test_a_program_that_ends_before_its_test_does_not_pass(program):
    statements = "assert f(1) == 2"
    assert not run(program, statements=statements, seconds=SECONDS, output=0).is_tested


@pytest.mark.parametrize(
    "statement",
    [
        "if os.fork() == 0: os._exit(0)",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "import subprocess; subprocess.run(['true'])",
        "import multiprocessing; p = multiprocessing.Process(target=print); p.start()",
    ],
)
def test_no_new_processes(statement):
    assert refused(statement) == "PermissionError"


def test_a_fork_bomb(children):
    """Fifty forks, whose children would end at once."""
    bomb = (
        "import os\nmade = 0\n"
        "for _ in range(50):\n"
        "    try:\n"
        "        if os.fork() == 0:\n            os._exit(0)\n"
        "        made += 1\n"
        "    except PermissionError:\n        pass\n"
        "print(made)"
    )
    assert output(bomb) == "0\n"
    assert children() == []


def test_too_many_threads_stop_the_program():
    bomb = (
        "import threading, time\n"
        "for _ in range(400):\n"
        "    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n"
        "time.sleep(5)\nprint('done')"
    )
    outcome = run(bomb, seconds=SECONDS, output=OUTPUT)
    assert (outcome.output, outcome.is_complete, outcome.is_too_long) == (b"", False, False)


@pytest.mark.parametrize(
    "family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"]
)
def test_no_sockets(family):
    assert refused(f"socket.socket(socket.{family})", "import socket") == "PermissionError"


def test_no_connection_to_a_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"socket.create_connection(('127.0.0.1', {port}), timeout=1)"
        assert refused(connect, "import socket") == "PermissionError"


def test_the_environment_has_no_secrets(monkeypatch):
    monkeypatch.setenv("RLJOB_BUFFER_PASSWORD", "hunter2")
    assert "hunter2" not in output("import os\nprint(dict(os.environ))")


@pytest.mark.parametrize("file", ["environ", "cmdline", "maps", "mem", "fd", "cwd", "root"])
def test_nothing_is_read_of_the_process_outside(file):
    look = "os.listdir" if file in ("fd", "cwd", "root") else "open"
    assert refused(f"{look}(f'/proc/{{os.getppid()}}/{file}')") == "PermissionError"


def test_only_the_files_of_python_are_read(tmp_path):
    (tmp_path / "secret").write_text("hunter2")
    for path in (tmp_path / "secret", "/etc/passwd", "/proc/self/environ"):
        assert refused(f"open({str(path)!r})") == "PermissionError"
    for path in (tmp_path, "/", "/tmp", "/var/run/secrets"):
        assert refused(f"os.listdir({str(path)!r})") in ("PermissionError", "FileNotFoundError")


def test_nothing_is_written(tmp_path):
    """No huge file, and not many small ones either."""
    for path in (tmp_path / "new", "new", "/tmp/new", "/dev/shm/new"):
        assert refused(f"open({str(path)!r}, 'w')") == "PermissionError"
    (tmp_path / "old").write_text("text")
    assert refused(f"open({str(tmp_path / 'old')!r}, 'a')") == "PermissionError"
    for call in ("unlink", "chmod", "truncate", "mkdir", "rename", "symlink", "link", "utime"):
        argument = {"chmod": ", 0", "truncate": ", 0", "mkdir": ""}.get(call, "")
        argument = ", 'x'" if call in ("rename", "symlink", "link") else argument
        assert refused(f"os.{call}({str(tmp_path / 'old')!r}{argument})") == "PermissionError"
    assert (tmp_path / "old").read_text() == "text"
    # Nor into files that are open: its own source, which is in memory.
    for number in range(3, 8):
        assert refused(f"os.lseek({number}, 1 << 20, 0)\nos.write({number}, b'x')") == "OSError"


def test_files_in_memory_are_refused():
    assert refused("os.memfd_create('x')") == "PermissionError"


def test_open_files_are_limited():
    assert refused("files = [os.dup(1) for _ in range(200)]") == "OSError"


def test_memory_is_limited():
    """100 GB; checked before whether the limit is set, for the machine's sake."""
    limit = output("import resource\nprint(resource.getrlimit(resource.RLIMIT_AS)[1])")
    assert int(limit) <= 4 << 30
    assert refused("[0] * (100 << 30 >> 3)") == "MemoryError"
    assert refused("import mmap; mmap.mmap(-1, 100 << 30)") == "OSError"


def test_the_limits_can_not_be_raised():
    for name in ("AS", "CPU", "FSIZE", "NOFILE"):
        statement = f"resource.setrlimit(resource.RLIMIT_{name}, (1 << 40, 1 << 40))"
        assert refused(statement, "import resource") in ("ValueError", "PermissionError")
    outside = "resource.prlimit(os.getppid(), resource.RLIMIT_STACK, (1 << 20, 1 << 20))"
    assert refused(outside, "import resource") == "PermissionError"


@pytest.mark.parametrize(
    "statement",
    [
        "os.kill(os.getppid(), 0)",
        "os.killpg(0, 0)",
        "import signal; signal.pidfd_send_signal(0, 0)",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 5)",
        "os.sched_setaffinity(os.getppid(), {0})",
        # A signal to any process when the pipe is read.
        "import fcntl; fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid())",
        "os.setsid()",
        "os.setuid(0)",
        "os.unshare(0)" if sys.version_info >= (3, 12) else "os.chroot('/')",
    ],
)
def test_other_processes_are_out_of_reach(statement):
    assert refused(statement) == "PermissionError"


def test_endless_output_is_cut(children):
    outcome = run("while True:\n    print('x' * 1000)", seconds=SECONDS, output=100_000)
    assert len(outcome.output) == 100_000
    assert not outcome.is_complete
    assert children() == []


@pytest.mark.parametrize(
    "program",
    [
        "import time\ntime.sleep(60)",
        "while True:\n    pass",
        "import signal, time\n"
        "for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):\n"
        "    signal.signal(s, signal.SIG_IGN)\n"
        "time.sleep(60)",
        "import os, time\nos.close(1)\ntime.sleep(60)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "9 ** 9 ** 9",  # one operation in C, which no signal handler of Python interrupts
        "input()\ninput()\nimport threading\nthreading.Event().wait()",
    ],
)
def test_a_program_without_end_is_stopped(program, children):
    outcome = run(program, stdin="a\nb\n", seconds=0.5, output=OUTPUT)
    assert outcome.is_too_long
    assert not outcome.is_complete
    assert children() == []


def test_the_program_ends_with_the_process_that_waits():
    """Also if it tries to outlive it."""
    program = (
        "import ctypes, threading, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\n"
        "threading.Thread(target=time.sleep, args=(30,)).start()\ntime.sleep(30)"
    )
    waits = f"from rljob_rollout.sandbox.runner import run\nrun({program!r}, seconds=30, output=9)"
    with subprocess.Popen([sys.executable, "-c", waits]) as waiting:
        children = psutil.Process(waiting.pid).children
        wait_for(lambda: [p for p in children() if p.num_threads() == 2] != [], "two threads")
        (inside,) = children()
        waiting.kill()
    gone, _ = psutil.wait_procs([inside], timeout=SECONDS)
    assert gone == [inside]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="other users need a Python")
def test_a_user_without_rights_can_run_programs():
    """As in a pod with the restricted profile: an arbitrary user, no capability, no new ones.

    The container runtimes' default seccomp profile is not applied here. It permits all calls that
    the sandbox needs (moby, profiles/seccomp/default.json: landlock_*, prctl, pidfd_open).
    """
    program = (
        "from rljob_rollout.sandbox.runner import run\n"
        "print(run('print(6 * 7)', seconds=20, output=9))"
    )
    command = [
        *("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"),
        *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
        *("/usr/bin/python3", "-c", program),
    ]
    environment = {"PYTHONPATH": str(Path(runner.__file__).parents[2])}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "output=b'42\\n', is_complete=True" in found.stdout, found.stderr


@pytest.mark.parametrize(("number", "what"), [(444, "Landlock"), (157, "seccomp")])
def test_without_what_it_needs_the_sandbox_is_refused(number, what):
    """A filter in front takes the system call away, as an old kernel or a profile would."""
    program = (
        "from rljob_rollout.sandbox import syscall_filter as f\n"
        "from rljob_rollout.sandbox.runner import run\n"
        "enosys, allow = (6, 0, 0, 0x50026), (6, 0, 0, 0x7FFF0000)\n"
        # Of prctl only PR_SET_SECCOMP.
        f"found = f._if_equal({number}, [f._argument(0), *f._if_equal(22, [enosys])])\n"
        f"found = f._if_equal(444, [enosys]) if {number} == 444 else found\n"
        "f._program = lambda: [(0x20, 0, 0, 0), *found, allow]\n"
        "f.install()\n"
        "try:\n    run('print(1)', seconds=20, output=9)\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    found = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert found.startswith(f"SandboxError {what}: "), found


def test_a_process_that_can_not_start_is_no_verdict_on_the_program(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxError, match=r"^the process ended with 1 before it was confined$"):
        run("print(1)", seconds=SECONDS, output=OUTPUT)


def test_no_file_stays_open():
    before = psutil.Process().num_fds()
    run("print(1)", seconds=SECONDS, output=OUTPUT)
    assert psutil.Process().num_fds() == before
