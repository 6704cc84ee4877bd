"""Request ids: ours are recognised, nobody else's are, and a key gives the same one every time."""

import time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lib import request_ids

modest = hypothesis_settings(deadline=None, max_examples=200)

SECRET, OTHER_SECRET = b"our secret" * 5, b"another secret" * 5
PHONE, OTHER_PHONE = "09123456789", "09123456780"


def test_a_new_id_is_genuine_with_our_secret_only() -> None:
    request_id = request_ids.new(SECRET)
    assert request_ids.is_genuine(SECRET, request_id)
    assert not request_ids.is_genuine(OTHER_SECRET, request_id)


def test_new_ids_differ_and_grow_with_time() -> None:
    first = request_ids.new(SECRET)
    time.sleep(0.002)  # the clock in an id ticks in milliseconds
    second = request_ids.new(SECRET)
    assert first < second
    assert UUID(second).version == 7


def test_ids_of_one_moment_differ() -> None:
    assert len({request_ids.new(SECRET) for _ in range(1000)}) == 1000


@modest
@given(st.uuids() | st.text())
def test_a_guessed_id_is_not_genuine(guess: Any) -> None:
    assert not request_ids.is_genuine(SECRET, str(guess))


@modest
@given(st.integers(0, 127))
def test_one_changed_bit_makes_an_id_foreign(bit: Any) -> None:
    changed = UUID(int=UUID(request_ids.new(SECRET)).int ^ 1 << bit)
    assert not request_ids.is_genuine(SECRET, str(changed))


def test_a_repeat_with_the_same_key_gets_the_same_id() -> None:
    first = request_ids.from_key(SECRET, "spring", PHONE)
    assert request_ids.from_key(SECRET, "spring", PHONE) == first
    assert request_ids.is_genuine(SECRET, first)
    assert UUID(first).version == 8


KEY_7 = "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def test_a_key_that_is_a_uuid_version_7_gives_its_time_to_the_id() -> None:
    request_id = request_ids.from_key(SECRET, KEY_7, PHONE)
    assert request_id[:13] == KEY_7[:13]
    assert request_ids.made_at(request_id) == int("0197a1b2c3d4", 16) / 1000
    assert request_ids.is_genuine(SECRET, request_id)
    assert request_ids.from_key(SECRET, KEY_7, PHONE) == request_id


def test_keys_of_one_moment_and_one_key_with_two_phones_give_different_ids() -> None:
    ids = {request_ids.from_key(SECRET, f"{KEY_7[:-4]}{n:04x}", PHONE) for n in range(1000)}
    ids.add(request_ids.from_key(SECRET, KEY_7, OTHER_PHONE))
    assert len(ids) == 1001


@pytest.mark.parametrize(
    "key",
    [
        "5c1f3c0e-6f0b-4f0a-9b59-3f8f4f2b6f55",  # version 4
        "{0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b}",
        "0197a1b2c3d47e5f8a9b0c1d2e3f4a5b",
        "0197a1b2-c3d4-7e5f-ca9b-0c1d2e3f4a5b",  # another variant
        "۰197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",  # a Persian digit
        " 197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\n",
    ],
)
def test_an_id_of_another_key_has_no_time(key: str) -> None:
    request_id = request_ids.from_key(SECRET, key, PHONE)
    assert UUID(request_id).version == 8
    assert request_ids.made_at(request_id) is None


def test_a_new_id_tells_when_it_was_made() -> None:
    assert abs(request_ids.made_at(request_ids.new(SECRET)) - time.time()) < 5


def test_another_key_phone_or_secret_gives_another_id() -> None:
    ids = {
        request_ids.from_key(SECRET, "spring", PHONE),
        request_ids.from_key(SECRET, "summer", PHONE),
        request_ids.from_key(SECRET, "spring", OTHER_PHONE),
        request_ids.from_key(OTHER_SECRET, "spring", PHONE),
    }
    assert len(ids) == 4


@modest
@given(key=st.text(st.characters(exclude_categories=[])), other=st.text(st.characters(exclude_categories=[])))
def test_any_text_is_a_key_and_two_keys_never_meet(key: Any, other: Any) -> None:
    one, two = (request_ids.from_key(SECRET, text, PHONE) for text in (key, other))
    assert (one == two) is (key == other)
    assert request_ids.is_genuine(SECRET, one)


def test_a_key_cannot_pretend_to_be_anothers_phone() -> None:
    mine = request_ids.from_key(SECRET, f"x\n{PHONE}\nspring", OTHER_PHONE)
    assert mine != request_ids.from_key(SECRET, "spring", PHONE)


def test_text_that_is_no_uuid_is_none() -> None:
    assert request_ids.parse("' OR 1=1 --") is None
    assert request_ids.parse("\ud800" * 32) is None
