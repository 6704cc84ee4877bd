"""Where the run stands: a line that is rewritten on a terminal, a line for each step elsewhere."""

import sys
import time

from tools.bench.plan import Step


class Progress:
    """Says which step is on and how long the rest will take."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def begin(self, index: int) -> None:
        """Say that this step begins."""
        line = f"[{index + 1}/{len(self._steps)}] {self._left(index)}  {self._steps[index].title}"
        sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")

    def _left(self, index: int) -> str:
        done = sum(step.estimate for step in self._steps[:index])
        rest = sum(step.estimate for step in self._steps[index:])
        # The guesses are trusted at first, and corrected by what the steps so far have taken.
        pace = (time.monotonic() - self._started + 20) / (done + 20)
        minutes, seconds = divmod(int(rest * pace), 60)
        return f"about {minutes}:{seconds:02} left"
