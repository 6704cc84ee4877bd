"""store(): done twice, in any order or in parallel, it leaves the same rows."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import permutations
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from landing.models import Registration, StoredSubmission
from landing.storing import registrations
from landing.submission import Submission
from lib import phones

pytestmark = pytest.mark.django_db(transaction=True)

SPRING = datetime(2026, 3, 21, tzinfo=UTC)
PHONE, OTHER_PHONE = "09123456789", "09351112233"


def submission(phone_number: str = PHONE, request_id: UUID | None = None, minute: int = 0) -> Any:
    accepted_at = SPRING + timedelta(minutes=minute)
    return Submission(phone_number, str(request_id or uuid4()), "192.0.2.1", "", "", accepted_at)


def rows() -> Any:
    """All rows, without the ids and times that PostgreSQL chooses."""
    stored = StoredSubmission.objects.order_by("request_id")
    known = Registration.objects.order_by("phone_number")
    return (
        list(stored.values_list("request_id", "registration__phone_number", "accepted_at")),
        list(known.values_list("phone_number", "status", "first_seen", "last_seen")),
    )


def empty_tables() -> None:
    Registration.objects.all().delete()


def test_a_submission_is_stored_with_its_registration() -> None:
    sent = submission()
    registration_ids = registrations.store([sent])
    stored = StoredSubmission.objects.get(request_id=sent.request_id)
    assert stored.accepted_at == SPRING
    assert registration_ids == {sent.request_id: (stored.registration_id, None)}
    assert stored.registration.phone_number == PHONE
    assert stored.registration.status == Registration.Status.PENDING


def test_nothing_is_stored_of_an_empty_batch() -> None:
    assert registrations.store([]) == {}


def test_what_is_stored_twice_is_there_once() -> None:
    batch = [submission(), submission(OTHER_PHONE, minute=1)]
    first, once = registrations.store(batch), rows()
    assert registrations.store([*batch, batch[0]]) == first
    assert rows() == once


def test_the_order_of_the_batches_does_not_matter() -> None:
    sent = [
        submission(minute=2),
        submission(minute=0),
        submission(OTHER_PHONE, minute=1),
        submission(minute=1),
    ]
    sent.append(sent[0])
    outcomes = []
    for order in permutations(sent):
        empty_tables()
        registrations.store(order[:2])
        registrations.store(order[2:])
        outcomes.append(rows())
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert (len(outcomes[0][0]), len(outcomes[0][1])) == (4, 2)


def test_a_repeat_that_overtakes_the_first_leaves_the_same_rows() -> None:
    request_id = uuid4()
    first, repeat = submission(request_id=request_id), submission(request_id=request_id, minute=5)
    outcomes = []
    for batches in ([[first], [repeat]], [[repeat], [first]], [[first, repeat]], [[repeat, first]]):
        empty_tables()
        for batch in batches:
            registrations.store(batch)
        outcomes.append(rows())
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_a_registration_knows_its_first_and_its_latest_submission() -> None:
    for minute in (5, 1, 9, 3):
        registrations.store([submission(minute=minute)])
    known = Registration.objects.get()
    assert known.first_seen == SPRING + timedelta(minutes=1)
    assert known.last_seen == SPRING + timedelta(minutes=9)


def test_a_confirmed_phone_stays_confirmed_when_it_comes_again() -> None:
    registrations.store([submission()])
    Registration.objects.update(status=Registration.Status.CONFIRMED)
    registrations.store([submission()])
    assert Registration.objects.get().status == Registration.Status.CONFIRMED


def test_a_hundred_phones_in_twenty_spellings_are_a_hundred_registrations() -> None:
    numbers = [f"912{n:07}" for n in range(100)]
    prefixes = ["0", "+98", "0098", "98", ""]
    looks = [str, _in_persian, "\u200e{}\u200c".format, lambda text: f"{text[:-4]} {text[-4:]}"]
    spellings = [look(prefix + number) for number in numbers for prefix in prefixes for look in looks]
    registrations.store([submission(phones.normalise(spelling)) for spelling in spellings])
    assert (StoredSubmission.objects.count(), Registration.objects.count()) == (2000, 100)


def test_workers_that_store_the_same_phones_at_once_neither_block_nor_double_them() -> None:
    workers, rounds = 4, 10
    numbers = [f"0912{n:07}" for n in range(50)]
    batches = [[submission(number) for number in numbers] for _ in range(workers)]
    shared = [submission(number) for number in numbers]
    together = Barrier(workers)

    def store(worker: Any) -> None:
        order = numbers if worker % 2 else numbers[::-1]
        by_phone = {one.phone_number: one for one in batches[worker]}
        batch = [by_phone[number] for number in order] + (shared if worker % 2 else shared[::-1])
        try:
            together.wait(10)
            for _ in range(rounds):
                registrations.store(batch)
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(store, range(workers)))
    assert Registration.objects.count() == len(numbers)
    assert StoredSubmission.objects.count() == len(numbers) * (workers + 1)


def test_a_batch_that_is_refused_leaves_nothing_behind() -> None:
    from django.db import DataError

    with pytest.raises(DataError):
        registrations.store([submission(), submission("0912345678901234567890")])
    assert rows() == ([], [])


def test_the_returned_ids_are_those_of_the_phones() -> None:
    batch = [submission(), submission(OTHER_PHONE), submission()]
    registration_ids = registrations.store(batch)
    for one in batch:
        known = Registration.objects.get(pk=registration_ids[one.request_id].registration_id)
        assert known.phone_number == one.phone_number
    assert set(map(UUID, registration_ids)) == {UUID(one.request_id) for one in batch}


def _in_persian(text: str) -> Any:
    return text.translate({ord(str(n)): chr(0x06F0 + n) for n in range(10)})


def test_the_tables_have_the_indexes_that_something_uses_and_no_other() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename IN ('landing_registration', 'landing_submission')"
        )
        names = sorted(name for (name,) in cursor)
    assert names == [
        "landing_registration_pkey",
        "landing_submission_pkey",
        "landing_submission_registration_id_19944e8f",
        "registration_campaign",
        "registration_confirmed",
        "registration_first_seen",
        "registration_number_in_campaign",
        "registration_phone_in_campaign",
    ]


def test_a_search_for_a_beginning_uses_the_unique_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT FROM landing_registration WHERE phone_number LIKE '0912345%'")
        plan = " ".join(line for (line,) in cursor)
        cursor.execute("RESET enable_seqscan")
    assert re.search(r"registration_phone_in_campaign .*Index Cond: .*phone_number\S* >= '0912345'", plan)
