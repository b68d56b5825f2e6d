"""The engine's process: an SGLang server for the job of the environment.

Run as `python -m rljob_rollout.engine_server PORT SUPERVISOR`. Everything else, above all the keys,
is read from the role's environment: every user of a machine can read command lines.
"""

import os
import sys
import zlib
from pathlib import Path

from rljob.plan.environment import RoleEnvironment
from rljob.telemetry import lifeline
from rljob_rollout.engine_arguments import engine_arguments
from rljob_rollout.local_weights import LocalWeights, copy_directory

_CPU_PACKAGES = Path(__file__).parent / "cpu"


def main(port: int, supervisor: int) -> None:
    """Serves on the role's host until told to stop or until process `supervisor` is gone."""
    lifeline.follow(supervisor)
    environment = RoleEnvironment.from_env(os.environ)
    # Otherwise /health generates a token, which fails while weights are being updated.
    os.environ["SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"] = "false"

    # These imports take seconds, and sglang's own processes import this module again.
    import torch

    gpu = torch.cuda.is_available()
    if not gpu:
        _prepare_cpu()

    from sglang.launch_server import run_server
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import ServerArgs
    from sglang.srt.utils import kill_process_tree

    from rljob_rollout.weights_endpoint import add_weights_endpoint

    load_plugins()
    add_weights_endpoint(LocalWeights(copy_directory(environment)))
    name = environment.name
    # Pods of a Deployment have no number, but their seeds must still differ.
    replica = environment.replica if name is None else zlib.crc32(name.encode())
    arguments = engine_arguments(environment.job().spec, replica=replica, gpu=gpu)
    arguments |= {
        "host": environment.host,
        "port": port,
        "api_key": environment.engine_api_key,
        "admin_api_key": environment.engine_admin_key,
    }
    try:
        run_server(ServerArgs(**arguments))
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


def _prepare_cpu() -> None:
    """Makes sglang and its child processes use the CPU and our stand-in package."""
    os.environ["SGLANG_USE_CPU_ENGINE"] = "1"
    paths = [str(_CPU_PACKAGES), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    sys.path.insert(0, str(_CPU_PACKAGES))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
