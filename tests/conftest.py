"""Real servers for the tests: started once, emptied before each test, ended at the end."""

import functools
import importlib
import logging
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

import django
import pytest
from amqp.exceptions import AMQPError
from django.conf import settings
from django.db import connections

from local import servers as local_servers
from tests.waiting import eventually

STATE_DIR = Path(tempfile.mkdtemp(prefix="breakwater-tests-"))
running: local_servers.Servers


def pytest_configure(config: Any) -> None:
    global running  # noqa: PLW0603  one set of servers for the session
    if _only_hands_out(config):
        return
    # WhiteNoise warns when nothing was ever collected here, and some tests compare what a command prints.
    (Path(__file__).parents[1] / "staticfiles").mkdir(exist_ok=True)
    running = local_servers.start(STATE_DIR)
    os.environ.update(running.environment())
    os.environ.update(
        STATE_DIR=str(STATE_DIR),
        DJANGO_SETTINGS_MODULE="config.settings",
        SECRET_KEY=secrets.token_urlsafe(50),
        CORS_ALLOWED_ORIGINS="https://campaign.example",
        TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8",
        SPOOL_DIR=str(STATE_DIR / "spool"),
        # Which of its two homes a registration takes first is not for a test to know.
        SPOOL_SHARE="0.3",
        REDIS_TIMEOUT="1",
        PUBLISH_TIMEOUT="2",
        SPOOL_TIMEOUT="2",
    )
    django.setup()
    # As the timeouts above: a machine that is busy with tests is no outage.
    status = importlib.import_module("landing.door.status")
    status.DEADLINE = 5.0
    # Log lines are written in a thread, past pytest's capture: caplog has them for the tests that look.
    logging.getLogger().handlers = []
    # A thread that kept its connection would keep the test database from being dropped.
    connections.settings["default"]["CONN_MAX_AGE"] = 0
    # Nobody attacks the tests' passwords, and no file of the pages changes: neither may cost each test half a second.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.WHITENOISE_AUTOREFRESH = True
    # The pages' files need no collecting here.
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"


def pytest_unconfigure(config: Any) -> None:
    if _only_hands_out(config):
        return
    running.stop()
    shutil.rmtree(STATE_DIR, ignore_errors=True)


def _only_hands_out(config: Any) -> bool:
    """Whether this is the process of pytest-xdist that runs no test."""
    return bool(config.getoption("dist", "no") != "no")


@pytest.fixture
def servers() -> Any:
    """The servers, for tests that stop and start one."""
    return running


@pytest.fixture(autouse=True)
def _empty_stores() -> None:
    """No test sees what another left in the queues, in the spool, in Redis or in MongoDB."""
    from django.core.cache import cache

    eventually(_empty_queues, within=30)
    _empty_spool()
    _forget_campaigns()
    redis, request_logs = _clients()
    redis.flushdb()
    request_logs.delete_many({})
    cache.clear()


@functools.cache
def _clients() -> Any:
    """Connections that are kept: to log in anew for each of a thousand tests would take minutes."""
    from pymongo import MongoClient
    from redis import Redis

    login = {"username": settings.MONGODB_USER, "password": settings.MONGODB_PASSWORD}
    mongo: MongoClient[Any] = MongoClient(settings.MONGODB_HOST, settings.MONGODB_PORT, **login)
    return Redis.from_url(settings.REDIS_URL), mongo[settings.MONGODB_DB]["request_logs"]


def _forget_campaigns() -> None:
    """Their rows go with each test, which never happens elsewhere."""
    from campaigns.definition import DEFAULT, DEFAULT_ID
    from landing.storing import registrations

    registrations._campaign_ids = {DEFAULT: DEFAULT_ID}
    registrations._numbered_ids = set()
    registrations._spares = False


def _empty_spool() -> None:
    from landing.keeping import intake

    process = intake._intake
    if process and process.spool.own:
        process.spool.own.delete(process.spool.own.oldest(1_000_000))


def _empty_queues() -> bool:
    """Empty the queues; a broker that a test has just restarted lets in before its queues are up."""
    from celery import current_app

    from landing.keeping import queues

    try:
        with current_app.connection_for_write() as connection:
            queues.declare(connection)
            queues.declare_confirmations(connection)
            for queue in (queues.live, queues.dead, queues.announcements, queues.confirmations):
                queue.bind(connection.default_channel).purge()
    except (AMQPError, OSError):
        return False
    return True
