"""Why a registration was not kept. Nothing was promised to its sender."""

import random

from landing.keeping.proofs import Challenge

RETRY_AFTER = (3.0, 8.0)
"""Seconds that a sender is asked to wait when nothing could be promised: jittered, so that a wave
of refused senders does not come back as one wave."""


class TooManyRequests(Exception):
    """The sender has used up its limit. Nothing was kept.

    retry_after: seconds. challenge: with its proof the same registration need not wait.
    """

    def __init__(self, retry_after: float, challenge: Challenge) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
        self.challenge = challenge


class Unavailable(Exception):
    """Nothing is promised: neither broker nor spool could keep it in time, or too many were waiting.

    It may be stored all the same, by a broker that was only slow; the ids make that harmless. Each
    sender gets an exception of its own, since the time to wait is drawn anew for each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.retry_after = random.uniform(*RETRY_AFTER)  # noqa: S311  not a secret
