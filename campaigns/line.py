"""The line of a campaign with places: who has one, who waits, and at which position.

Each registration has a number, given by PostgreSQL in the order of arrival or by a draw, without gaps. A person is
placed if the number is at most `admitted` and not cancelled. So a place that becomes free is the next one's at once:
there is no state of a person, and nothing that promotes anybody.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

PLACED, WAITING, DECLINED, CANCELLED = "placed", "waiting", "declined", "cancelled"
STATES = (PLACED, WAITING, DECLINED, CANCELLED)


@dataclass(frozen=True)
class Line:
    """The numbers of one campaign.

    capacity: how many places there are; None: nobody has said yet, and nobody is told of a place.
    admitted: the greatest number with a place; greater than last_number while places are free.
    last_number: the last number that was given. cancelled: the numbers that were cancelled, in order.
    longest: how many may wait; None: no bound. announces: people learn their place from then on; None: at once.
    """

    capacity: int | None = None
    admitted: int = 0
    last_number: int = 0
    cancelled: tuple[int, ...] = ()
    longest: int | None = None
    announces: datetime | None = None

    def with_capacity(self, capacity: int) -> "Line":
        """Return the line with so many places. A greater capacity admits the next; a smaller one takes no place away."""
        return replace(self, capacity=capacity, admitted=self._admitted(capacity, self.cancelled))

    def without(self, number: int) -> "Line":
        """Return the line without a number: its place is the next one's."""
        cancelled = list(self.cancelled)
        if not self._is_cancelled(number):
            insort(cancelled, number)
        admitted = self.admitted if self.capacity is None else self._admitted(self.capacity, cancelled)
        return replace(self, cancelled=tuple(cancelled), admitted=admitted)

    def _admitted(self, capacity: int, cancelled: Iterable[int]) -> int:
        """Return the least number up to which `capacity` are not cancelled, but who has a place keeps it."""
        admitted = capacity
        for number in cancelled:
            if number > admitted:
                break
            admitted += 1
        return max(admitted, min(self.admitted, self.last_number))

    def state_of(self, number: int) -> str:
        """Return what has become of a number: one of STATES."""
        if self._is_cancelled(number):
            return CANCELLED
        if number <= self.admitted:
            return PLACED
        return WAITING if self.longest is None or self.position_of(number) <= self.longest else DECLINED

    def position_of(self, number: int) -> int:
        """Return the place in the queue of a number that is greater than `admitted`: 1 is the next."""
        ahead = bisect_left(self.cancelled, number) - bisect_right(self.cancelled, self.admitted)
        return number - self.admitted - ahead

    def place_of(self, number: int) -> dict[str, Any]:
        """Return what a visitor is told: state, number, and position while waiting."""
        state = self.state_of(number)
        place = {"state": state, "number": number}
        return place | {"position": self.position_of(number)} if state == WAITING else place

    @property
    def figures(self) -> dict[str, int | None]:
        """What operators are told."""
        return {
            "capacity": self.capacity,
            "numbered": self.last_number,
            "placed": self.placed,
            "waiting": self.waiting,
            "declined": self.declined,
            "cancelled": len(self.cancelled),
        }

    @property
    def placed(self) -> int:
        """How many have a place."""
        if self.capacity is None:
            return 0
        greatest = min(self.admitted, self.last_number)
        return greatest - bisect_right(self.cancelled, greatest)

    @property
    def waiting(self) -> int:
        """How many wait, those beyond the line's end not among them."""
        behind = self._behind
        return behind if self.longest is None else min(behind, self.longest)

    @property
    def declined(self) -> int:
        """How many came when the line was full."""
        return self._behind - self.waiting

    @property
    def is_full(self) -> bool:
        """Whether nobody more can have a place or wait for one."""
        if self.capacity is None or self.longest is None or self.last_number < self.admitted:
            return False
        return self._behind >= self.longest

    @property
    def _behind(self) -> int:
        return max(0, self.position_of(self.last_number + 1) - 1)

    def _is_cancelled(self, number: int) -> bool:
        at = bisect_left(self.cancelled, number)
        return at < len(self.cancelled) and self.cancelled[at] == number
