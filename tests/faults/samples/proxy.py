"""A TCP proxy that cuts connections, even in the middle of a reply, or delays them."""

import asyncio
import socket
import struct
import threading
from typing import Any

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends a reset


class Proxy:
    """Between the roles and their server, from its making to `close`."""

    def __init__(self, target: int) -> None:
        """
        Args:
            target: port of the server, on this machine.
        """
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._torn = 0  # replies that are to be cut in the middle
        self._open: asyncio.Event
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._call(self._listen())

    def reset(self) -> None:
        """Resets all connections."""
        self._call(self._reset())

    def tear(self, replies: int) -> None:
        """Of each of the next replies only one half gets through before its connection is reset."""
        self._torn = replies

    def hold(self, held: bool) -> None:
        """Passes nothing on, or goes on."""
        self._loop.call_soon_threadsafe(self._open.clear if held else self._open.set)

    def close(self) -> None:
        """Ends it and all connections."""
        self.reset()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _listen(self) -> int:
        self._open = asyncio.Event()
        self._open.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._cut(writer)
            return
        tasks = [
            asyncio.create_task(self._pass(reader, back, reply=False)),
            asyncio.create_task(self._pass(there, writer, reply=True)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        back.transport.abort()
        self._cut(writer)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reply: bool
    ) -> None:
        while data := await reader.read(1 << 16):
            await self._open.wait()
            if reply and self._torn > 0:
                self._torn -= 1
                writer.write(data[: len(data) // 2])
                await writer.drain()
                return
            writer.write(data)
            await writer.drain()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            self._cut(writer)

    def _cut(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        connection = writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
