"""The trainer pod's process: torchrun's elastic agent around one process per GPU."""

import signal
import sys

from prometheus_client import CollectorRegistry
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from rljob.errors import EXIT_USAGE
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.role import clear_reason, run_role, write_reason
from rljob.telemetry.server import StatusServer
from rljob_trainer.process.again import AGAIN
from rljob_trainer.process.peers import Peers

_MEET_SECONDS = 300  # for torchrun's agents, once all launchers are there
# Time from SIGTERM to SIGKILL, for a step and a checkpoint. The sender of the SIGTERM may wait less
# than that; it then kills this process with its ranks.
_STOP_SECONDS = 3600


def launch(environment: RoleEnvironment, rank: str = "rljob_trainer.rank") -> int:
    """Runs the ranks and returns the exit code of the role.

    torchrun's own command line exits with 1, whatever its ranks exited with. A usage error must be
    passed on, because a restart cannot fix it.

    Args:
        environment: of this pod.
        rank: the module that each process runs.

    Returns:
        `AGAIN` if another pod ended the ranks of this one, in a cluster.
    """
    job = environment.job()
    if environment.replica > 0:
        # Rank 0 runs its own server, in the first pod; probes go to every pod.
        StatusServer(environment.host, environment.metrics_port, CollectorRegistry(), dict).start()
    replicas = job.spec.trainer.replicas
    host, _, port = environment.rendezvous.rpartition(":")
    # The first pod knows its own address and does not depend on DNS for it.
    endpoint = f"{environment.host if environment.replica == 0 else host}:{port}"
    config = LaunchConfig(
        min_nodes=replicas,
        max_nodes=replicas,
        nproc_per_node=job.spec.trainer.gpus_per_replica,
        run_id=job.key.replace("/", "-"),
        role="trainer",
        # Rank 0, with its /status, has to be in the first pod; the dynamic rendezvous would sort
        # the pods by their addresses.
        rdzv_backend="static",
        rdzv_endpoint=endpoint,
        rdzv_configs={"rank": environment.replica, "timeout": _MEET_SECONDS},
        max_restarts=0,
        shutdown_timeout=_STOP_SECONDS,
        monitor_interval=0.1,
        signals_to_handle="SIGHUP,SIGQUIT",  # `Peers` handles the others
    )
    peers = Peers(endpoint, environment.replica, replicas)
    try:
        peers.listen()
        peers.meet()
        with peers.watched():
            elastic_launch(config, sys.executable)("-m", rank)
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        if EXIT_USAGE in codes:
            return EXIT_USAGE
        if peers.ended_by is not None:
            clear_reason()  # the ranks of this pod reported a lost connection
            if environment.linger:
                return AGAIN
        write_reason(peers.ended_by or _reason(error))
        return 1
    except SignalException:
        # The ranks were asked to stop, saved their state, and have ended.
        return AGAIN if peers.ended_by is not None and environment.linger else 0
    return 0


def _reason(error: ChildFailedError) -> str:
    """Why a rank failed that could not report it itself."""
    rank, failure = error.get_first_failure()
    if failure.exitcode >= 0:
        return f"rank {rank} failed with exit code {failure.exitcode}"
    name = signal.Signals(-failure.exitcode).name
    hint = "; the kernel does that when memory runs out" if name == "SIGKILL" else ""
    return f"rank {rank} was killed by {name}{hint}"


if __name__ == "__main__":
    run_role("trainer", launch)
