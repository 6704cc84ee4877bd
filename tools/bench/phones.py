"""Phone numbers of which no two are the same in a run: see load.lua."""

STEP, ALL = 6_180_339_887, 10_000_000_000
"""Without a common divisor, so that the walk by steps comes to every number once."""

SEEDED_FROM = 1_000_000_000
"""The place in the walk from which the rows that are there beforehand have their numbers."""

_next = 0


def take(count: int) -> int:
    """Reserve this many places of the walk and return the number to go on from."""
    global _next
    first, _next = _next, _next + count
    return first * STEP % ALL


def after(number: int) -> int:
    """Return the number that follows in the walk."""
    return (number + STEP) % ALL


def spelled(number: int) -> str:
    """Return a number as a phone number."""
    return f"0{number:010}"
