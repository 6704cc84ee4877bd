"""Disks that can be filled and lose their power: ext4 in a file, mounted in a namespace of our own.

What a process has written and not synced is in the kernel's memory and not in the file, so a copy of
the file is what a power cut leaves.
"""

import contextlib
import os
import subprocess
import time
from pathlib import Path

from tools.drills import room

# The kernel syncs nothing by itself for as long as a drill goes on.
_OPTIONS = "loop,noatime,commit=600,noinit_itable"


class Disk:
    """One disk, mounted at a directory."""

    def __init__(self, place: Path, megabytes: int) -> None:
        self.place = place
        self.image = place.with_name(f"{place.name}.disk")
        with self.image.open("wb") as file:
            file.truncate(megabytes * 1_000_000)
        quick = "lazy_itable_init=1,lazy_journal_init=1"
        room.run("mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=16", "-E", quick, str(self.image))
        place.mkdir()
        self.mount()
        (place / "lost+found").rmdir()  # initdb wants an empty directory

    def mount(self) -> None:
        """Put the disk in its place."""
        room.run("mount", "-o", _OPTIONS, str(self.image), str(self.place))

    def unmount(self) -> None:
        """Take it away; whoever was just killed may hold it for a moment."""
        for _ in range(50):
            with contextlib.suppress(subprocess.CalledProcessError):
                room.run("umount", str(self.place))
                return
            time.sleep(0.1)
        room.run("umount", "--lazy", str(self.place))

    def photograph(self) -> Path:
        """Copy what is on the platters, between two writes: nobody may be writing for long."""
        copy = self.image.with_suffix(".copy")
        for _ in range(20):
            writes = self._writes()
            room.run("cp", "--sparse=always", str(self.image), str(copy))
            if self._writes() == writes:
                return copy
        raise OSError(f"{self.image} does not come to rest")

    def replace(self, photograph: Path) -> None:
        """Go on with what the photograph shows; the disk is not mounted."""
        photograph.replace(self.image)

    def sync(self) -> None:
        """Bring everything to the platters."""
        room.run("sync", "--file-system", str(self.place))

    def fill(self) -> None:
        filler = os.open(self.place / "filler", os.O_WRONLY | os.O_CREAT)
        size = os.statvfs(self.place).f_bavail * os.statvfs(self.place).f_bsize
        with contextlib.suppress(OSError):
            os.posix_fallocate(filler, 0, size)
        with contextlib.suppress(OSError):
            end = os.lseek(filler, 0, os.SEEK_END)
            while True:
                end += os.pwrite(filler, bytes(4096), end)
        os.close(filler)

    def empty(self) -> None:
        (self.place / "filler").unlink(missing_ok=True)

    def _writes(self) -> list[str]:
        """What the kernel has counted of writes and flushes."""
        told = room.run("losetup", "--noheadings", "--output", "NAME", "--associated", str(self.image))
        fields = Path("/sys/class/block", Path(told.strip()).name, "stat").read_text().split()
        return fields[4:7] + fields[15:16]
