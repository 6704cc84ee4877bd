"""A web beside the stack's own, with other pages."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from systemtests.stack import ROOT, Stack, eventually, free_port


@contextmanager
def web_beside(stack: Stack, landing_dir: Path) -> Iterator[str]:
    """Run a web on the stack's servers with the pages of a LANDING_DIR; give its address."""
    port = free_port()
    own = {"LANDING_DIR": str(landing_dir), "PORT": str(port), "WEB_CONCURRENCY": "1"}
    with (landing_dir / "output").open("wb") as out:
        web = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "config.asgi:application"],
            cwd=ROOT,
            env=stack.shell | stack.settings | own,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _is_up(url), within=60)
        yield url
    finally:
        web.terminate()
        web.wait(30)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", trust_env=False).is_success
    except httpx.TransportError:
        return False
