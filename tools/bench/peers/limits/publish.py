"""How many messages of one registration RabbitMQ confirms, published by aio-pika: 1 or 64 in flight."""

import argparse
import asyncio
import sys
import time

import aio_pika
import uvloop

from tools.bench.peers import env

BODY = b'["09123456789","01890a5d-ac96-774b-bcce-b302099a8057","192.0.2.1","https://campaign.example/","",""]'


async def main(in_flight: int, seconds: float) -> float:
    """Publish for some seconds and return the rate of confirms."""
    connection = await aio_pika.connect(env.RABBITMQ_URL)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(env.QUEUE, durable=True, arguments=dict(env.QUEUE_ARGUMENTS))
        started = time.perf_counter()

        async def publish() -> int:
            count = 0
            while time.perf_counter() - started < seconds:
                message = aio_pika.Message(BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, routing_key=env.QUEUE)
                count += 1
            return count

        confirmed = sum(await asyncio.gather(*(publish() for _ in range(in_flight))))
        return confirmed / (time.perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("in_flight", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    sys.stdout.write(f"{uvloop.run(main(options.in_flight, options.seconds)):.1f}\n")
