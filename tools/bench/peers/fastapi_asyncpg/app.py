"""The application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, StringConstraints

from tools.bench.peers import env
from tools.bench.peers import page as landing_page

UPSERT = """
INSERT INTO registration (phone_number) VALUES ($1)
ON CONFLICT (phone_number) DO UPDATE SET updated_at = now()
RETURNING id
"""
TABLE = """
CREATE TABLE IF NOT EXISTS registration (
    id bigserial PRIMARY KEY,
    phone_number varchar(11) NOT NULL UNIQUE,
    status varchar(9) NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
)
"""


class Registration(BaseModel):
    """One phone number."""

    phone_number: Annotated[str, StringConstraints(pattern=r"^0[0-9]{10}$")]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold a pool of connections while the server runs."""
    async with asyncpg.create_pool(
        host=env.POSTGRES_HOST,
        port=int(env.POSTGRES_PORT),
        user=env.POSTGRES_USER,
        password=env.POSTGRES_PASSWORD,
        database=env.POSTGRES_DB,
        min_size=16,
        max_size=16,
    ) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/api/register/", status_code=201)
async def register(registration: Registration, request: Request) -> dict[str, int | str]:
    """Write the registration, committed before the answer."""
    registration_id = await request.app.state.pool.fetchval(UPSERT, registration.phone_number)
    return {"id": registration_id, "status": "Registered"}


@app.get("/fa/")
@app.get("/livez")
async def page() -> Response:
    """Serve the landing page."""
    return Response(landing_page.BODY, headers=landing_page.HEADERS)
