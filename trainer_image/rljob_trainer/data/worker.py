"""A process that reads ahead: `python -m rljob_trainer.data.worker DESCRIPTOR TRAINER`."""

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType

from rljob.errors import UsageError
from rljob.telemetry import lifeline


def main(descriptor: int, trainer: int) -> None:
    """Answers requests until the connection closes.

    Args:
        descriptor: file descriptor of the socket to the trainer.
        trainer: the trainer's pid.
    """
    _stay_with(trainer)
    # Tokenizers work without torch, and transformers would spend 5 s and 600 MB on it.
    sys.modules["torch"] = None  # type: ignore[assignment]
    line = Connection(descriptor)
    try:
        function = pickle.loads(line.recv_bytes())  # noqa: S301 (from the trainer, over its socket)
        while True:
            line.send(_result(function, line.recv()))
    except (EOFError, OSError):
        return


def _result(function: Callable[[int], object], number: int) -> object:
    try:
        return function(number)
    except UsageError as error:
        return error
    except Exception:  # noqa: BLE001 (the trainer raises it)
        return RuntimeError(f"in a data worker:\n{traceback.format_exc()}")


def _stay_with(trainer: int) -> None:
    """Ends this process with the trainer, and not earlier on a signal that is sent to both."""

    def end_if_alone(_number: int, _frame: FrameType | None) -> None:
        if os.getppid() != trainer:
            os._exit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_if_alone)
    lifeline.follow(trainer)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
