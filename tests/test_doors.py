"""The express lane and the DRF door give the same answer to any request."""

import asyncio
import gzip
import json
import re
import uuid
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from campaigns.definition import Shut
from campaigns.line import Line
from config.asgi import application
from landing.door import express, receipts
from landing.keeping import intake
from landing.page import branding, rendering
from landing.storing import backlog, lines, task_states
from landing.submission import Submission
from lib import proof_of_work
from tests.campaign_files import NOWRUZ, landing_dir

pytestmark = pytest.mark.django_db(transaction=True)

UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
PLAIN = {b"host": b"localhost", b"content-type": b"application/json"}

header_bytes = st.binary(max_size=40).filter(lambda value: not set(value) & set(b"\0\r\n"))
PATHS = [
    "/api/register/",
    *(f"/api/register/{slug}/" for slug in ("nowruz", "closed", "early", "full", "gala")),
]
phone_spellings = st.sampled_from(
    ["09123456789", "+98 912 345 6789", "۰۹۱۲۳۴۵۶۷۸۹", "0912345678", "", "9123456789", "abc", "0912345678๙"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def body_of(members: dict[str, Any]) -> bytes:
    return json.dumps(members).encode()


texts = st.sampled_from(
    ["", " علي ", "a@b.example", "a@b", "tehran", "x" * 61, "x" * 300, "a\0b", "a\u200cb", "yes"]
)
KEY = "k"


def right_proof(slug: str) -> str:
    """A proof of no bits for the first of phone_spellings, sent with KEY, which is right for as long as the tests run."""
    request_id = receipts.request_id_for(KEY, "09123456789", slug)
    with patch.object(proof_of_work, "LIFE", 86_400):
        return f"{proof_of_work.challenge(django_settings.SECRET_KEY.encode(), request_id, 0)}.0"


proofs = st.sampled_from(
    [
        *(right_proof(slug) for slug in ("default", "nowruz", "gala")),
        f"{'0' * 40}.1",
        f"{'0' * 40}.۱",
        "9" * 9000,
    ]
)
registrations = st.fixed_dictionaries(
    {"phone_number": phone_spellings},
    optional=dict.fromkeys(("name", "email", "news", "consent"), texts | json_values)
    | {
        "city": st.sampled_from(["tehran", "isfahan", "", None, 3, "shiraz"]),
        "consent": st.sampled_from([True, False, "yes", "0123456789ab", "x", None]),
        "source": st.sampled_from([{"utm_source": "sms", "x": 1}, {"gclid": "y" * 300}, [], "x", None]),
        "proof": proofs | json_values,
    },
)
bodies = st.one_of(
    registrations.map(body_of),
    registrations.map(lambda sent: body_of({"city": "tehran", "consent": True} | sent)),
    phone_spellings.map(lambda phone: json.dumps({"phone_number": phone}).encode()),
    json_values.map(lambda value: json.dumps({"phone_number": value}).encode()),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    st.just(b'{"phone_number":"09123456789"}' + b" " * 16_400),
    st.sampled_from(
        [
            b'{"phone_number":"09123456789","phone_number":"0"}',
            b'\xef\xbb\xbf{"phone_number":"09123456789"}',
            b'{"phone_number":"\\ud800"}',
            b"phone_number=09123456789",
            b'{"phone_number":NaN}',
            b"[" * 5000,
            b"",
        ]
    ),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        b"host": st.sampled_from(
            [b"localhost", b"LOCALHOST:80", b"evil.example", b"", b"[::1]:8000", b"a b"]
        ),
        b"content-type": st.sampled_from(
            [
                b"application/json",
                b"application/json; charset=utf-8",
                b"Application/JSON",
                b"application/json;charset=utf-16",
                b"application/x-www-form-urlencoded",
                b"text/plain",
                b"",
            ]
        ),
        b"accept": st.sampled_from(
            [b"*/*", b"application/json", b"text/html", b"application/json, text/plain, */*", b"x", b""]
        ),
        b"accept-language": st.sampled_from([b"fa", b"en-US,en;q=0.5", b"de, fa-IR;q=0.1", b"fax", b"*"])
        | header_bytes,
        b"origin": st.sampled_from(
            [b"https://campaign.example", b"https://campaign.example.evil", b"null", b"\xff"]
        ),
        b"referer": header_bytes,
        b"user-agent": header_bytes,
        b"idempotency-key": header_bytes | st.sampled_from([KEY.encode(), b"k" * 256]),
        b"content-encoding": st.sampled_from([b"gzip", b"identity"]),
        b"x-forwarded-for": st.sampled_from([b"192.0.2.7", b"1.1.1.1, 10.0.0.1", b"[2001:db8::1]:443", b"x"]),
        b"x-http-method-override": st.just(b"DELETE"),
        b"access-control-request-method": st.sampled_from([b"POST", b"GET", b""]),
        b"access-control-request-headers": st.sampled_from([b"content-type,idempotency-key", b"x-evil"]),
        b"x_forwarded_for": st.just(b"6.6.6.6"),
        b"cookie": header_bytes,
    },
)
requests = st.fixed_dictionaries(
    {
        "headers": headers.map(lambda some: list((PLAIN | some).items())),
        "twice": st.sampled_from([None, b"host", b"accept", b"user-agent", b"x-forwarded-for"]),
        "body": bodies,
        "cut": st.integers(0, 60),
        "query": st.sampled_from([b"", b"", b"format=api", b"utm_source=x"]),
        "method": st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "OPTIONS"]),
        "path": st.sampled_from(PATHS),
    }
)


@pytest.fixture(autouse=True, scope="module")
def _campaigns(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One that asks for much, one that is over, one that has not begun, one whose line is full, and one with places."""
    early = "[campaign]\nopens = 2099-01-01T00:00:00Z\n"
    over = "[campaign]\ncloses = 2020-01-01T00:00:00Z\n"
    directory = tmp_path_factory.mktemp("landing")
    places = "[campaign]\nplaces = true\n"
    known = {"full": Line(last_number=1, longest=0), "gala": Line(longest=0)}
    lines.note({slug: line.with_capacity(1) for slug, line in known.items()})
    with landing_dir(directory, nowruz=NOWRUZ, closed=over, early=early, full=places, gala=places):
        yield
    lines.note({})


@pytest.fixture(autouse=True)
def _no_limits() -> Any:
    with patch.object(intake.current(), "limiter", None):
        yield


@pytest.fixture(autouse=True)
def _one_time_to_wait() -> Any:
    with patch.object(backlog, "retry_after", return_value=7), patch.object(Shut, "retry_after", 7):
        yield


@pytest.fixture
def accepted() -> Any:
    """The submissions that were accepted, in order."""
    seen = []
    real = intake.Intake.accept

    def spy(self: Any, submission: Any) -> Any:
        seen.append(submission)
        return real(self, submission)

    with patch.object(intake.Intake, "accept", spy):
        yield seen


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    request={
        "headers": [*PLAIN.items(), (b"idempotency-key", b"\xd8")],
        "twice": None,
        "body": b'{"phone_number":"09123456789"}',
        "cut": 7,
        "query": b"",
        "method": "POST",
    }
)
@example(
    request={
        "headers": [*PLAIN.items(), (b"idempotency-key", KEY.encode())],
        "twice": None,
        "body": body_of({"phone_number": "09123456789", "proof": right_proof("default")}),
        "cut": 7,
        "query": b"",
        "method": "POST",
    }
)
@given(request=requests)
def test_both_doors_answer_alike(accepted: Any, request: Any) -> None:
    accepted.clear()
    first = answer(request)
    with (
        patch.object(express, "register", return_value=None),
        patch.object(express, "preflight", return_value=None),
    ):
        second = answer(request)

    assert dict_of(first) == dict_of(second)
    assert first[0] < 500
    if first[0] == 202:
        assert facts(accepted[0]) == facts(accepted[1])


@pytest.mark.parametrize("path", ["/api/register/", "/api/register/17404890-a740-4620-808f-1205fabef46d/"])
@pytest.mark.parametrize("origin", [b"https://campaign.example", b"https://evil.example"])
def test_a_preflight_never_waits_for_django(path: str, origin: bytes) -> None:
    request = {
        "headers": [
            (b"host", b"localhost"),
            (b"origin", origin),
            (b"access-control-request-method", b"POST"),
        ],
        "path": path,
        "method": "OPTIONS",
    } | {"body": b"", "query": b"", "twice": None, "cut": 0}
    with patch("config.asgi.django", side_effect=AssertionError):
        status, headers, _ = answer(request)
    assert status == 200
    assert (b"access-control-allow-headers" in headers) is (origin == b"https://campaign.example")


def test_a_plain_registration_takes_the_lane(accepted: list[Any]) -> None:
    taken = []
    real = express.register

    def spy(*args: Any) -> Any:
        taken.append(real(*args))
        return taken[-1]

    request = {"headers": list(PLAIN.items()), "body": b'{"phone_number":"09123456789"}', "query": b""}
    with patch.object(express, "register", spy):
        status, _, _ = answer(request | {"twice": None, "cut": 0, "method": "POST"})

    assert status == 202
    assert taken[0] is not None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests, task=st.sampled_from(["stored", "dead", "waiting", "foreign", "broken"]))
def test_both_doors_tell_the_same_state(request: Any, task: Any) -> None:
    request = request | {"path": f"/api/register/{TASKS[task]()}/"}
    first = answer(request)
    with patch.object(express, "poll", return_value=None):
        second = answer(request)

    assert dict_of(first) == dict_of(second)
    assert first[0] < 500


pages = requests.map(lambda request: request | {"method": "GET", "body": b"", "cut": 0})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    request=pages,
    path=st.sampled_from(["/", "/fa/", "/en/", "/de/", "/fa", "/c/nowruz/", "/c/early/fa/", "/c/nobody/en/"]),
    encoding=st.sampled_from([b"gzip, br", b"GZIP", b"br", b"xgzip", b"gzip;q=0", b""]),
)
def test_both_doors_show_the_same_page(request: Any, path: Any, encoding: Any) -> None:
    request = request | {"path": path, "headers": [*request["headers"], (b"accept-encoding", encoding)]}
    first = shown(request)
    with patch.object(rendering, "from_memory", return_value=None):
        second = shown(request)

    assert first == second


@pytest.mark.parametrize("path", ["/", "/fa/", "/en/"])
def test_a_browsers_page_comes_from_memory(path: str) -> None:
    request = {
        "headers": [(b"host", b"localhost"), (b"accept", b"text/html,*/*;q=0.8")],
        "body": b"",
        "query": b"utm_source=x",
    }
    with patch("config.asgi.django", side_effect=AssertionError):
        status, _, _ = answer(request | {"path": path, "twice": None, "cut": 0, "method": "GET"})
    assert status == 200


def test_a_page_whose_settings_are_wrong_is_left_to_django() -> None:
    rendering._copy.cache_clear()
    with patch.object(branding, "current", side_effect=ImproperlyConfigured):
        assert rendering.from_memory("/fa/", [(b"host", b"localhost")]) is None


def shown(request: dict[str, Any]) -> Any:
    """A page's answer without its ids, as it is before it is compressed."""
    status, headers, body = exact_answer(request)
    for name in (b"x-request-id", b"content-length"):
        headers.pop(name, None)
    if headers.get(b"content-encoding") == b"gzip":
        body = gzip.decompress(body)
    return status, headers, UUID.sub(b"ID", re.sub(rb'name="key" value="\w+"', b"", body))


def _task(state: Any = None) -> Any:
    task_id = receipts.request_id_for("", "09123456789")
    if state:
        task_states.write({task_id: task_states.Known(state)})
    return task_id


TASKS = {
    "stored": lambda: _task(task_states.State.STORED),
    "dead": lambda: _task(task_states.State.DEAD),
    "waiting": _task,
    "foreign": lambda: str(uuid.uuid4()),
    "broken": lambda: "0" * 36,
}


def dict_of(answer: tuple[Any, ...]) -> Any:
    status, headers, body = answer
    return {"status": status, "body": body} | headers


def facts(submission: Submission) -> Any:
    return (
        submission.phone_number,
        submission.ip_address,
        submission.referrer,
        submission.user_agent,
        submission.campaign,
        submission.details,
        submission.has_proof,
        submission.request_id if submission.request_id[14] == "8" else "new",
    )


def answer(request: dict[str, Any]) -> Any:
    """Status, headers and body of an answer, ids aside."""
    status, headers, body = exact_answer(request)
    known = UUID.sub(b"ID", body)
    if b"text/html" in headers.get(b"content-type", b""):
        known = b"a page"
        headers.pop(b"set-cookie", None)  # its CSRF token is another each time
    return status, {name: UUID.sub(b"ID", value) for name, value in headers.items()}, known


def exact_answer(request: dict[str, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(_ask(request), intake.current().loop).result(20)


async def _ask(request: Any) -> Any:
    twice = [(name, value) for name, value in request["headers"] if name == request["twice"]]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": request["method"],
        "scheme": "http",
        "path": request.get("path", "/api/register/"),
        "query_string": request["query"],
        "root_path": "",
        "headers": request["headers"] + twice,
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 8000),
    }
    cut = request["cut"]
    chunks = [request["body"][:cut], request["body"][cut:]]
    messages = iter(
        [{"type": "http.request", "body": chunk, "more_body": n == 0} for n, chunk in enumerate(chunks)]
    )
    sent = []

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start, *parts = sent
    headers = {}
    for name, value in start["headers"]:
        assert name not in headers, f"{name} twice"
        headers[name] = value
    return start["status"], headers, b"".join(part.get("body", b"") for part in parts)
