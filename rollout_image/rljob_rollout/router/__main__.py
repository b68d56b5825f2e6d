"""Entry point of the router role."""

import asyncio

from rljob.plan.environment import RoleEnvironment
from rljob.telemetry.role import run_role
from rljob_rollout.router.role import Router


def main(environment: RoleEnvironment) -> None:
    """Routes for the environment's job until it ends."""

    async def route() -> None:
        await Router(environment).run()

    asyncio.run(route())


run_role("router", main)
