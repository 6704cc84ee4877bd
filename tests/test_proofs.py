"""The way out of a 429: a right proof of work lets a registration in, once, and nothing else does."""

import itertools
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from campaigns.definition import DEFAULT
from landing.door import express, receipts
from landing.keeping import intake, proofs, queues
from landing.keeping.limits import Limiter
from landing.keeping.proofs import Challenges, Counts
from landing.models import Registration, StoredSubmission
from lib import proof_of_work
from tests.campaign_files import landing_dir
from tests.intake_loop import run
from tests.messages import depth, drain_spool
from tests.test_doors import exact_answer
from tests.waiting import eventually
from tests.workers import worker

SECRET, SUBJECT, OTHER = (
    b"our secret" * 7,
    "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
    "0197a1b2-c3d4-7e5f-8a9b-0c1d2e000000",
)


def solved(challenge: dict[str, Any] | str, bits: int | None = None) -> str:
    """The first proof of a challenge; with `bits` the first that has just so many zero bits and no more."""
    text, wanted = (
        (challenge, bits or 0) if isinstance(challenge, str) else (challenge["text"], challenge["bits"])
    )
    for counter in itertools.count():
        zeros = 256 - int.from_bytes(sha256(f"{text}.{counter}".encode()).digest()).bit_length()
        if zeros == bits or (bits is None and zeros >= wanted):
            return f"{text}.{counter}"
    raise AssertionError


# -- The proof itself


def test_a_proof_is_right_for_its_subject_and_with_the_secret_only() -> None:
    proof = solved({"text": proof_of_work.challenge(SECRET, SUBJECT, 8), "bits": 8})
    assert proof_of_work.is_right(SECRET, SUBJECT, proof)
    assert not proof_of_work.is_right(SECRET, OTHER, proof)
    assert not proof_of_work.is_right(b"another", SUBJECT, proof)


def test_a_real_challenge_of_16_bits_is_solved_and_taken() -> None:
    text, bits = Challenges(10, 60).make("203.0.113.7", SUBJECT)
    assert bits == 16
    assert len(text) == 40
    assert proofs.has_proof({"proof": solved({"text": text, "bits": bits})}, SUBJECT)


def test_the_code_of_the_documentation_finds_a_proof() -> None:
    documented = (settings.BASE_DIR / "docs/api.md").read_text("utf-8")
    names: dict[str, Any] = {}
    exec(re.search(r"```python\n(.+?)```", documented, re.DOTALL)[1], names)
    proof = names["solve"](proof_of_work.challenge(SECRET, SUBJECT, 12), 12)
    assert proof_of_work.is_right(SECRET, SUBJECT, proof)


def test_one_zero_bit_too_few_is_no_proof() -> None:
    text = proof_of_work.challenge(SECRET, SUBJECT, 8)
    assert not proof_of_work.is_right(SECRET, SUBJECT, solved(text, 7))
    assert proof_of_work.is_right(SECRET, SUBJECT, solved(text, 8))


def test_a_proof_is_right_for_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    proof = f"{proof_of_work.challenge(SECRET, SUBJECT, 0)}.0"
    now = time.time()
    monkeypatch.setattr(proof_of_work.time, "time", lambda: now + 118)
    assert proof_of_work.is_right(SECRET, SUBJECT, proof)
    monkeypatch.setattr(proof_of_work.time, "time", lambda: now + 121)
    assert not proof_of_work.is_right(SECRET, SUBJECT, proof)


@given(st.integers(0, 159))
def test_one_changed_bit_of_a_challenge_makes_it_foreign(bit: int) -> None:
    text = proof_of_work.challenge(SECRET, SUBJECT, 0)
    changed = (int(text, 16) ^ 1 << bit).to_bytes(20).hex()
    assert proof_of_work.is_right(SECRET, SUBJECT, f"{text}.0")
    assert not proof_of_work.is_right(SECRET, SUBJECT, f"{changed}.0")


def test_parts_of_two_challenges_make_no_third() -> None:
    one, other = (proof_of_work.challenge(SECRET, SUBJECT, bits) for bits in (0, 1))
    for cut in range(2, 40, 2):
        spliced = one[:cut] + other[cut:]
        if spliced not in (one, other):
            assert not proof_of_work.is_right(SECRET, SUBJECT, solved({"text": spliced, "bits": 1}))
    # What moves from the challenge into the subject, or back, fits nowhere.
    assert not proof_of_work.is_right(SECRET, SUBJECT[1:], f"{one}.0")


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, [], {}, ["x"], "", ".", "x", "." * 99, "0" * 40, "0" * 16_000, f"{'0' * 40}.",
    f"{'0' * 40}.{'9' * 13}", f"{'0' * 40}.-1", f"{'0' * 40}.+1", f"{'0' * 40}. 1", f"{'0' * 40}.1\n", f"{'0' * 40}.1.1",
    f"{'0' * 40}.۱", f"{'0' * 40}.１", f"{'۰' * 40}.1", f"{'0' * 40}.1\0", "\ud800", f"{'A' * 40}.1", f"{'f' * 40}.1",
]  # fmt: skip


@pytest.mark.parametrize("proof", HOSTILE, ids=lambda value: repr(value)[:24])
def test_what_is_no_proof_is_as_none(proof: Any) -> None:
    assert not proof_of_work.is_right(SECRET, SUBJECT, proof)


@pytest.mark.parametrize(
    "spelling", ["{}.٠", "{}.０", "{}.-0", "{}.0 ", " {}.0", "{}.0\n", "{}.", "{}.0.0", "{}.0x0"]
)
def test_a_right_challenge_with_another_spelling_of_its_counter_is_no_proof(spelling: str) -> None:
    text = proof_of_work.challenge(SECRET, SUBJECT, 0)
    assert proof_of_work.is_right(SECRET, SUBJECT, f"{text}.0")
    assert not proof_of_work.is_right(SECRET, SUBJECT, spelling.format(text))


# -- How hard it is


def test_the_bits_grow_by_one_with_each_doubling_of_the_refusals_up_to_22() -> None:
    challenges = Challenges(10, 60)
    bits = [challenges.make("203.0.113.7", SUBJECT).bits for _ in range(3000)]
    first = {wanted: bits.index(wanted) + 1 for wanted in range(16, 23)}
    assert first == {16: 1, 17: 20, 18: 40, 19: 80, 20: 160, 21: 320, 22: 640}
    assert bits == sorted(bits)
    assert challenges.make("203.0.113.8", SUBJECT).bits == 16


def test_the_bits_are_as_at_first_again_after_the_period(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    challenges = Challenges(1, 60)
    assert [challenges.make("203.0.113.7", SUBJECT).bits for _ in range(4)] == [16, 17, 17, 18]
    monkeypatch.setattr(proofs.time, "monotonic", lambda: now + 61)
    assert challenges.make("203.0.113.7", SUBJECT).bits == 16


def test_refusals_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "MOST_COUNTED", 3)
    counts = Counts(60)
    assert [counts.add(name) for name in "aabcda"] == [1, 2, 1, 1, 1, 1]
    assert len(counts._counts) == 3


# -- Over HTTP, at both doors

pytestmark = pytest.mark.django_db(transaction=True)
SENDER = "203.0.113.7"


@pytest.fixture(autouse=True)
def _a_little_work(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How hard it is changes nothing else."""
    if "door" in request.fixturenames:
        monkeypatch.setattr(proofs, "LEAST_BITS", 4)


@pytest.fixture(autouse=True)
def _campaigns(tmp_path: Path) -> Iterator[None]:
    with landing_dir(tmp_path, nowruz="[campaign]\n"):
        yield


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    """Ten a minute, and nobody has registered yet."""

    async def made() -> Limiter:
        return Limiter(limit=10, period=60, timeout=2)

    limiter = run(made())
    with patch.object(intake.current(), "limiter", limiter):
        yield limiter
    run(limiter.close())


class Door:
    """Sends registrations from one address."""

    def post(self, phone: str, key: str = "", slug: str = DEFAULT, **more: Any) -> tuple[int, dict[str, Any]]:
        path = "/api/register/" if slug == DEFAULT else f"/api/register/{slug}/"
        headers = [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"x-forwarded-for", SENDER.encode()),
        ]
        if key:
            headers.append((b"idempotency-key", key.encode()))
        body = orjson.dumps({"phone_number": phone, **more})
        asked = {
            "headers": headers,
            "body": body,
            "path": path,
            "method": "POST",
            "query": b"",
            "cut": 0,
            "twice": None,
        }
        status, _, answer = exact_answer(asked)
        return status, orjson.loads(answer)

    def refuse(self, phone: str, key: str = "", slug: str = DEFAULT) -> dict[str, Any]:
        """Use up the limit; return the challenge of this registration."""
        for n in range(11):
            self.post(f"0935{n:07}", f"used up {n}")
        status, problem = self.post(phone, key, slug)
        assert (status, problem["code"]) == (429, "rate_limited")
        challenge: dict[str, Any] = problem["challenge"]
        return challenge


@pytest.fixture(params=["express lane", "Django"])
def door(request: pytest.FixtureRequest, limiter: Limiter) -> Iterator[Door]:
    if request.param == "express lane":
        yield Door()
    else:
        with through_django():
            yield Door()


def through_django() -> Any:
    return patch.object(express, "register", return_value=None)


PHONE, OTHER_PHONE, KEY = "09123456789", "09123456780", "a key"


def test_a_proof_lets_the_refused_registration_in(door: Door) -> None:
    proof = solved(door.refuse(PHONE, KEY))
    status, receipt = door.post(PHONE, KEY, proof=proof)
    assert (status, receipt["task_id"]) == (202, receipts.request_id_for(KEY, PHONE))


@pytest.mark.usefixtures("limiter")
def test_a_challenge_of_one_door_is_solved_at_the_other() -> None:
    door = Door()
    here = solved(door.refuse(PHONE, KEY))
    with through_django():
        there = solved(door.refuse(OTHER_PHONE, KEY))
        assert door.post(PHONE, KEY, proof=here)[0] == 202
    assert door.post(OTHER_PHONE, KEY, proof=there)[0] == 202


@pytest.mark.usefixtures("limiter")
def test_both_doors_refuse_in_the_same_words() -> None:
    door = Door()
    door.refuse(PHONE, KEY)
    said = []
    for way in (nullcontext(), through_django()):
        with way:
            status, problem = door.post(PHONE, KEY)
        assert problem["challenge"].keys() == {"text", "bits"}
        assert re.fullmatch("[0-9a-f]{40}", problem["challenge"].pop("text"))
        said.append((status, problem | {"request_id": ""}))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("phone", "key", "slug"),
    [
        (OTHER_PHONE, KEY, DEFAULT),
        (PHONE, "another key", DEFAULT),
        (PHONE, "", DEFAULT),
        (PHONE, KEY, "nowruz"),
    ],
    ids=["phone", "key", "no key", "campaign"],
)
def test_a_proof_lets_no_other_registration_in(door: Door, phone: str, key: str, slug: str) -> None:
    proof = solved(door.refuse(PHONE, KEY))
    status, problem = door.post(phone, key, slug, proof=proof)
    assert status == 429
    assert problem["challenge"]["text"] not in proof


def test_a_proof_of_a_campaign_is_good_there_and_not_in_the_default_one(door: Door) -> None:
    proof = solved(door.refuse(PHONE, KEY, "nowruz"))
    assert door.post(PHONE, KEY, proof=proof)[0] == 429
    assert door.post(PHONE, KEY, "nowruz", proof=proof)[0] == 202


def test_without_a_key_a_proof_never_fits(door: Door) -> None:
    proof = solved(door.refuse(PHONE))
    assert door.post(PHONE, proof=proof)[0] == 429


def test_a_proof_that_has_ended_lets_nobody_in(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with patch.object(proof_of_work, "LIFE", -1):
        proof = solved(door.refuse(PHONE, KEY))
    assert door.post(PHONE, KEY, proof=proof)[0] == 429


def test_too_little_work_lets_nobody_in(door: Door) -> None:
    challenge = door.refuse(PHONE, KEY)
    assert door.post(PHONE, KEY, proof=solved(challenge["text"], challenge["bits"] - 1))[0] == 429


def test_a_challenge_that_was_made_easier_lets_nobody_in(door: Door) -> None:
    text = door.refuse(PHONE, KEY)["text"]
    assert door.post(PHONE, KEY, proof=f"{text[:8]}00{text[10:]}.0")[0] == 429


@pytest.mark.parametrize(
    "proof", [*HOSTILE[:8], "9" * 9000, f"{'0' * 40}.٠"], ids=lambda value: repr(value)[:24]
)
def test_a_hostile_proof_is_as_none(door: Door, proof: Any) -> None:
    assert door.post(PHONE, KEY, proof=proof)[0] == 202
    door.refuse(OTHER_PHONE, KEY)
    assert door.post(OTHER_PHONE, KEY, proof=proof)[0] == 429


def test_a_proof_that_comes_again_gives_the_same_receipt_and_no_second_row(door: Door) -> None:
    proof = solved(door.refuse(PHONE, KEY))
    answers = [door.post(PHONE, KEY, proof=proof) for _ in range(3)]
    assert [status for status, _ in answers] == [202] * 3
    assert answers[0] == answers[1] == answers[2]


def test_one_proof_brings_no_flood_of_repeats_into_the_queue(door: Door) -> None:
    proof = solved(door.refuse(PHONE, KEY))
    statuses = [door.post(PHONE, KEY, proof=proof)[0] for _ in range(30)]
    assert statuses == [202] * 10 + [429] * 20


def test_a_registration_with_a_proof_takes_no_place_of_the_limit(door: Door, limiter: Limiter) -> None:
    proof = (
        f"{proof_of_work.challenge(settings.SECRET_KEY.encode(), receipts.request_id_for(KEY, PHONE), 0)}.0"
    )
    assert door.post(PHONE, KEY, proof=proof)[0] == 202
    statuses = [door.post(f"0935{n:07}", f"key {n}")[0] for n in range(11)]
    assert statuses == [202] * 10 + [429]


def test_other_refusals_have_no_challenge(door: Door) -> None:
    assert "challenge" not in door.post("0912", KEY)[1]


def test_of_200_people_behind_one_address_all_are_stored_once(door: Door) -> None:
    people = {f"0912{n:07}": f"key {n}" for n in range(200)}

    def register(phone: str) -> int:
        status, answer = door.post(phone, people[phone])
        if status == 429:
            proof = solved(answer["challenge"])
            assert [door.post(phone, people[phone], proof=proof)[0] for _ in range(2)] == [202, 202]
        return status

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(register, people)) == {202: 10, 429: 190}
    drain_spool()
    with worker():
        eventually(lambda: StoredSubmission.objects.count() >= 200, within=60)
        eventually(lambda: depth(queues.live) == 0, within=60)
    assert StoredSubmission.objects.count() == Registration.objects.count() == 200
