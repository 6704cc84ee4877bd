"""h2load, the closed-loop load that speaks HTTP/1.1 and HTTP/2: so many connections, each sending as soon as it is answered."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from tools.bench.wrk import LoadFailed

WARM_UP = 1
PERSON = (
    "accept-encoding: gzip, deflate, br",
    "referer: https://campaign.example/",
    "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
)


@dataclass(frozen=True)
class Target:
    """A way to the site: its name, its URL, the address that is connected to, and whether HTTP/2 is spoken there."""

    name: str
    url: str
    address: str
    http2: bool


@dataclass(frozen=True)
class Load:
    """What h2load saw. Latencies in milliseconds; refused: answers that were not wanted, and none at all."""

    requests: int
    refused: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Wanted answers in a second."""
        return (self.requests - self.refused) / self.seconds


def run(
    target: Target,
    paths: Sequence[str],
    *,
    connections: int,
    seconds: float,
    wanted: int,
    body: str = "",
    within: float = 60.0,
) -> Load:
    """Ask for the paths in turn, or with a body post it to them. Raises LoadFailed."""
    with tempfile.TemporaryDirectory() as folder:
        log, uris, data = (Path(folder, name) for name in ("log", "uris", "body"))
        uris.write_text("".join(f"{target.url}{path}\n" for path in paths))
        command = ["h2load", f"--connect-to={target.address}", f"--input-file={uris}", f"--log-file={log}"]
        command += [
            f"--clients={connections}",
            f"--duration={seconds * 1000:.0f}ms",
            f"--warm-up-time={WARM_UP}",
        ]
        command += [f"--header={one}" for one in PERSON]
        if not target.http2:
            command.append("--h1")
        if body:
            data.write_text(body)
            command += [f"--data={data}", "--header=content-type: application/json"]
        try:
            done = subprocess.run(  # noqa: S603  our own command
                command, capture_output=True, text=True, timeout=seconds + WARM_UP + within, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LoadFailed(f"h2load did not end within {error.timeout:.0f} s") from error
        answers = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
    if done.returncode or len(answers) < 2:
        raise LoadFailed(f"h2load gave no figures: {(done.stderr or done.stdout).strip()[-300:]}")
    # At the end each connection has a request under way, which stands there with no status.
    cut = sum(int(status) <= 0 for _, status, _ in answers)
    answered = [(int(status), int(took) / 1000) for _, status, took in answers if int(status) > 0]
    refused = sum(status != wanted for status, _ in answered) + max(0, cut - connections)
    times = quantiles([took for _, took in answered], n=100)
    return Load(len(answered), refused, seconds, times[49], times[98])
