"""Small TCP proxies between the product and its servers: the network that can be made to misbehave."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

import uvloop

HOST = "127.0.0.1"
CHUNK = 65536
COMMITTED = b"COMMIT\x00"
"""How PostgreSQL tells that a COMMIT was done."""


class Link:
    """One proxy. Its attributes may be set from any thread; they hold from the next bytes on.

    front: the port that it listens on; 0 takes a free one. served: how many connections it has taken.
    """

    def __init__(self, network: "Network", front: int, back: int) -> None:
        self.front = front
        self.back = back
        self.delay = 0.0
        self.resets = False
        self.loses_commits = False
        self.served = 0
        self._network = network
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        network.run(self._listen())

    def refuse(self) -> None:
        """Be a port on which nobody listens, and cut what is open."""
        self._network.run(self._refuse())

    def stall(self) -> None:
        """Accept and keep everything, and pass nothing on."""
        self._network.run(self._stall())

    def cut(self) -> None:
        """Reset every connection that is open now."""
        self._network.run(self._cut())

    def mend(self) -> None:
        """Be a good network again."""
        self.delay, self.resets, self.loses_commits = 0.0, False, False
        self._network.run(self._listen())

    async def _listen(self) -> None:
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.front, backlog=512)
            self.front = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        await self._cut()

    async def _stall(self) -> None:
        self._flows.clear()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.back)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served += 1
        self._writers.add(writer)
        other: asyncio.StreamWriter | None = None
        try:
            if self.resets:
                return
            behind, other = await self._connect()
            self._writers.add(other)
            pumps = [
                asyncio.create_task(self._pump(reader, other)),
                asyncio.create_task(self._pump(behind, writer, from_server=True)),
            ]
            self._pumps.update(pumps)
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            self._pumps.difference_update(pumps)
        except OSError:
            pass
        finally:
            for one in filter(None, (writer, other)):
                self._writers.discard(one)
                _reset(one)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_server: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not self._flows.is_set():
                    await self._flows.wait()
                if from_server and self.loses_commits and COMMITTED in data:
                    return
                writer.write(data)
                await writer.drain()
            # The end comes after the last bytes, not instead of them.
            writer.close()
            await writer.wait_closed()


class Network:
    """The thread in which the links live."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="network", daemon=True).start()

    def run(self, act: Coroutine[Any, Any, None]) -> None:
        """Do something in the thread and wait for it."""
        asyncio.run_coroutine_threadsafe(act, self._loop).result(10)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        connection = writer.get_extra_info("socket")
        if not writer.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
