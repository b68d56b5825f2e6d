"""A worker that is told to stop does so, whatever state its request is in."""

import asyncio

_STEPS = (
    60  # of the event loop; a request on an open connection has taken fewer to wait for a reply
)


def test_a_request_can_be_cancelled_at_every_step(trainer, a):
    a.wait(0)  # opens the connection, and sees what came before

    async def cancel_after(steps: int) -> bool:
        task = asyncio.create_task(a.buffer.wait(600))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=20)
        return task.cancelled()

    assert [steps for steps in range(_STEPS) if not a.runner.run(cancel_after(steps))] == []
