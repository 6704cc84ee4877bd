"""What servers that misbehave on demand share: a thread of their own, requests of HTTP/1.1, and a reset."""

import asyncio
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from socket import SO_LINGER, SOL_SOCKET

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def served(serve: Serve, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve connections on 127.0.0.1 in a thread; give the address."""
    address, is_up, stop = "", threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        nonlocal address
        loops.append(asyncio.get_running_loop())
        server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        is_up.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="loopback", daemon=True)
    thread.start()
    if not is_up.wait(5):
        raise RuntimeError("the server does not start")
    try:
        yield address
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(5)


async def read(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes] | None:
    """Return the next request's path, headers (names in lower case) and body; None at the end of the connection."""
    if not (line := await reader.readline()):
        return None
    headers: dict[str, str] = {}
    while (header := (await reader.readline()).decode().strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return line.decode().split()[1], headers, body


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection as a crash does."""
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
