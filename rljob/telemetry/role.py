"""Main function of every role's process: logs, environment, exit code, reason of a failure."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import structlog

from rljob.errors import EXIT_USAGE, UsageError
from rljob.plan.environment import PREFIX, RoleEnvironment, variable
from rljob.telemetry import lifeline, log

_LONGEST_REASON = 4096  # bytes that Kubernetes keeps of a termination message


def run_role(name: str, main: Callable[[RoleEnvironment], int | None]) -> NoReturn:
    """Run a role to its end and exit the process.

    The exit code is what `main` returns (None: 0), `EXIT_USAGE` for a `UsageError`, 1 for any
    other exception. The reason of a failure is written to the termination file.

    Args:
        name: name of the role in the logs.
        main: the work of the role.
    """
    # One stream keeps events, tracebacks and the output of libraries in order.
    sys.stdout.flush()
    os.dup2(1, 2)
    log.configure(name, _replica())
    try:
        environment = RoleEnvironment.from_env(os.environ)
        if environment.supervisor is not None:
            lifeline.follow(environment.supervisor)
            lifeline.hold(Path(environment.run_dir))
        code = main(environment) or 0
    except UsageError as error:
        structlog.get_logger().error("role.failed", message=str(error))
        write_reason(str(error))
        code = EXIT_USAGE
    except Exception as error:  # noqa: BLE001 - the process ends: logged, and made an exit code
        traceback.print_exc()
        structlog.get_logger().error("role.failed", message=f"{type(error).__name__}: {error}")
        write_reason(f"{type(error).__name__}: {error}")
        code = 1
    sys.stdout.flush()
    sys.exit(code)


def write_reason(message: str) -> None:
    """Write the reason of a failure to the termination file, where the supervisor reads it.

    The first reason is kept: later failures of the same replica are mostly a consequence.
    """
    path = os.environ.get(variable("termination_file"))
    if not path:
        return
    try:
        with Path(path).open("ab") as file:  # on Kubernetes the file exists and is empty
            if file.tell() == 0:
                file.write(message.encode()[:_LONGEST_REASON])
    except OSError as error:
        structlog.get_logger().warning("role.reason_lost", path=path, error=str(error))


def clear_reason() -> None:
    """Takes back the reason that a process of this replica left: the cause is elsewhere."""
    path = os.environ.get(variable("termination_file"))
    if path and Path(path).exists():
        with suppress(OSError):
            os.truncate(path, 0)


def _replica() -> int:
    value = os.environ.get(f"{PREFIX}REPLICA", "")
    return int(value) if value.isdecimal() else 0
