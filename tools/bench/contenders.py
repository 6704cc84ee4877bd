"""Who takes part, and how each is started."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Command = tuple[str, ...]
"""What follows `python -m`."""

OURS = "breakwater"
LITERAL = "document_literal"


@dataclass(frozen=True)
class Contender:
    """One way to build the same thing.

    latency_rates: requests a second in the open model. rows and documents: the table and the collection
    that hold one for each request. ids: the table whose serial numbers tell how far the workers are.
    drained: whether its workers are measured; those of the document without confirms are the document's.
    visitors: how many of its visitors at most are there at once, in the scenario of visits.
    """

    name: str
    title: str
    web: Command
    worker: Command = ()
    prepare: tuple[Command, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    queue: str = ""
    rows: str = ""
    ids: str = ""
    documents: str = ""
    drained: bool = False
    latency_rates: tuple[int, ...] = ()
    visitors: int = 0


CORES = os.cpu_count() or 1

THREADS = 4
"""In each gunicorn process of the gthread peers: 2 and 6 were about as fast, 8 and more slower."""

_PEERS = "tools.bench.peers"
_GUNICORN = ("gunicorn", "-c", "tools/bench/peers/gunicorn_conf.py")


def _asgi(app: str) -> Command:
    return (*_GUNICORN, f"{_PEERS}.{app}:app")


def _wsgi(name: str) -> Command:
    return (*_GUNICORN, f"{_PEERS}.{name}.wsgi:application")


def _gthread(settings: str, threads: int) -> dict[str, str]:
    return {
        "BENCH_WORKER_CLASS": "gthread",
        "BENCH_WORKERS": str(CORES),
        "BENCH_THREADS": str(threads),
        "DJANGO_SETTINGS_MODULE": f"{_PEERS}.{settings}.settings",
    }


_UVICORN = {"BENCH_WORKER_CLASS": f"{_PEERS}.asgi_worker.Worker", "BENCH_WORKERS": str(CORES)}
_SYNCDB = ("django", "migrate", "--run-syncdb", "--verbosity", "0")
_DOCUMENT_WORKER = (
    "celery",
    "-A",
    f"{_PEERS}.document",
    "worker",
    "-P",
    "prefork",
    "-c",
    "2",
    "-l",
    "WARNING",
)


def _document(
    name: str, title: str, confirms: str, rates: tuple[int, ...] = (), visitors: int = 0
) -> Contender:
    return Contender(
        name,
        title,
        web=_wsgi("document"),
        worker=_DOCUMENT_WORKER,
        prepare=(_SYNCDB,),
        environment=_gthread("document", THREADS) | {"BENCH_CONFIRMS": confirms},
        queue=name,
        rows="registration",
        ids="registration",
        drained=confirms == "on",
        documents="request_logs",
        latency_rates=rates,
        visitors=visitors,
    )


ALL: tuple[Contender, ...] = (
    Contender(
        OURS,
        "Breakwater",
        web=("gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application"),
        worker=("celery", "-A", "config.celery", "worker", "-P", "prefork", "-c", "2"),
        prepare=(
            ("manage", "migrate", "--verbosity", "0"),
            ("manage", "declare_queues"),
            # A page names its files by their hashes: on a fresh checkout there are none yet.
            ("local.static_files",),
        ),
        environment={
            "TRUSTED_PROXIES": "127.0.0.1",
            "RATE_LIMIT": "10/minute",
            "LANDING_DIR": str(Path(__file__).with_name("landing")),
        },
        queue="registrations",
        rows="landing_submission",
        ids="landing_registration",
        drained=True,
        documents="request_logs",
        latency_rates=(1000,),
        visitors=4000,
    ),
    _document(LITERAL, "the document, literally", "on", (1000, 200), visitors=200),
    _document("document_no_confirms", "the same without confirms (may lose)", "off"),
    Contender(
        "drf_sync",
        "Django+DRF, INSERT in the request",
        web=_wsgi("drf_sync"),
        prepare=(_SYNCDB,),
        environment=_gthread("drf_sync", THREADS),
    ),
    Contender(
        "fastapi_asyncpg",
        "FastAPI + asyncpg, upsert in the request",
        web=_asgi("fastapi_asyncpg.app"),
        prepare=((f"{_PEERS}.fastapi_asyncpg.prepare",),),
        environment=_UVICORN,
        ids="registration",
        latency_rates=(1000,),
        visitors=4000,
    ),
    Contender(
        "fastapi_aiopika",
        "FastAPI + aio-pika, a publish a request",
        web=_asgi("fastapi_aiopika.app"),
        environment=_UVICORN,
        queue="fastapi_aiopika",
        latency_rates=(1000,),
    ),
    Contender(
        "fastapi_empty",
        "limit: FastAPI that keeps nothing",
        web=_asgi("limits.fastapi_empty"),
        environment=_UVICORN,
    ),
    Contender(
        "bare_asgi",
        "limit: bare ASGI that keeps nothing",
        web=_asgi("limits.bare_asgi"),
        environment=_UVICORN,
    ),
)

BY_NAME = {contender.name: contender for contender in ALL}
