"""The way out of a 429: a proof of work. A registration that carries one is neither counted nor refused by the limit.

Many people may share one address, behind a carrier's NAT. The limit then refuses most of them, and a proof lets them
in. It belongs to one request_id: sent twice it is the same registration, so no store of used proofs is needed.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.conf import settings

from lib import metrics, proof_of_work

LEAST_BITS, MOST_BITS = 16, 22
"""Zero bits. A page on a slow phone finds 16 within a second, and 22 in about ten seconds."""

MOST_COUNTED = 50_000
"""Names that one Counts remembers; the least recent are forgotten first."""


class Challenge(NamedTuple):
    """What a refused sender may solve. text: see lib/proof_of_work.py. bits: the zero bits that its proof begins with."""

    text: str
    bits: int


class Challenges:
    """The challenges of one process, for a limit of so many registrations in `period` seconds.

    Each process counts refusals for itself, in its memory, so that a refusal costs no call to Redis.
    """

    def __init__(self, limit: int, period: int) -> None:
        self._limit = limit
        self._refusals = Counts(period)
        self._repeats = Counts(period)

    def make(self, sender: str, request_id: str) -> Challenge:
        """Return a challenge for a registration of this sender, which has been refused just now."""
        bits = self._bits(self._refusals.add(sender))
        return Challenge(proof_of_work.challenge(_secret(), request_id, bits), bits)

    def lets_in(self, request_id: str) -> bool:
        """Return whether a registration with a right proof may pass, and count it if so.

        The same one passes as often as the limit says: a proof must not let a flood of repeats into the queue.
        """
        if self._repeats.add(request_id) > self._limit:
            return False
        metrics.count("let_in_by_proof")
        return True

    def _bits(self, refusals: int) -> int:
        doublings = (refusals // self._limit).bit_length() - 1
        return min(MOST_BITS, LEAST_BITS + max(0, doublings))


class Counts:
    """Counts by name, each from its first time on for `period` seconds, then again from 0."""

    def __init__(self, period: int) -> None:
        self._period = period
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, name: str) -> int:
        """Count a name once more; return how often it was counted in its period."""
        now = time.monotonic()
        since, count = self._counts.pop(name, (now, 0))
        if now - since >= self._period:
            since, count = now, 0
        self._counts[name] = since, count + 1
        if len(self._counts) > MOST_COUNTED:
            self._counts.popitem(last=False)
        return count + 1


def has_proof(sent: Mapping[str, Any], request_id: str) -> bool:
    """Return whether a registration was sent with a right proof. Anything else that was sent as one is as none."""
    return "proof" in sent and proof_of_work.is_right(_secret(), request_id, sent["proof"])


def _secret() -> bytes:
    return settings.SECRET_KEY.encode()
