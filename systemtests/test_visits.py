"""The visitors of `make bench ARGS=--compose` do what visitors do."""

from systemtests.stack import Stack
from tools.bench import visits
from tools.bench.h2load import Target


def test_a_visit_ends_when_the_visitor_is_told_to_be_registered(stack: Stack) -> None:
    target = Target("direct", stack.url, f"127.0.0.1:{stack.port}", http2=False)
    seen = visits.run(target, visitors=1, seconds=3)
    assert (seen.failed, seen.why) == (0, "")
    assert 0 < seen.done == len(seen.until_registered) <= seen.polls
