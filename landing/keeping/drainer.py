"""Brings what is spooled to the broker, this process's own and what dead processes left behind."""

import asyncio
import logging
import random

import orjson
from django.conf import settings

from landing.keeping.intake import Intake
from landing.keeping.publisher import NotConfirmed, Publisher
from lib import metrics, spool
from lib.spool import SpoolFailed, SpoolFile, SpoolFull

log = logging.getLogger(__name__)

BATCH = 500
SHORTEST, LONGEST = 0.25, 4.0
"""Seconds between two looks: the shortest while the broker answers, growing while it does not."""

ADOPT_EVERY = 10.0
"""Seconds between two looks for files of dead processes."""


class Drainer:
    """Drains spools through a connection of its own, so that visitors never wait behind it.

    It also finds out that RabbitMQ is back: during an outage it tries with what is spooled, and the first
    confirm ends the outage.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._publisher = Publisher(
            settings.RABBITMQ_URLS, timeout=settings.PUBLISH_TIMEOUT, ca_path=settings.RABBITMQ_CA_PATH
        )
        self._adopt_at = 0.0

    async def run(self) -> None:
        pause = SHORTEST
        while True:
            try:
                await self.drain()
                pause = SHORTEST
            except NotConfirmed:
                pause = min(pause * 2, LONGEST)
            except (SpoolFull, SpoolFailed) as error:
                log.error("a spool cannot be drained", extra={"reason": str(error)})
                pause = LONGEST
            except Exception:
                # A drainer that ends would leave the outage on for ever, and every registration would be spooled.
                log.exception("the drainer goes on after an error")
                pause = LONGEST
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  not a secret

    async def drain(self) -> int:
        """Drain what there is and return how many registrations went to the broker.

        Raises NotConfirmed, SpoolFull or SpoolFailed, and then the rest is still spooled.
        """
        moved = 0
        if (own := self._intake.spool.own) and own.count:
            moved += await self._drain_own(own)
        if asyncio.get_running_loop().time() >= self._adopt_at:
            moved += await self._adopt()
            self._adopt_at = asyncio.get_running_loop().time() + ADOPT_EVERY
        if self._intake.rabbitmq_outage.is_on and not moved:
            await self._publisher.check()
            self._broker_answers()
        return moved

    def close(self) -> None:
        """Let go of the broker."""
        self._publisher.close()

    async def _drain_own(self, file: SpoolFile) -> int:
        try:
            moved = await self._drain_file(file)
        except SpoolFailed:
            # It may be a new file by now; the one that failed is drained by an adopting process.
            if self._intake.spool.own is file:
                await self._intake.on_disk(self._intake.spool.give_up_file)
            raise
        await self._intake.on_disk(self._intake.spool.tidy)
        return moved

    async def _adopt(self) -> int:
        moved = 0
        files = await self._intake.on_disk(spool.adopt, self._intake.spool.directory)
        try:
            for file in files:
                try:
                    moved += await self._drain_file(file)
                    await self._intake.on_disk(file.remove)
                except (SpoolFull, SpoolFailed) as error:
                    # One bad file must not stand in the way of those behind it.
                    log.error(
                        "a spool cannot be drained", extra={"path": str(file.path), "reason": str(error)}
                    )
        finally:
            for file in files:  # what was not drained is anybody's to adopt again
                self._intake.on_disk(file.close)
        return moved

    async def _drain_file(self, file: SpoolFile) -> int:
        moved = 0
        while rows := await self._intake.on_disk(file.oldest, BATCH):
            # As they are: should one be no submission, it is the worker that makes it a dead letter.
            await self._publisher.send([orjson.loads(row.body) for row in rows])
            self._broker_answers()
            # Deleted only after the confirm. A crash in between sends them again, which changes nothing.
            await self._intake.on_disk(file.delete, rows)
            moved += len(rows)
            metrics.count("drained", len(rows))
            # A spool that is sent at full speed could raise the very memory alarm that filled it.
            await asyncio.sleep(len(rows) / settings.SPOOL_DRAIN_RATE)
        return moved

    def _broker_answers(self) -> None:
        if self._intake.rabbitmq_outage.is_on:
            log.info("RabbitMQ confirms again")
        self._intake.rabbitmq_outage.note_success()
