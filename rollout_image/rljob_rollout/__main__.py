"""`python -m rljob_rollout`: the rollout role."""

import asyncio

from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.role import run_role
from rljob_rollout.worker import Worker


def main(environment: RoleEnvironment) -> int:
    """Works for the job of the environment until its end; returns the exit code."""

    async def work() -> None:
        await Worker(environment).run()

    asyncio.run(work())
    return 0


if __name__ == "__main__":
    run_role("rollout", main)
