"""Makes the table before the server starts."""

import asyncio

import asyncpg

from tools.bench.peers import env
from tools.bench.peers.fastapi_asyncpg.app import TABLE


async def main() -> None:
    """Make the table unless it is there."""
    connection = await asyncpg.connect(
        host=env.POSTGRES_HOST,
        port=int(env.POSTGRES_PORT),
        user=env.POSTGRES_USER,
        password=env.POSTGRES_PASSWORD,
        database=env.POSTGRES_DB,
    )
    await connection.execute(TABLE)
    await connection.close()


asyncio.run(main())
