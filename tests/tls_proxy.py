"""An encrypting proxy in front of each of the tests' servers: `python -m tests.tls_proxy CERTIFICATE KEY`."""

import asyncio
import contextlib
import json
import os
import ssl
import sys
from typing import Any

SERVERS = ("RABBITMQ", "REDIS", "POSTGRES", "MONGODB")


async def main() -> None:
    """Print the settings that lead through the proxies, and serve until ended."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*sys.argv[1:3])
    settings: dict[str, Any] = {}
    for name in SERVERS:
        settings |= {f"{name}_HOST": "localhost", f"{name}_PORT": str(await _proxy(name, context))}
    sys.stdout.write(json.dumps(settings) + "\n")
    sys.stdout.flush()
    await asyncio.sleep(300)


async def _proxy(name: Any, context: Any) -> Any:
    plain = (os.environ[f"{name}_HOST"], int(os.environ[f"{name}_PORT"]))

    async def serve(reader: Any, writer: Any) -> None:
        if name == "POSTGRES":  # its clients ask first, and go over to TLS on the same connection
            await reader.readexactly(8)
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(context)
        server_reader, server_writer = await asyncio.open_connection(*plain)
        await asyncio.gather(_pour(reader, server_writer), _pour(server_reader, writer))

    tls = None if name == "POSTGRES" else context
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    return server.sockets[0].getsockname()[1]


async def _pour(reader: Any, writer: Any) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main())
