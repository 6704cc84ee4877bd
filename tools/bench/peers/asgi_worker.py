"""The worker class of every ASGI peer: the server of config/server.py, with uvicorn's own httptools protocol."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):  # type: ignore[misc]  # it has no type hints
    """uvicorn under gunicorn with uvloop and httptools, without an access log."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": "httptools",
        "lifespan": "auto",
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
    }
