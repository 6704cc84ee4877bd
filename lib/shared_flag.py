"""A flag that forked children see when their parent sets it, without a signal or a pipe."""

import mmap


class SharedFlag:
    """Made before the fork, in memory that parent and children share."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Raise the flag for good."""
        self._byte[0] = 1

    def is_set(self) -> bool:
        """Return whether somebody has raised it."""
        return self._byte[0] == 1
