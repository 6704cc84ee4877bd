"""On how many disks what was promised is, asked of the servers themselves.

A cluster that was set up halfway looks healthy: a queue with one member on three nodes, a standby that
is not waited for. Only a fault shows it then, and it is too late.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.error import HTTPError

from django.conf import settings
from django.db import connection

from dashboard.live import management_api
from landing.keeping import queues
from logs import utils as logs

_REPLICATION = """
SELECT current_setting('synchronous_commit'),
       current_setting('synchronous_standby_names'),
       count(*) FILTER (WHERE state = 'streaming' OR state IS NULL),
       count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')),
       (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'),
       pg_has_role('pg_read_all_stats', 'USAGE')
FROM pg_stat_replication
"""
"""The states of other users' connections are NULL without the role pg_read_all_stats."""


@dataclass(frozen=True)
class Copies:
    """What one server tells. disks: on how many what it has acknowledged is, at the least.

    members: servers that should have a copy. missing: those of them that are not there now.
    warning, hint: what makes it fewer copies than could be, and the next step.
    """

    disks: int
    members: int
    missing: int = 0
    warning: str = ""
    hint: str = ""


def rabbitmq(timeout: float) -> tuple[Copies, int]:
    """Return the copies of a confirmed registration, and how many messages consumers hold unacknowledged.

    timeout: seconds for each node. Raises OSError or HTTPException if the management API does not answer.
    """
    found = [management_api.queue(queue.name, timeout) for queue in (*queues.lives, queues.dead)]
    least = min(found, key=lambda queue: len(queue.get("members", [])))
    members, online = least.get("members", [""]), least.get("online", [""])
    nodes, missing = _nodes(timeout), len(members) - len(online)
    warning = hint = ""
    if nodes > len(members):
        warning = f"{least['name']} has {len(members)} of {nodes} nodes for members"
        hint = f"rabbitmq-queues grow NODE all, for each node that has none of {least['name']}."
    elif missing:
        warning = f"{missing} of {len(members)} members of {least['name']} are away"
        hint = "Bring the nodes back: a majority of the members must confirm."
    copies = Copies(len(members) // 2 + 1, len(members), missing, warning, hint)
    return copies, sum(
        int(one.get("messages_unacknowledged", 0)) for one in found if one["name"] != queues.DEAD
    )


def _nodes(timeout: float) -> int:
    """Return how many nodes the cluster has; 0 if this process's user may not know."""
    try:
        return len(management_api.get("nodes", timeout))
    except HTTPError:
        return 0


def postgresql() -> tuple[Copies, int]:
    """Return the copies of a stored row, and how many sessions wait for a synchronous standby now."""
    with connection.cursor() as cursor:
        cursor.execute(_REPLICATION)
        commit, names, standbys, synchronous, waiting, may_see = cursor.fetchone()
    wanted = waited_for(names) if commit in ("on", "remote_apply") else 0
    warning = hint = ""
    if wanted and not may_see:
        synchronous = wanted
        warning = "this user may not see which standbys are there"
        hint = "GRANT pg_read_all_stats TO the user: docker/postgres/roles.sh does."
    elif wanted > synchronous:
        warning = f"{synchronous} of {wanted} synchronous standbys are there: rows wait"
        hint = "Bring the standby back, or take it out of synchronous_standby_names: rows are on fewer disks then."
    elif standbys and not wanted:
        warning = f"{standbys} standbys, and none is waited for: a fail-over loses the newest rows"
        hint = "Set synchronous_standby_names = 'ANY 1 (*)' and synchronous_commit = on."
    missing = max(0, wanted - synchronous)
    return Copies(1 + wanted, 1 + max(standbys, wanted), missing, warning, hint), waiting


def waited_for(names: str) -> int:
    """Return how many standbys a commit waits for, by PostgreSQL's setting synchronous_standby_names."""
    if not names.strip():
        return 0
    counted = re.match(r"\s*(?:ANY|FIRST)?\s*(\d+)\s*\(", names, re.IGNORECASE)
    return int(counted[1]) if counted else 1


def mongodb() -> Copies:
    """Return the copies of a document. Raises StoreUnavailable."""
    members, missing = logs.members()
    warning = f"{missing} of {members} members are away" if missing else ""
    return Copies(members // 2 + 1, members, missing, warning, "Bring them back." if missing else "")


def spool() -> Copies:
    """Return the copies of a registration that RabbitMQ has not confirmed."""
    return Copies(int(settings.SPOOL_MODE == "here"), 1)


def sentence(disks: Mapping[str, int]) -> str:
    """Return in words on how many disks a registration is, by the server that holds it."""
    confirmed, stored = disks.get("rabbitmq", "?"), disks.get("postgresql", "?")
    spooled = f"a spooled one on {disks['spool']}" if disks["spool"] else "and nothing is spooled"
    return f"a 202 is on {confirmed} disk{'' if confirmed == 1 else 's'}, a stored row on {stored}, {spooled}"
