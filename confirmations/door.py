"""What a web keeps of asks and typed codes: RabbitMQ's confirm, or nothing.

They are not spooled: a code that was typed is on no disk of a web, and nobody waits for an SMS of an hour ago.
"""

from collections.abc import Sequence
from functools import cache
from uuid import NAMESPACE_URL, uuid4, uuid5

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from confirmations import answers, campaigns, wire
from confirmations.asks import Asked
from confirmations.tries import Typed
from landing.door import problems, senders, status
from landing.keeping import intake
from landing.keeping.limits import Limiter
from landing.keeping.publisher import NotConfirmed
from landing.keeping.refusals import Unavailable
from landing.storing.task_states import Known, State
from lib.client_ip import limit_key
from lib.clock import now
from lib.group_commit import GroupCommit, Interrupted, Overloaded

TRIES, TRIES_PERIOD = 5, 600
"""Codes that one submission's page may send, in so many seconds. Those that decide are counted by the worker."""


def ask(request: Request | HttpRequest, task_id: str, language: str) -> Known:
    """Keep a visitor's question for a code; return what was known of the submission before.

    Raises problems.Refused (not_found, too_many_codes) or Unavailable.
    """
    known = _require_submission(task_id)
    group = limit_key(senders.ip_of(request))
    intake.wait_for(_door().ask(Asked(task_id, now(), language, site_of(request), group)))
    return known


def type_code(task_id: str, code: str, key: str) -> tuple[Known, str]:
    """Keep a typed code, six ASCII digits; return what was known of the submission, and the try's id.

    key: the same one gives the same id.

    Raises problems.Refused (not_found, too_many_tries) or Unavailable.
    """
    known = _require_submission(task_id)
    try_id = str(uuid5(NAMESPACE_URL, f"{task_id}\n{key}") if key else uuid4())
    intake.wait_for(_door().type_code(Typed(task_id, now(), try_id, code)))
    return known, try_id


def site_of(request: Request | HttpRequest) -> str:
    """Return the host that the SMS names: of the page that embeds the form, if it may, else ours."""
    origin = request.headers.get("Origin", "")
    if origin in settings.CORS_ALLOWED_ORIGINS:
        return origin.partition("://")[2].partition(":")[0]
    return request.get_host().partition(":")[0]


def _require_submission(task_id: str) -> Known:
    """Return what is known of a submission; refuse an id that is not ours, and one of a campaign without codes."""
    known = status.of(task_id) if campaigns.any_confirms() else None
    # One that still waits may be of any campaign.
    if known is None or (known.state is not State.WAITING and "confirmation" not in known.more):
        raise problems.Refused("not_found")
    return known


class Door:
    """Asks and typed codes of one process, published in groups on the intake's event loop."""

    def __init__(self) -> None:
        rate = settings.RATE_LIMIT
        self._asks = _limiter(rate.count, rate.period) if rate else None
        self._tries = _limiter(TRIES, TRIES_PERIOD)
        self._groups: GroupCommit[Asked | Typed, None] = GroupCommit(
            self._publish, size=settings.GROUP_SIZE, waiting=settings.WAITING_LIMIT
        )

    async def ask(self, asked: Asked) -> None:
        """Keep a question. Raises problems.Refused or Unavailable."""
        await self._keep(asked, self._asks, f"code:{asked.group}", "too_many_codes")

    async def type_code(self, typed: Typed) -> None:
        """Keep a typed code. Raises problems.Refused or Unavailable."""
        await self._keep(typed, self._tries, f"try:{typed.request_id}", "too_many_tries")
        await answers.reader().mark_checking(typed.request_id, typed.try_id)

    async def _keep(self, item: Asked | Typed, limiter: Limiter | None, sender: str, refusal: str) -> None:
        if limiter is not None:
            [wait] = await limiter.take([sender])
            if wait:
                raise problems.Refused(refusal, retry_after=wait)
        try:
            await self._groups.submit(item)
        except (NotConfirmed, Overloaded, Interrupted) as error:
            if limiter is not None:
                await limiter.give_back([sender])
            raise Unavailable from error

    async def _publish(self, items: Sequence[Asked | Typed]) -> Sequence[None]:
        await intake.current().publisher.send_confirmations([wire.write(item) for item in items])
        return [None] * len(items)


def _limiter(count: int, period: int) -> Limiter:
    return Limiter(limit=count, period=period, timeout=settings.REDIS_TIMEOUT)


@cache
def _door() -> Door:
    return Door()
