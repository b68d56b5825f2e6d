"""Entry point of the rollout role."""

import asyncio
import signal
import sys
from pathlib import Path

from rljob.buffer.pod_role import run_pod_role
from rljob.plan.environment import RoleEnvironment


def main(environment: RoleEnvironment) -> None:
    """Works on the environment's job until it ends."""
    # Until the worker installs its own handlers: nothing has to be given back yet.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    from rljob_rollout.engine import EngineProcess
    from rljob_rollout.local_weights import copy_directory
    from rljob_rollout.worker import Worker

    number = environment.name or environment.replica
    process = EngineProcess(
        environment.host,
        Path(environment.run_dir) / "logs" / f"engine-{number}.log",
        [key for key in (environment.engine_api_key, environment.engine_admin_key) if key],
        copy_directory(environment),
        # In a pod its file goes with the pod: `kubectl logs` has it all.
        echo=sys.stdout.buffer if environment.linger else None,
    )

    async def work() -> None:
        await Worker(environment, process).run()

    asyncio.run(work())


run_pod_role("rollout", main)
