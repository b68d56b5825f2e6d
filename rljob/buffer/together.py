"""Batching of concurrent calls."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Call = tuple[Any, ...]

_MOST_CALLS = 32
_MOST_BYTES = 8 * 2**20  # a batch must be transferred within the socket timeout


class Together:
    """Collects calls while others are in flight, so that many share one round trip."""

    def __init__(self, send: Callable[[Sequence[Call]], Awaitable[Sequence[Any]]]) -> None:
        """`send` returns the replies to some calls, in order, or raises for all of them."""
        self._send = send
        self._waiting: list[tuple[Call, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def __call__(self, *call: Any) -> Any:
        """The reply to one call."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, reply))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await reply

    async def close(self) -> None:
        """Cancel the calls that have no reply yet."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                await self._send_some(self._next())
        finally:
            self._sender = None
            for _, reply in self._waiting:  # only after a cancellation
                reply.cancel()
            self._waiting.clear()

    async def _send_some(self, batch: Sequence[tuple[Call, asyncio.Future[Any]]]) -> None:
        try:
            replies = await self._send([call for call, _ in batch])
        except asyncio.CancelledError:
            for _, reply in batch:
                reply.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised where the calls were made
            for _, reply in batch:
                if not reply.done():
                    reply.set_exception(error)
        else:
            for (_, reply), value in zip(batch, replies, strict=True):
                if not reply.done():  # the caller may have been cancelled
                    reply.set_result(value)

    def _next(self) -> list[tuple[Call, asyncio.Future[Any]]]:
        batch = [self._waiting.pop(0)]
        size = _size(batch[0][0])
        while self._waiting and len(batch) < _MOST_CALLS:
            size += _size(self._waiting[0][0])
            if size > _MOST_BYTES:
                break
            batch.append(self._waiting.pop(0))
        return batch


def _size(call: Call) -> int:
    return sum(len(part) for part in call if isinstance(part, bytes))
