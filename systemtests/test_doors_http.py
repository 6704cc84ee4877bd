"""Over real HTTP, too, the express lane and the DRF door give the same answer.

A request that arrives whole goes to the lane straight, one that arrives in pieces through ASGI. An
Authorization header means nothing here, but sends it past the lane. So each request goes out three times.
"""

import http.client
import itertools
import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from systemtests.stack import Stack

UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The server's own words on the connection, and the time.
OF_THE_CONNECTION = {"date", "transfer-encoding", "connection"}

senders = itertools.count(1)
visible = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
bodies = st.one_of(
    st.sampled_from(
        ["09123456789", "+98 912 345 6789", "۰۹۱۲۳۴۵۶۷۸۹", "0912", "", None, 9, ["09123456789"]]
    ).map(lambda phone: json.dumps({"phone_number": phone}).encode()),
    st.sampled_from([b"", b"[]", b"{", b"{}", b"phone_number=09123456789", b"[" * 3000, b" " * 17_000]),
    st.binary(max_size=40),
)
headers = st.fixed_dictionaries(
    {"Content-Type": st.sampled_from(["application/json", "application/json; charset=utf-8", "text/plain"])},
    optional={
        "Accept": st.sampled_from(["*/*", "application/json", "text/plain;q=0.5, */*;q=0.1"]),
        "Accept-Language": st.sampled_from(["fa", "en-GB, en;q=0.8", "xx"]),
        "Origin": st.sampled_from(["https://campaign.example", "https://evil.example", "null"]),
        "Idempotency-Key": visible.map(str.strip),
        "Referer": visible.map(str.strip),
        "User-Agent": visible.map(str.strip),
        "Content-Encoding": st.sampled_from(["gzip", "identity"]),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["POST", "POST", "POST", "PUT", "OPTIONS"]),
    headers=headers,
    body=bodies,
    chunked=st.booleans(),
)
def test_both_doors_answer_alike_over_http(
    stack: Stack, method: Any, headers: Any, body: Any, chunked: Any
) -> None:
    straight = answer(stack.port, method, headers, body, chunked, whole=True)
    in_pieces = answer(stack.port, method, headers, body, chunked)
    drf = answer(stack.port, method, headers | {"Authorization": "Basic eDp5"}, body, chunked)

    assert straight == in_pieces == drf
    assert straight[0] < 500


def answer(port: int, method: Any, headers: Any, body: Any, chunked: Any, *, whole: Any = False) -> Any:
    """Status, headers and body of one answer, ids and times aside."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.connect()
    pieces: list[bytes] = []
    if whole:
        connection.send = pieces.append  # type: ignore[assignment,method-assign]
    number = next(senders)
    address = {"X-Forwarded-For": f"198.18.{number // 250 % 250}.{number % 250}"}
    encoded = {name: value.encode("latin-1") for name, value in (headers | address).items()}
    try:
        connection.request(
            method,
            "/api/register/",
            body=iter([body[:7], body[7:]]) if chunked else body,
            headers=encoded,
            encode_chunked=chunked,
        )
        connection.sock.sendall(b"".join(pieces))
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    known = {
        name.lower(): UUID.sub(b"ID", value.encode("latin-1"))
        for name, value in response.getheaders()
        if name.lower() not in OF_THE_CONNECTION
    }
    return response.status, known, UUID.sub(b"ID", text)
