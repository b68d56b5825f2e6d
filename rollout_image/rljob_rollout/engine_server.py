"""The engine's process: an SGLang server whose arguments, keys among them, come by stdin."""

import ctypes
import json
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Serves until it is ended. SGLang's own processes end with this one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    arguments = json.load(sys.stdin)

    from sglang.launch_server import run_server
    from sglang.srt.server_args import ServerArgs

    run_server(ServerArgs(**arguments))


# SGLang starts its schedulers by spawning, which imports this module again.
if __name__ == "__main__":
    main()
