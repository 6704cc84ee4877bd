"""Is everything that Breakwater leans on there, and set up so that the promise holds?"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError
from urllib.request import build_opener

from celery import current_app
from django.conf import settings
from django.core import checks
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from redis import Redis
from redis.exceptions import RedisError

from campaigns.models import CampaignRow
from confirmations import forgetting
from courier import health
from dashboard.desk import codes
from dashboard.live import codes as live_codes
from dashboard.live import copies, management_api, settings_drift
from dashboard.live.copies import Copies
from dashboard.models import ErasureRequest
from landing.keeping import queues, redis_clients
from landing.models import StoredSubmission
from landing.page import branding
from landing.storing import erasures
from lib.clock import now
from logs import utils as logs

Verdict = Literal["ok", "warning", "fault"]

TIMEOUT = 3.0
MOST_SKEW = 2.0
"""Seconds that two machines' clocks may differ before times in the stores mislead."""

NO_COURIER = 60.0
"""Seconds after which an event should long have been taken."""
PURGED_WITHIN = timedelta(days=2)
"""After what is due, the doctor waits so long for the daily purge."""
LONGEST_ASKED = timedelta(days=1)
"""How long an erasure may wait for the command that does it."""

LOOKED_AT = 200
FEWEST_VISITORS = 50
"""Registrations below which one address for all of them means nothing."""

_OUR_OWN_HOST = re.compile(r"localhost|127\..*|::1|\[::1\]")


@dataclass(frozen=True)
class Finding:
    """What one check saw. `hint` tells the next step."""

    part: str
    verdict: Verdict
    saw: str
    hint: str = ""


def examine() -> Iterator[Finding]:
    """Yield the findings of every check. A check that cannot be made is a fault, not an error."""
    for part, check in _CHECKS:
        try:
            yield from check(part)
        except (DatabaseError, RedisError, HTTPException, *queues.OUTAGES) as error:
            hint = "Is it up, and are host, port, user and password right?"
            yield Finding(part, "fault", f"does not answer: {_line(error)}", hint)
        except logs.StoreUnavailable as error:
            yield Finding(
                part, "fault", f"does not answer: {_line(error)}", "Documents are parked meanwhile."
            )


def _settings(part: str) -> Iterator[Finding]:
    messages = checks.run_checks(include_deployment_checks=False)
    for message in messages:
        verdict: Verdict = "fault" if message.level >= checks.ERROR else "warning"
        yield Finding(part, verdict, str(message.msg), str(message.hint or ""))
    if not messages:
        yield Finding(part, "ok", "no fault")


def _hosts(part: str) -> Iterator[Finding]:
    """Inside a container, "localhost" is the container itself, never another service."""
    if settings.IS_LOCAL_STACK or not Path("/.dockerenv").exists():
        yield Finding(part, "ok", "on this machine")
        return
    named = [
        *(("POSTGRES_HOST", host.name) for host in settings.POSTGRES_HOSTS),
        *(("RABBITMQ_HOST", host.name) for host in settings.RABBITMQ_HOSTS),
        ("REDIS_HOST", settings.REDIS_HOST),
        ("MONGODB_HOST", settings.MONGODB_HOST),
    ]
    own = [(name, host) for name, host in named if _OUR_OWN_HOST.fullmatch(host)]
    for name, host in own:
        hint = "Name the service instead, such as postgres or rabbitmq."
        yield Finding(part, "fault", f"{name} is {host}, this container itself", hint)
    if not own:
        yield Finding(part, "ok", "services by name")


def _postgresql(part: str) -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT version(), current_user, now()")
        version, user, time = cursor.fetchone()
        yield Finding(part, "ok", f"{version.split(' on ')[0]}, as {user}")
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            cursor.execute("SELECT current_setting(%s)", [name])
            (value,) = cursor.fetchone()
            if value == "off":
                yield Finding(
                    part, "fault", f"{name} is off: a crash loses registrations", f"Set {name} = on."
                )
    skew = abs((datetime.now(UTC) - time).total_seconds())
    if skew > MOST_SKEW:
        yield Finding(
            part, "warning", f"its clock differs by {skew:.1f} s", "Run an NTP client on both machines."
        )
    executor = MigrationExecutor(connection)
    if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        yield Finding(part, "fault", f"{len(missing)} migrations are missing", "manage.py migrate")


def _rabbitmq(part: str) -> Iterator[Finding]:
    with current_app.connection_for_read(connect_timeout=TIMEOUT) as broker:
        channel: Any = broker.default_channel
        properties: Any = broker.connection.server_properties
        yield Finding(part, "ok", f"RabbitMQ {properties.get('version')}, as {settings.RABBITMQ_USER}")
        # Nobody but a worker has a right to `confirmations`, not even to ask for it: _queue_arguments() tells of it.
        for queue in (one for one in queues.promised if one is not queues.confirmations):
            found = channel.queue_declare(queue.name, passive=True)
            dead = queue is queues.dead and found.message_count
            yield Finding(
                f"queue {queue.name}",
                "warning" if dead else "ok",
                f"{found.message_count} messages, {found.consumer_count} consumers",
                "manage.py dead_letters list" if dead else "",
            )
    if _can_log_in("guest", "guest"):
        yield Finding(part, "fault", "guest/guest can log in", "Delete the user guest.")


def _queue_arguments(part: str) -> Iterator[Finding]:
    for queue in queues.promised:
        found = management_api.queue(queue.name, TIMEOUT)["arguments"]
        wrong = {
            name: found.get(name)
            for name, value in (queue.queue_arguments or {}).items()
            if found.get(name) != value
        }
        if wrong == {"x-delivery-limit": queues.FORMER_DELIVERY_LIMIT}:
            hint = "Nothing is lost by it: they become dead letters. docs/runbook.md, The delivery limit."
            saw = f"{queue.name} was made by an older version: {wrong['x-delivery-limit']} deliveries at most"
            yield Finding(part, "warning", saw, hint)
        elif wrong:
            hint = (
                "Arguments cannot be changed: drain the queue, delete it, and run manage.py declare_queues."
            )
            yield Finding(part, "fault", f"{queue.name} has {wrong}", hint)
        else:
            yield Finding(part, "ok", f"{queue.name} as declared")
    alarms = [
        f"{node['name']}: {alarm}"
        for node in management_api.get("nodes", TIMEOUT)
        for alarm in ("mem_alarm", "disk_free_alarm")
        if node.get(alarm)
    ]
    if alarms:
        yield Finding(part, "warning", ", ".join(alarms), "Registrations go to the spool until it is over.")


def _redis(part: str) -> Iterator[Finding]:
    with redis_clients.connect(TIMEOUT) as client:
        client.get("doctor")
        server: Any = client.info() if _may(client, "INFO") else {}
    yield Finding(part, "ok", f"Redis {server.get('redis_version', '(version hidden from this user)')}")
    # Both answer what is read, and refuse every write: limits and task states are lost, and nothing else shows it.
    if server.get("role", "master") != "master":
        hint = "Let REDIS_HOST name the primary. Limits go on in each process by itself meanwhile."
        yield Finding(part, "fault", "is a replica, which takes no writes", hint)
    if server.get("cluster_enabled"):
        hint = "Use a primary with replicas; several Redis may share the limits (REDIS_LIMIT_HOSTS)."
        yield Finding(part, "fault", "is a Redis Cluster, which Celery's results cannot use", hint)
    if server.get("rdb_last_bgsave_status", "ok") != "ok":
        hint = "Free its disk, or see its log. It may refuse writes until a snapshot succeeds."
        yield Finding(part, "warning", "could not write its last snapshot", hint)


def _copies(part: str) -> Iterator[Finding]:
    """On how many disks a registration is, and what makes it fewer than the cluster could hold."""
    asks: dict[str, Callable[[], Copies]] = {
        "rabbitmq": lambda: copies.rabbitmq(TIMEOUT)[0],
        "postgresql": lambda: copies.postgresql()[0],
        "mongodb": copies.mongodb,
        "spool": copies.spool,
    }
    disks = {}
    for server, ask in asks.items():
        try:
            found = ask()
        except (DatabaseError, HTTPException, OSError, logs.StoreUnavailable) as error:
            yield Finding(part, "warning", f"{server} does not tell: {_line(error)}", "See its line above.")
        else:
            disks[server] = found.disks
            if found.warning:
                yield Finding(part, "warning", f"{server}: {found.warning}", found.hint)
    yield Finding(part, "ok", copies.sentence(disks))


def _mongodb(part: str) -> Iterator[Finding]:
    logs.find("doctor")
    yield Finding(part, "ok", f"{settings.LOGS_STORE} answers")


def _visitors(part: str) -> Iterator[Finding]:
    """A proxy that hides visitors' addresses puts one in place of all: they share one rate limit then."""
    if settings.IS_LOCAL_STACK:
        yield Finding(part, "ok", "on this machine")
        return
    latest = StoredSubmission.objects.order_by("-registration_id").values_list("pk", flat=True)[:LOOKED_AT]
    documents = logs.find_many([str(one) for one in latest])
    addresses = {str(one.get("ip_address") or "no address") for one in documents}
    if len(documents) < FEWEST_VISITORS or len(addresses) > 1:
        yield Finding(part, "ok", f"{len(addresses)} addresses in the latest {len(documents)} registrations")
        return
    hint = (
        "Docker's user-land proxy, rootless Docker, or a proxy that neither TRUSTED_PROXIES nor CDN names hides "
        "them: all visitors share one limit. docs/deployment.md, Visitors' addresses."
    )
    saw = f"the latest {len(documents)} registrations all come from {addresses.pop()}"
    yield Finding(part, "warning", saw, hint)


def _campaigns(part: str) -> Iterator[Finding]:
    """Those with places: the files say which, `migrate` begins to number them, an operator says how many places."""
    rows = {row.slug: row for row in CampaignRow.objects.all()}
    numbered = {slug for slug, row in rows.items() if row.is_numbered}
    asked = {slug for slug, campaign in branding.campaigns().items() if campaign.gives_places}
    for slug in sorted(asked - numbered):
        yield Finding(part, "fault", f"{slug} gives no numbers yet", "Run `manage.py migrate`.")
    for slug in sorted(slug for slug in numbered if rows[slug].capacity is None):
        remedy = f"Run `manage.py campaign set {slug} --capacity N`."
        yield Finding(part, "warning", f"nobody has said how many places {slug} has", remedy)
    for slug, count in erasures.due().items():
        yield Finding(
            part, "warning", f"{slug} is kept too long: {count} registrations", "Run `manage.py purge`."
        )
    if not asked - numbered:
        yield Finding(part, "ok", f"{len(rows)}, {len(numbered)} with places")


def _erasures(part: str) -> Iterator[Finding]:
    """Those asked for in the admin, which a command does: does anybody run it?"""
    waiting = ErasureRequest.objects.filter(erased_at=None)
    if late := waiting.filter(requested_at__lt=now() - LONGEST_ASKED).count():
        remedy = "Run `manage.py erase --asked` by cron."
        yield Finding(part, "warning", f"{late} were asked for more than a day ago and are not done", remedy)
        return
    yield Finding(part, "ok", f"{waiting.count()} wait")


def _codes(part: str) -> Iterator[Finding]:
    """Codes by SMS: whether anybody sends them, those who make and judge them have one key, and the old are deleted."""
    if late := forgetting.due(forgetting.KEPT + PURGED_WITHIN):
        yield Finding(part, "warning", f"{late} rows are kept too long", "Run `manage.py purge` once a day.")
    if not settings.SENDS_CODES:
        confirms = CampaignRow.objects.filter(confirms=True).values_list("slug", flat=True)
        for slug in confirms:
            yield Finding(part, "fault", f"{slug} asks for codes, and CODE_GATEWAY is off", "Name a gateway.")
        if not confirms:
            yield Finding(part, "ok", "off")
        return
    told = codes.figures()
    if told["courier"] is None:
        yield Finding(part, "fault", "no courier works: nobody gets a code", "Start `manage.py courier`.")
    if keys := live_codes.keys_that_differ():
        hint = "Give all workers and couriers one CODE_KEY."
        yield Finding(part, "fault", f"CODE_KEY differs in {', '.join(keys)}: no code would be right", hint)
    if told["held_by"]:
        fixes = {"off": "manage.py codes on", "budget": "Raise CODE_BUDGET, or wait for the next day."}
        fix = fixes.get(told["held_by"], "See the courier's log, and the gateway's own page.")
        yield Finding(part, "warning", f"held up by: {told['held_by']}", fix)
    yield Finding(part, "ok", f"{', '.join(told['gateway'])}, {told['parts_today']} parts today")


def _webhooks(part: str) -> Iterator[Finding]:
    """Webhooks: what has failed for good, which receivers are down, and whether a courier takes what is to be told."""
    found, waits = health.of_all(), health.untaken()
    if waits > NO_COURIER:
        hint = "Start `manage.py courier`. Nothing is lost meanwhile."
        yield Finding(part, "fault", f"events have waited for a courier for {waits:.0f} s", hint)
    for one in found:
        if one.failed:
            hint = "`manage.py courier replay --failed` sends them again; the admin says why they failed."
            yield Finding(part, "warning", f"{one.name}: {one.failed} messages have failed for good", hint)
        if one.is_paused:
            hint = f"It is called again after `manage.py courier test {one.name}`."
            yield Finding(part, "warning", f"{one.name} has answered 410 Gone, and is left alone", hint)
        elif one.failures:
            hint = "What waits is sent when it is back."
            yield Finding(part, "warning", f"{one.name}: {one.failures} calls in a row have failed", hint)
        if one.waiting and not one.is_listed:
            hint = "No courier has it in its webhooks.toml. Put it back, or leave them."
            yield Finding(part, "warning", f"{one.name}: {one.waiting} messages wait, and nobody sends", hint)
    yield Finding(part, "ok", ", ".join(one.name for one in found if one.is_listed) or "none")


def _spool(part: str) -> Iterator[Finding]:
    directory = Path(settings.SPOOL_DIR)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
    except OSError as error:
        yield Finding(
            part, "fault", f"{directory}: {_line(error)}", "Set SPOOL_DIR to a directory on a disk."
        )
        return
    if not os.access(directory, os.W_OK):
        yield Finding(
            part, "fault", f"{directory} cannot be written", "Give it to the user of the web server."
        )
    elif _file_system(directory) in ("tmpfs", "ramfs"):
        yield Finding(part, "fault", f"{directory} is in memory: a restart loses it", "Use a disk.")
    elif free < settings.SPOOL_QUOTA:
        hint = "Free some, or lower SPOOL_QUOTA."
        yield Finding(part, "warning", f"{free >> 20} MB free, less than SPOOL_QUOTA", hint)
    else:
        yield Finding(part, "ok", f"{directory}, {free >> 20} MB free")


def _flower(part: str) -> Iterator[Finding]:
    try:
        build_opener().open(settings.FLOWER_URL, timeout=TIMEOUT)
    except HTTPError as error:
        asks = error.code == 401
        saw = "asks for a login" if asks else f"answers {error.code}"
        yield Finding(part, "ok" if asks else "warning", saw)
    except OSError as error:
        yield Finding(part, "warning", f"does not answer: {_line(error)}", "Start it, or set FLOWER_URL.")
    else:
        yield Finding(part, "fault", "lets everybody in", "Set FLOWER_USER and FLOWER_PASSWORD.")


def _parity(part: str) -> Iterator[Finding]:
    announced = settings_drift.announcements()
    here = settings_drift.Announcement("this command", "here", os.getpid(), settings.FINGERPRINT)
    for variable, names in settings_drift.differences([*announced, here]).items():
        yield Finding(
            part, "fault", f"{variable} differs in {', '.join(names)}", "Give all processes one value."
        )
    if not settings_drift.differences([*announced, here]):
        yield Finding(part, "ok", f"{len(announced)} processes agree")


_CHECKS: list[tuple[str, Callable[[str], Iterator[Finding]]]] = [
    ("settings", _settings),
    ("hosts", _hosts),
    ("PostgreSQL", _postgresql),
    ("RabbitMQ", _rabbitmq),
    ("queues", _queue_arguments),
    ("Redis", _redis),
    ("MongoDB", _mongodb),
    ("copies", _copies),
    ("visitors", _visitors),
    ("campaigns", _campaigns),
    ("erasures", _erasures),
    ("codes", _codes),
    ("webhooks", _webhooks),
    ("spool", _spool),
    ("Flower", _flower),
    ("parity", _parity),
]


def _can_log_in(user: str, password: str) -> bool:
    url = f"amqp://{user}:{password}@{settings.RABBITMQ_HOSTS[0]}//"
    try:
        with current_app.connection_for_read(url, connect_timeout=TIMEOUT) as broker:
            broker.connect()
    except queues.OUTAGES:
        return False
    return True


def _may(client: Redis, command: str) -> bool:
    try:
        client.execute_command(command, "server")  # type: ignore[no-untyped-call]
    except RedisError:
        return False
    return True


def _file_system(directory: Path) -> str:
    """Return the type of the file system that a directory is on, where /proc tells."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    around = [mount for mount in mounts if directory.resolve().is_relative_to(mount[1])]
    return max(around, key=lambda mount: len(mount[1]), default=["", "", ""])[2]


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
