"""The gunicorn worker class."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):  # type: ignore[misc]  # it has no type hints
    """uvicorn under gunicorn, as we want it.

    proxy_headers is off, since lib/client_ip.py reads X-Forwarded-For, once and by the settings.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": "config.protocol:Protocol",
        "lifespan": "on",
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
    }
