"""The trainer pod's process: torchrun's elastic agent around one process per GPU."""

import sys

from prometheus_client import CollectorRegistry
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from rljob.errors import EXIT_USAGE
from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.server import StatusServer


def launch(environment: RoleEnvironment) -> int:
    """Runs the ranks and returns the exit code of the role.

    torchrun's own command line ends with 1 whatever its ranks ended with; a usage error must come
    through as such, because no restart can cure it.
    """
    job = environment.job()
    if environment.replica > 0:
        # Rank 0 has a server of its own, in the first pod; a probe asks every pod.
        StatusServer(environment.host, environment.metrics_port, CollectorRegistry(), dict).start()
    config = LaunchConfig(
        min_nodes=job.spec.trainer.replicas,
        max_nodes=job.spec.trainer.replicas,
        nproc_per_node=job.spec.trainer.gpus_per_replica,
        run_id=job.key.replace("/", "-"),
        role="trainer",
        rdzv_backend="c10d",
        rdzv_endpoint=environment.rendezvous,
        local_addr=environment.host,
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "rljob_trainer.rank")
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        return EXIT_USAGE if EXIT_USAGE in codes else 1
    except SignalException:
        return 0  # the ranks were asked to stop, saved what there was, and have ended
    return 0
