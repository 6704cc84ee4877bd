"""The application."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import aio_pika
import orjson
from fastapi import FastAPI, Request
from pydantic import BaseModel, StringConstraints

from tools.bench.peers import env


class Registration(BaseModel):
    """One phone number."""

    phone_number: Annotated[str, StringConstraints(pattern=r"^0[0-9]{10}$")]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold one connection, and one channel with confirms, while the server runs."""
    connection = await aio_pika.connect_robust(env.RABBITMQ_URL)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(env.QUEUE, durable=True, arguments=dict(env.QUEUE_ARGUMENTS))
        app.state.exchange = channel.default_exchange
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/api/register/", status_code=202)
async def register(registration: Registration, request: Request) -> dict[str, str]:
    """Publish the registration and answer once the broker has confirmed it."""
    request_id = str(uuid.uuid4())
    body = {
        "phone_number": registration.phone_number,
        "request_id": request_id,
        "ip_address": request.headers.get("x-forwarded-for", ""),
        "referrer": request.headers.get("referer", ""),
    }
    await request.app.state.exchange.publish(
        aio_pika.Message(
            orjson.dumps(body),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        ),
        routing_key=env.QUEUE,
    )
    return {"request_id": request_id, "status": "Processing"}
