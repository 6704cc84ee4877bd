"""Any number of ids in order, in little memory: sorted in parts on the disk, merged as they are read."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import Any

PART = 100_000
"""Ids sorted in memory at once: about 10 MB."""


def in_order(ids: Iterable[str]) -> Iterator[str]:
    """Read all ids now, and return them in order, each once."""
    ids = iter(ids)
    parts = []
    while part := sorted(set(islice(ids, PART))):
        # A last, small part stays in memory: most runs compare fewer ids than one part holds.
        parts.append(part if len(part) < PART // 10 else _on_disk(part))
    return (same for same, _ in groupby(heapq.merge(*parts)))


def aligned(*streams: Iterable[str]) -> Iterator[tuple[str, list[int]]]:
    """Walk ordered streams side by side: yield each id, and how often each stream has it."""
    merged = heapq.merge(*(_numbered(ids, number) for number, ids in enumerate(streams)))
    for one, found in groupby(merged, key=itemgetter(0)):
        counts = [0] * len(streams)
        for _, number in found:
            counts[number] += 1
        yield one, counts


class Pile:
    """Ids put aside in the order they come, in memory while they are few."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._file: Any = SpooledTemporaryFile(max_size=1 << 20, mode="w+")  # noqa: SIM115  closed when it is forgotten
        self._count = 0
        for one in ids:
            self.add(one)

    def add(self, one: str) -> None:
        self._file.write(f"{one}\n")
        self._count += 1

    def __del__(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        # One reader at a time: two would share the position in the file.
        self._file.seek(0)
        for line in self._file:
            yield line[:-1]

    def batches(self, size: int = 1000) -> Iterator[list[str]]:
        """Yield them in lists of at most `size`."""
        ids = iter(self)
        while batch := list(islice(ids, size)):
            yield batch


def _numbered(ids: Iterable[str], number: int) -> Iterator[tuple[str, int]]:
    return ((one, number) for one in ids)


def _on_disk(part: Sequence[str]) -> Iterator[str]:
    file = TemporaryFile("w+", prefix="breakwater-ids-")  # noqa: SIM115  closed when the iterator is forgotten
    file.writelines(f"{one}\n" for one in part)
    return _lines(file)


def _lines(file: Any) -> Iterator[str]:
    with file:
        file.seek(0)
        for line in file:
            yield line[:-1]
