"""Runs what belongs to the intake's event loop, from a test's thread."""

import asyncio
from typing import Any

from landing.keeping import intake


def run(coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, intake.current().loop).result(30)
