"""The frame of every role's process: logs, environment, exit code, reason of a failure."""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import structlog

from rljob.errors import EXIT_USAGE, UsageError
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry import log

_PR_SET_PDEATHSIG = 1  # prctl(2)


def run_role(role: str, main: Callable[[RoleEnvironment], int]) -> NoReturn:
    """Runs `main` and ends the process with its exit code.

    A `UsageError` ends it with 64 and one log line; its message goes to the termination file.
    """
    _die_with_parent()
    log.configure(role, int(os.environ.get("RLJOB_REPLICA", "0")))
    logger = structlog.get_logger()
    try:
        code = main(RoleEnvironment.from_env())
    except UsageError as error:
        logger.error("role.failed", reason=str(error))  # noqa: TRY400  (a message, not a bug)
        _say_why(str(error))
        code = EXIT_USAGE
    except Exception as error:  # noqa: BLE001  (the process's last frame)
        traceback.print_exc()
        _say_why(f"{type(error).__name__}: {error}")
        code = 1
    sys.stdout.flush()
    sys.exit(code)


def _say_why(reason: str) -> None:
    path = os.environ.get("RLJOB_TERMINATION_FILE")
    if path:
        Path(path).write_text(reason + "\n")


def _die_with_parent() -> None:
    """A role must not outlive the one who started it, even if that one is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
