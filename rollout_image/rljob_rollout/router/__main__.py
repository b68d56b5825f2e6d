"""Entry point of the router role."""

import asyncio

from rljob.buffer.pod_role import run_pod_role
from rljob.plan.environment import RoleEnvironment
from rljob_rollout.router.role import Router


def main(environment: RoleEnvironment) -> None:
    """Routes for the environment's job until it ends."""

    async def route() -> None:
        await Router(environment).run()

    asyncio.run(route())


run_pod_role("router", main)
