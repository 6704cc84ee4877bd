"""A small TCP load balancer: what stands in front of the hosts of webs."""

import asyncio
import contextlib
from collections.abc import Sequence

from tools.drills.proxy import Link, Network

LOOK_EVERY, PATIENCE, LATEST = 0.5, 1.0, 5.0
"""Seconds between two looks at a host, for a connection to it, and for its answer.

A host that is gone takes no connection. One that is busy takes it at once and answers late: it keeps its visitors."""
QUESTION = b"GET /livez HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n"

Address = tuple[str, int]


class Balancer(Link):
    """Leads each connection to the living host that has the fewest. A host that dies loses its connections."""

    def __init__(self, network: Network, front: int, hosts: Sequence[Address]) -> None:
        self.living: set[Address] = set()
        self._leading: dict[Address, set[asyncio.StreamWriter]] = {host: set() for host in hosts}
        super().__init__(network, front, 0)
        network.run(self._begin())

    async def _begin(self) -> None:
        self._watches = [asyncio.create_task(self._watch(host)) for host in self._leading]

    async def _watch(self, host: Address) -> None:
        while True:
            if await self._answers(host):
                self.living.add(host)
            else:
                self.living.discard(host)
                for writer in self._leading[host]:
                    writer.transport.abort()
            await asyncio.sleep(LOOK_EVERY)

    async def _answers(self, host: Address) -> bool:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(*host)
            async with asyncio.timeout(LATEST):
                with contextlib.closing(writer):
                    writer.write(QUESTION)
                    return b" 200 " in await reader.readline()
        return False

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for writers in self._leading.values():
            writers -= {writer for writer in writers if writer.is_closing()}
        for host in sorted(self.living, key=lambda host: len(self._leading[host])):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    reader, writer = await asyncio.open_connection(*host)
                self._leading[host].add(writer)
                return reader, writer
        raise ConnectionRefusedError
