"""Runs a role in a process of its own if it is in a pod, so that its output can be kept."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from rljob.buffer.log_stream import LogSender
from rljob.errors import UsageError
from rljob.plan.environment import PREFIX, RoleEnvironment
from rljob.telemetry.child import Child, exit_code
from rljob.telemetry.role import run_role

_INNER = f"{PREFIX}INNER"  # set in the process that does the work


def run_pod_role(name: str, main: Callable[[RoleEnvironment], int | None]) -> NoReturn:
    """Run a role like `run_role`; in a pod, what it prints also gets to the run volume.

    The process that does the work is a child, so that its last words are sent although it has died.

    Args:
        name: name of the role in the logs.
        main: the work of the role.
    """
    sender = _sender(name)
    if sender is None:
        run_role(name, main)
    child = Child(sender.put)
    code = child.run([sys.executable, *sys.orig_argv[1:]], {**os.environ, _INNER: "1"})
    sender.close()
    if child.stop is not None and code == -child.stop:
        sys.exit(0)  # it had not begun, and had nothing to give back
    sys.exit(exit_code(code))


def _sender(name: str) -> LogSender | None:
    """Sends this pod's output; None if this is the inner process, or no pod."""
    try:
        environment = RoleEnvironment.from_env(os.environ)
        if not environment.linger or _INNER in os.environ:
            return None
        key = environment.job().key
    except UsageError:
        return None  # the role itself says why
    return LogSender(
        environment.buffer_url,
        key,
        environment.buffer_password,
        role=name,
        member=environment.member,
    )
