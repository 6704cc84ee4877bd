"""CPU time and memory of process trees."""

from collections.abc import Iterable

import psutil

from local.processes import Child


def cpu_seconds(children: Iterable[Child]) -> float:
    """The CPU time that these processes, all that they started and all that has ended among it have used."""
    return sum(_cpu(process) for child in children for process in child.family())


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    # A process's children_ times are those of its children that have ended.
    return float(times.user + times.system + times.children_user + times.children_system)


def rss_megabytes(child: Child) -> tuple[float, float]:
    """Resident memory: of the largest process below the first (a web worker), and of all together."""
    sizes = [_rss(process) for process in child.family()]
    return max(sizes[1:] or sizes, default=0.0), sum(sizes)


def _rss(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0
