"""The router's process: sglang-router for the job of the environment.

Run as `python -m rljob_rollout.router.server METRICS_PORT SUPERVISOR`. The keys are read from the
role's environment and passed in memory: sglang-router's own command takes them only as arguments,
which every user of a machine can read.
"""

import os
import sys

# Not sglang_router.launch_router, which imports sglang and takes up to a minute.
from sglang_router.router import Router
from sglang_router.router_args import RouterArgs

from rljob.plan.environment import RoleEnvironment
from rljob.telemetry import lifeline


def arguments(environment: RoleEnvironment, metrics_port: int) -> RouterArgs:
    """The router's arguments.

    Clients authenticate with the engines' key. The list of engines is changed with their admin key,
    or with the same key if there is no admin key.
    """
    admin = environment.engine_admin_key
    return RouterArgs(
        host=environment.host,
        port=environment.router_port,
        prometheus_host=environment.host,
        prometheus_port=metrics_port,
        policy=environment.router_policy or RouterArgs.policy,
        api_key=environment.engine_api_key,
        control_plane_api_keys=[] if admin is None else [("rljob", "rljob", admin, "admin")],
        # An engine's /health takes a second, and does not answer while the engine is paused for a
        # weight update: only several misses in a row mean that it is gone.
        health_check_interval_secs=5,
        health_check_timeout_secs=5,
        health_failure_threshold=3,
        health_success_threshold=1,
        # An engine is listed only once it holds the weights, so it already answers.
        worker_startup_timeout_secs=30,
        worker_startup_check_interval=1,
        shutdown_grace_period_secs=1,
        log_level="warn",
    )


def main(metrics_port: int, supervisor: int) -> None:
    """Routes until told to stop or until process `supervisor` is gone."""
    lifeline.follow(supervisor)
    environment = RoleEnvironment.from_env(os.environ)
    Router.from_args(arguments(environment, metrics_port)).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
