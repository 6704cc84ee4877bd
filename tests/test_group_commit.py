"""Group commit: what arrives during one commit goes into the next."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lib.group_commit import GroupCommit, Overloaded


def run(scene: Callable[..., Any]) -> Any:
    """Play a scene; one that hangs fails."""
    return asyncio.run(asyncio.wait_for(scene(), 5))


class Disk:
    """Commits when it is told to, and remembers each group."""

    def __init__(self, **options: Any) -> None:
        self.groups: list[list[str]] = []
        self.turning = asyncio.Event()
        self.turning.set()
        self.commits: GroupCommit[str, str] = GroupCommit(
            self.commit, **{"size": 100, "waiting": 100} | options
        )

    async def commit(self, group: list[int] | list[str]) -> Any:
        self.groups.append(list(group))
        await self.turning.wait()
        return [f"{item} kept" for item in group]

    async def send(self, *items: Any) -> Any:
        """Start one sender for each item, and let each take its place."""
        senders = [self.commits.submit(item) for item in items]
        for _ in range(9):
            await asyncio.sleep(0)
        return senders


def test_alone_a_sender_waits_for_nobody() -> None:
    async def scene() -> Any:
        disk = Disk()
        assert await disk.commits.submit("a") == "a kept"
        assert await disk.commits.submit("b") == "b kept"
        return disk.groups

    assert run(scene) == [["a"], ["b"]]


def test_a_pace_lets_a_group_grow() -> None:
    async def scene() -> Any:
        disk = Disk(pace=0.05, enough=100)
        senders = [*await disk.send("a"), *await disk.send("b"), *await disk.send("c")]
        await asyncio.gather(*senders)
        return disk.groups

    assert run(scene) == [["a"], ["b", "c"]]


def test_enough_senders_do_not_wait_for_the_pace() -> None:
    async def scene() -> Any:
        disk = Disk(pace=60.0, enough=3)
        senders = [*await disk.send("a"), *await disk.send("b", "c"), *await disk.send("d")]
        await asyncio.gather(*senders)
        return disk.groups

    assert run(scene) == [["a"], ["b", "c", "d"]]


def test_what_comes_during_a_commit_goes_into_the_next() -> None:
    async def scene() -> Any:
        disk = Disk()
        disk.turning.clear()
        senders = await disk.send("a")
        senders += await disk.send("b", "c", "d")
        assert disk.groups == [["a"]]
        disk.turning.set()
        assert await asyncio.gather(*senders) == ["a kept", "b kept", "c kept", "d kept"]
        return disk.groups

    assert run(scene) == [["a"], ["b", "c", "d"]]


def test_a_group_is_never_larger_than_its_size() -> None:
    async def scene() -> Any:
        disk = Disk(size=3)
        await asyncio.gather(*await disk.send(*range(8)))
        return disk.groups

    assert run(scene) == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_who_finds_no_room_is_refused_at_once_and_the_others_are_kept() -> None:
    async def scene() -> Any:
        disk = Disk(waiting=2)
        disk.turning.clear()
        senders = await disk.send("a")
        senders += await disk.send("b", "c")
        with pytest.raises(Overloaded):
            await disk.commits.submit("d")
        disk.turning.set()
        await asyncio.gather(*senders)
        return disk.groups

    assert run(scene) == [["a"], ["b", "c"]]


def test_an_outcome_that_is_an_error_reaches_its_sender_only() -> None:
    async def refuse_b(group: Any) -> Any:
        return [ValueError(item) if item == "b" else item for item in group]

    async def scene() -> Any:
        commits = GroupCommit(refuse_b, size=9, waiting=9)
        return await asyncio.gather(*map(commits.submit, "abc"), return_exceptions=True)

    first, refused, last = run(scene)
    assert (first, last) == ("a", "c")
    assert isinstance(refused, ValueError)


@pytest.mark.parametrize("failure", [OSError("the disk is gone"), asyncio.CancelledError()])
def test_a_commit_that_fails_is_told_to_all_its_senders_and_the_next_group_is_tried(failure: Any) -> None:
    failures = [failure]

    async def fail_once(group: Any) -> Any:
        if failures:
            raise failures.pop()
        return group

    async def scene() -> Any:
        commits = GroupCommit(fail_once, size=2, waiting=9)
        senders = map(commits.submit, "abc")
        return await asyncio.gather(*senders, return_exceptions=True)

    *failed, last = run(scene)
    assert all(isinstance(error, Exception) for error in failed)
    assert last == "c"


def test_a_sender_that_goes_away_harms_nobody() -> None:
    async def scene() -> Any:
        disk = Disk()
        disk.turning.clear()
        first, gone, last = await disk.send("a", "b", "c")
        gone.cancel()
        disk.turning.set()
        return await asyncio.gather(first, last)

    assert run(scene) == ["a kept", "c kept"]
