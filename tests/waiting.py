import time


def eventually(condition, within=10.0) -> None:
    """Wait until the condition holds, and fail if it does not in time (seconds)."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
