"""`make test`: both suites side by side, each for servers of its own; or the tests that are named."""

import os
import signal
import subprocess
import sys
import tempfile

HALVES = ["--numprocesses=2", "--dist=loadfile"]
"""The files of each suite go to two processes of pytest-xdist: four that mostly wait fill two cores."""
NOTHING_CHOSEN = 5
"""pytest's exit status when -k leaves no test."""


def main() -> int:
    """Run them with the arguments given; show the first as it goes, the second when it has ended."""
    # A shell lets what it starts in the background ignore Ctrl-C, and so would the tests' own processes.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = sys.argv[1:]
    pytest = [sys.executable, "-m", "pytest"]
    if any(argument.startswith(("tests/", "systemtests/")) for argument in chosen):
        os.execv(pytest[0], [*pytest, *chosen])  # noqa: S606  ours
    pytest += [*HALVES, *chosen]
    with tempfile.TemporaryFile() as said:
        second = subprocess.Popen([*pytest, "systemtests"], stdout=said, stderr=subprocess.STDOUT)  # noqa: S603  ours
        first = subprocess.Popen([*pytest, "tests"])  # noqa: S603  ours
        try:
            codes = {first.wait(), second.wait()}
        except KeyboardInterrupt:
            # Both have got it too, and stop their servers.
            first.wait()
            second.wait()
            return 130
        said.seek(0)
        sys.stdout.write(said.read().decode(errors="replace"))
    failed = codes - {0, NOTHING_CHOSEN}
    return max(failed) if failed else min(codes)


if __name__ == "__main__":
    sys.exit(main())
