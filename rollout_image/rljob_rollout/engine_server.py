"""The engine's process: an SGLang server with the arguments that come on standard input.

Keys are among them: they must not stand on a command line, which every user of the machine can
read. Run as `python -m rljob_rollout.engine_server`, one JSON object on standard input:
`{"supervisor": pid, "arguments": {name of an argument of sglang.srt.server_args.ServerArgs: value}}`.
"""

import json
import os
import sys

from rljob.telemetry import lifeline


def main() -> None:
    """Serves until it is told to stop or `supervisor` is gone."""
    order = json.load(sys.stdin)
    lifeline.follow(order["supervisor"])

    # sglang takes seconds to import, and its schedulers import this module again.
    from sglang.launch_server import run_server
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import ServerArgs
    from sglang.srt.utils import kill_process_tree

    load_plugins()
    try:
        run_server(ServerArgs(**order["arguments"]))
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


if __name__ == "__main__":
    main()
