"""From events to deliveries, and what becomes of each: the queue of webhooks, which is a table.

A queue of RabbitMQ could not be reordered, counted by receiver, replayed, or freed of a person who is erased.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from courier import payloads
from courier.models import Attempt, Delivery, Receiver
from courier.payloads import Item
from courier.webhooks import Webhook
from landing.models import Event, Subscription
from landing.storing import events
from lib.clock import now

# The schedule of Standard Webhooks: seconds from one try to the next. About 75 hours in all.
PAUSES = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
MOST_TRIES = len(PAUSES) + 1
JITTER = 0.25
LONGEST_RETRY_AFTER = timedelta(hours=24)
MOST_REFUSALS = 3
"""Tries after which what the receiver refuses for itself (4xx) steps aside, if it takes others."""
_NOT_ITS_FAULT = frozenset({408, 410, 425, 429})
"""Answers of 4xx that say nothing against the message."""
BREAKER = 5
"""Failures in a row after which a receiver is called once a pause: 5 s, twice as long each time, up to 5 minutes."""
LONGEST_PAUSE = 300.0
LEASE = timedelta(seconds=20)
"""More than a call takes. So long the others wait for a courier that has died in one."""
OLDEST_EVENT = timedelta(seconds=1)
MOST_EVENTS = 1_000
KEPT = timedelta(days=30)
"""What was delivered is kept so long, to be replayed."""
_PURGED_AT_ONCE = 5_000

_TAKE = """
DELETE FROM landing_event WHERE id IN (
    SELECT id FROM landing_event ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING id, kind, request_id
"""
_MISSING = f"""
SELECT request_id FROM landing_submission JOIN landing_registration AS registered ON registered.id = registration_id
WHERE stored_at >= %(since)s AND {events.IS_WANTED_BY_ONE} AND NOT EXISTS (
    SELECT FROM landing_event AS event WHERE event.request_id = landing_submission.request_id AND kind = 'stored'
) AND request_id NOT IN (
    SELECT unnest(request_ids) FROM courier_delivery WHERE webhook = %(webhook)s AND kind = 'stored'
) ORDER BY stored_at, request_id
"""  # noqa: S608  only our own words
_ANEW: dict[str, Any] = {
    "state": Delivery.State.WAITING,
    "tries": 0,
    "first_tried_at": None,
    "ended_at": None,
    "reason": "",
}


@dataclass(frozen=True)
class Due:
    """A delivery whose time has come. body: None if nothing is left to send: all of it was erased."""

    id: int
    webhook: str
    message_id: str
    body: bytes | None


@dataclass(frozen=True)
class Result:
    """What came of a call. status: of HTTP, None without an answer. retry_after: seconds that the receiver asks for."""

    seconds: float
    status: int | None = None
    reason: str = ""
    retry_after: float | None = None

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def subscribe(webhooks: Sequence[Webhook]) -> None:
    """Have the workers tell of what these webhooks want to hear, and of nothing else. Raises django.db.Error."""
    with transaction.atomic():
        Subscription.objects.exclude(pk__in=[one.name for one in webhooks]).delete()
        for one in webhooks:
            Subscription.objects.update_or_create(pk=one.name, defaults={"campaigns": list(one.campaigns)})
        Receiver.objects.bulk_create([Receiver(pk=one.name) for one in webhooks], ignore_conflicts=True)


def take() -> int:
    """Turn events into deliveries, once there are enough for a message or one is a second old; return how many it was.

    In one transaction: an event is in the one table or in the other. For all webhooks that are subscribed, also those
    that another courier's file has and this one's has not yet. Raises django.db.Error.
    """
    if not _are_enough():
        return 0
    # By the order of the sequence, but no cursor over it: ids are committed out of order, and a cursor would skip some.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TAKE, [MOST_EVENTS])
        taken = sorted(cursor.fetchall())
        items = payloads.read([request_id for _, _, request_id in taken])
        for subscription, kind in product(Subscription.objects.all(), Event.Kind):
            wanted = [one for _, its_kind, one in taken if its_kind == kind and one in items]
            _add(
                subscription.pk, kind, {one: items[one] for one in wanted if _wants(subscription, items[one])}
            )
    return len(taken)


def claim(webhook: str, holder: str) -> Due | None:
    """Return the delivery that this courier is to send now, and keep the others away from its receiver meanwhile.

    None: nothing is due, the receiver is left alone for a while, or another courier calls it. Raises django.db.Error.
    """
    due = Delivery.objects.filter(webhook=webhook, state=Delivery.State.WAITING).order_by("next_at", "pk")
    if not due.filter(next_at__lte=now()).exists():
        return None  # seen without a lock: most looks end here
    with transaction.atomic():
        receiver = Receiver.objects.select_for_update().get(pk=webhook)
        if not _may_call(receiver, holder):
            return None
        if (delivery := due.filter(next_at__lte=now()).first()) is None:
            return None
        receiver.held_by, receiver.held_until = holder, now() + LEASE
        receiver.save(update_fields=["held_by", "held_until"])
    items = payloads.read(delivery.request_ids)
    found = [items[one] for one in delivery.request_ids if one in items]
    body = payloads.body(delivery.kind, delivery.created_at, found) if found else None
    return Due(delivery.pk, webhook, str(delivery.message_id), body)


def settle(due: Due, result: Result) -> str:
    """Note what came of a call; return the delivery's state. Raises django.db.Error."""
    with transaction.atomic():
        receiver = Receiver.objects.select_for_update().get(pk=due.webhook)
        delivery = Delivery.objects.select_for_update().get(pk=due.id)
        outcome = Attempt.Outcome.DELIVERED if result.is_delivered else Attempt.Outcome.FAILED
        Attempt.objects.create(
            delivery=delivery,
            seconds=result.seconds,
            outcome=outcome,
            status=result.status,
            reason=result.reason[:100],
        )
        if delivery.state == Delivery.State.WAITING:
            _note(delivery, receiver, result)
            delivery.save()
        _note_health(receiver, result)
        receiver.save()
    return str(delivery.state)


def end_empty(due: Due) -> None:
    """End a delivery whose people were all erased. Raises django.db.Error."""
    Delivery.objects.filter(pk=due.id).update(state=Delivery.State.EMPTY, ended_at=now())


def resume(webhook: str) -> None:
    """Let a receiver be called again, and at once, with all that has waited for it. Raises django.db.Error."""
    with transaction.atomic():
        Receiver.objects.filter(pk=webhook).update(is_paused=False, failures=0, wait_until=None)
        _hasten(webhook)


def replay_failed(webhook: str, *, dry_run: bool = False) -> int:
    """Send again what has failed for good, under the same ids; return how many messages. Raises django.db.Error."""
    failed = Delivery.objects.filter(webhook=webhook, state=Delivery.State.FAILED)
    return failed.count() if dry_run else failed.update(**_ANEW, next_at=now())


def replay_since(webhook: str, since: datetime, *, dry_run: bool = False) -> tuple[int, int]:
    """Send again all that is known since a time (UTC).

    Returns how many messages go out a second time, under the same ids, and how many submissions were in none yet: those
    of before the webhook, or of a PostgreSQL that was restored. To repeat it adds no message. Raises django.db.Error.
    """
    known = Delivery.objects.filter(webhook=webhook, created_at__gte=since).exclude(
        state=Delivery.State.WAITING
    )
    missing = _missing(webhook, since)
    if dry_run:
        return known.count(), len(missing)
    again = known.update(**_ANEW, next_at=now())
    for start in range(0, len(missing), MOST_EVENTS):
        some = missing[start : start + MOST_EVENTS]
        items = payloads.read(some)
        _add(webhook, Event.Kind.STORED, {one: items[one] for one in some if one in items})
    return again, len(missing)


def purge() -> int:
    """Delete deliveries that ended well long ago, and their attempts; return how many. Raises django.db.Error."""
    ended = Delivery.objects.filter(
        state__in=(Delivery.State.DELIVERED, Delivery.State.EMPTY), created_at__lt=now() - KEPT
    )
    with transaction.atomic():
        old = list(ended.order_by("created_at").values_list("pk", flat=True)[:_PURGED_AT_ONCE])
        Attempt.objects.filter(delivery__in=old).delete()
        Delivery.objects.filter(pk__in=old).delete()
    return len(old)


def _are_enough() -> bool:
    """Return whether the events that wait are enough for a message, or have waited for long enough."""
    times = Event.objects.order_by("pk").values_list("created_at", flat=True)
    oldest = times.first()
    if oldest is None:
        return False
    return now() - oldest >= OLDEST_EVENT or times[payloads.MOST_SUBMISSIONS - 1 :].exists()


def _missing(webhook: str, since: datetime) -> list[UUID]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")  # it may look at all that was ever stored
        cursor.execute(_MISSING, {"webhook": webhook, "since": since})
        return [request_id for (request_id,) in cursor]


def _add(webhook: str, kind: str, items: Mapping[UUID, Item]) -> None:
    Delivery.objects.bulk_create(
        Delivery(webhook=webhook, kind=kind, request_ids=ids) for ids in payloads.packed(items)
    )


def _wants(subscription: Subscription, item: Item) -> bool:
    return not subscription.campaigns or item["campaign"] in subscription.campaigns


def _may_call(receiver: Receiver, holder: str) -> bool:
    time = now()
    is_held = receiver.held_by != holder and receiver.held_until is not None and receiver.held_until > time
    must_wait = receiver.wait_until is not None and receiver.wait_until > time
    return not (receiver.is_paused or is_held or must_wait)


def _note(delivery: Delivery, receiver: Receiver, result: Result) -> None:
    time = now()
    delivery.tries += 1
    delivery.first_tried_at = delivery.first_tried_at or time
    delivery.reason = "" if result.is_delivered else result.reason[:100]
    if result.is_delivered:
        delivery.state, delivery.ended_at = Delivery.State.DELIVERED, time
    elif delivery.tries >= MOST_TRIES or _is_refused(delivery, receiver, result.status):
        delivery.state, delivery.ended_at = Delivery.State.FAILED, time
    else:
        delivery.next_at = time + max(_spread(PAUSES[delivery.tries - 1]), _asked(result))


def _is_refused(delivery: Delivery, receiver: Receiver, status: int | None) -> bool:
    """Return whether a receiver that takes others does not take this one."""
    if status is None or not 400 <= status < 500 or status in _NOT_ITS_FAULT:
        return False
    if delivery.tries < MOST_REFUSALS or not (receiver.last_delivered_at and delivery.first_tried_at):
        return False
    return bool(receiver.last_delivered_at > delivery.first_tried_at)


def _note_health(receiver: Receiver, result: Result) -> None:
    time = now()
    receiver.held_until = time  # the call is over: any courier may make the next
    if result.is_delivered:
        was_down = receiver.failures >= BREAKER
        receiver.failures, receiver.wait_until, receiver.last_delivered_at = 0, None, time
        if was_down:
            _hasten(receiver.name)
        return
    receiver.failures += 1
    receiver.is_paused = receiver.is_paused or result.status == 410
    pause = timedelta(0)
    if receiver.failures >= BREAKER:
        pause = _spread(min(LONGEST_PAUSE, PAUSES[0] * 2 ** min(receiver.failures - BREAKER, 10)))
    receiver.wait_until = time + max(pause, _asked(result))


def _hasten(webhook: str) -> None:
    """Send now what has failed while the receiver was down: its next try may be a day away."""
    waiting = Delivery.objects.filter(webhook=webhook, state=Delivery.State.WAITING, next_at__gt=now())
    waiting.update(next_at=F("created_at"))


def _spread(seconds: float) -> timedelta:
    return timedelta(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311  not a secret


def _asked(result: Result) -> timedelta:
    return min(LONGEST_RETRY_AFTER, timedelta(seconds=result.retry_after or 0))
