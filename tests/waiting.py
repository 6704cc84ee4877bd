import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[..., Any], within: float | int = 10.0) -> None:
    """Wait until the condition holds, and fail if it does not in time (seconds)."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
