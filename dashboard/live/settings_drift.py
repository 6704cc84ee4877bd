"""Do all processes run with the same settings? Each announces a fingerprint through the broker.

A worker whose password differs from the web's fails in ways that take hours to understand (the
requirement R29), so `manage.py doctor` names the variable instead.
"""

import os
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from celery import signals
from django.conf import settings

from landing.keeping import broker, queues
from landing.page import branding
from landing.storing.background import BackgroundLoop, run_in_worker

ANNOUNCE_EVERY = 60.0
"""Seconds; the queue forgets an announcement after twice that."""

PAGES = "The files in LANDING_DIR"
"""What webs must share beside their settings."""

PATIENCE = 2.0
"""Seconds for each of RabbitMQ's answers."""


@dataclass(frozen=True)
class Announcement:
    """One process and a short keyed hash of each of its settings. A process that ends says so."""

    role: str
    host: str
    pid: int
    fingerprint: Mapping[str, str]
    has_ended: bool = False

    @property
    def name(self) -> str:
        """Return what a person calls the process."""
        return f"{self.role} on {self.host} (pid {self.pid})"


def announce(role: str, pages: str = "", *, has_ended: bool = False) -> None:
    """Announce this process's settings, and a web's pages. A broker that is away is passed over: the next time will do."""
    told = settings.FINGERPRINT | ({PAGES: pages} if pages else {})
    announcement = Announcement(role, socket.gethostname(), os.getpid(), told, has_ended)
    try:
        with broker.errand(PATIENCE) as connection:
            connection.Producer().publish(
                asdict(announcement),
                exchange=queues.announcements.exchange,
                routing_key=queues.ANNOUNCEMENTS,
                serializer="json",
                delivery_mode=1,  # it is old in a minute: no disk for it
                retry=False,  # kombu would try for ever, and the next round comes anyway
            )
    except (RuntimeError, *queues.OUTAGES):
        return


def announcements() -> list[Announcement]:
    """Return what running processes have announced, the newest of each. Raises kombu's OperationalError.

    A process that was killed is among them for two minutes more.
    """
    with broker.errand(PATIENCE) as connection:
        queue = queues.announcements.bind(connection.default_channel)
        # Taken without acknowledging: closing the channel puts them back.
        taken = list(iter(queue.get, None))
    newest = {(one["host"], one["pid"]): Announcement(**one) for one in map(_payload, taken) if one}
    return [one for one in newest.values() if not one.has_ended]


def differences(announced: Sequence[Announcement]) -> dict[str, list[str]]:
    """Return each setting that differs, with the processes that differ from the largest group."""
    found = {}
    for variable in sorted({name for one in announced for name in one.fingerprint}):
        groups = defaultdict(list)
        for one in announced:
            if variable != PAGES or PAGES in one.fingerprint:  # only webs have pages
                groups[one.fingerprint.get(variable)].append(one.name)
        if len(groups) > 1:
            # The majority is taken to be right. With two processes that differ nobody can know, so one of them
            # is named; the operator compares both.
            *fewer, _ = sorted(groups.values(), key=len)
            found[variable] = [name for names in fewer for name in names]
    return found


def web_announcer() -> BackgroundLoop:
    """Return the loop by which a web process announces itself, until it ends."""
    return BackgroundLoop("settings drift", ANNOUNCE_EVERY, partial(announce, "web", branding.fingerprint()))


def end_announcing(loop: BackgroundLoop) -> None:
    """End a web's loop and say that the process has ended. Takes at most two rounds of PATIENCE or so.

    Otherwise the settings of before a restart would be told as a difference for two minutes.
    """
    loop.end()
    loop.join(2 * PATIENCE)  # a round under way would bring the process back
    announce("web", has_ended=True)


run_in_worker("settings drift", every=ANNOUNCE_EVERY)(partial(announce, "worker"))


@signals.worker_shutdown.connect(weak=False)
def _end(**_: object) -> None:
    announce("worker", has_ended=True)


def _payload(message: Any) -> dict[str, Any] | None:
    try:
        payload: dict[str, Any] = message.payload
        Announcement(**payload)
    except (ValueError, TypeError):
        return None  # not one of ours
    return payload
