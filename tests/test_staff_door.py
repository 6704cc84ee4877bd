"""The staff's door: wrong passwords and codes are limited, the right person gets in, a second factor is one."""

import itertools
import re
import time
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from dashboard.desk import login, login_limits
from dashboard.live import probes
from landing.keeping.limits import Limiter
from local.servers import Servers
from tests.rights import container_roles, rights_of
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

LOGIN, CODE, OWN = "/admin/login/", "/admin/second-factor/", "/admin/second-factor/own/"
PASSWORD = "a-right-password-of-staff"
OFFICE, HOME, STRANGER = "192.0.2.10", "198.51.100.20", "203.0.113.66"


# PostgreSQL away, and back again.
AWAY = [("stop", "start"), ("pause", "resume")]


@pytest.fixture
def boss(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser("boss", password=PASSWORD)


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _redis_in_use() -> None:
    """The limits have seen that Redis is there, whatever a test before did to it: in two places they count half."""
    for limiter in (one for one in vars(login_limits).values() if isinstance(one, Limiter)):
        eventually(lambda limiter=limiter: redis_answers(limiter))


def redis_answers(limiter: Limiter) -> bool:
    login_limits._on_loop(limiter.give_back(["nobody"]))
    return not limiter.is_alone


def log_in(
    address: str, password: str = PASSWORD, name: str = "boss", browser: Client | None = None, **headers: Any
) -> Any:
    headers |= {"x-forwarded-for": address}
    return (browser or Client()).post(LOGIN, {"username": name, "password": password}, headers=headers)


def wrong(address: str, times: int = 1, **options: Any) -> Any:
    return [log_in(address, "wrong", **options).status_code for _ in range(times)]


def deeds() -> Any:
    return list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))


def test_the_eleventh_wrong_password_from_one_address_is_refused_on_a_page_in_either_language(
    boss: User,
) -> None:
    assert wrong(STRANGER, 11) == [200] * 10 + [429]
    refused = log_in(STRANGER, **{"accept-language": "en"})
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 900
    assert refused["Content-Type"].startswith("text/html")
    assert "Too many wrong tries" in refused.content.decode()
    persian = log_in(STRANGER, **{"accept-language": "fa"}).content.decode()
    assert "تلاش‌های نادرست زیاد" in persian
    assert 'dir="rtl"' in persian


def test_the_right_person_is_let_in_from_another_address_meanwhile(boss: User) -> None:
    wrong(STRANGER, 12)
    assert log_in(HOME).status_code == 302


def test_right_passwords_do_not_count(boss: User) -> None:
    assert [log_in(OFFICE).status_code for _ in range(25)] == [302] * 25
    assert wrong(OFFICE, 11) == [200] * 10 + [429]


def test_one_address_may_not_go_through_many_accounts(boss: User) -> None:
    assert [log_in(STRANGER, name=f"account{n // 5}").status_code for n in range(31)] == [200] * 30 + [429]


def test_a_browser_that_has_logged_in_before_is_not_kept_out_by_a_neighbour_at_its_address(
    boss: User,
) -> None:
    browser = Client()
    log_in(OFFICE, browser=browser)
    browser.post("/admin/logout/")
    assert wrong(OFFICE, 11)[-1] == 429
    assert log_in(OFFICE, browser=browser).status_code == 302


def test_a_browser_is_known_to_the_account_that_it_logged_in_to_alone(
    boss: User, django_user_model: Any
) -> None:
    django_user_model.objects.create_user("helper", password=PASSWORD, is_staff=True)
    browser = Client()
    log_in(OFFICE, name="helper", browser=browser)
    wrong(OFFICE, 10)
    assert log_in(OFFICE, browser=browser).status_code == 429
    browser.cookies[login_limits.KNOWN_BROWSER] = "forged"
    assert log_in(OFFICE, browser=browser).status_code == 429


def test_many_addresses_slow_down_strangers_and_lock_nobody_out(boss: User) -> None:
    known = Client()
    log_in(OFFICE, browser=known)
    for n in range(10):
        assert wrong(f"203.0.113.{n}", 5) == [200] * 5
    assert wrong("203.0.113.100", 2) == [200, 429]
    assert log_in("203.0.113.101").status_code == 302
    assert wrong(OFFICE, 3, browser=known) == [200] * 3
    assert log_in(OFFICE, browser=known).status_code == 302


def test_changing_the_password_asks_for_the_old_one_no_more_than_that(client: Client, boss: User) -> None:
    client.force_login(boss)
    form = {"old_password": "wrong", "new_password1": "another-one-5", "new_password2": "another-one-5"}
    codes = [client.post("/admin/password_change/", form).status_code for _ in range(11)]
    assert codes == [200] * 10 + [429]


def test_a_refusal_is_in_the_audit_log_once_and_an_unknown_name_nowhere(
    boss: User, caplog: pytest.LogCaptureFixture
) -> None:
    wrong(STRANGER, 14)
    assert deeds() == ["was refused: too many wrong passwords"]
    for _ in range(12):
        log_in(HOME, name="my-secret-typed-into-the-wrong-field")
    assert len(deeds()) == 1
    assert "my-secret" not in str([record.__dict__ for record in caplog.records])
    assert "wrong password" in str([record.__dict__ for record in caplog.records])


def test_without_redis_each_process_still_limits(boss: User, servers: Servers) -> None:
    servers.redis.stop()
    try:
        assert wrong("203.0.113.200", 11) == [200] * 10 + [429]
    finally:
        servers.redis.start()


@pytest.mark.parametrize(("goes", "comes_back"), AWAY)
def test_without_postgresql_the_door_says_so_on_a_page_and_keeps_nobody_waiting(
    boss: User, servers: Servers, goes: str, comes_back: str
) -> None:
    browser = Client()
    log_in(HOME, browser=browser)
    eventually(lambda: probes.answers("postgresql", within=3))
    getattr(servers.postgres, goes)()
    time.sleep(probes.FRESH)
    try:
        for answer in (
            log_in(HOME),
            log_in(HOME, browser=browser),
            browser.get(LOGIN),
            browser.get("/admin/"),
            browser.get("/ops/"),
        ):
            assert answer.status_code == 503
            assert int(answer["Retry-After"]) > 0
            assert answer["Content-Type"].startswith("text/html")
    finally:
        getattr(servers.postgres, comes_back)()
        connection.close()
        eventually(lambda: probes.answers("postgresql", within=3))


# -- hostile names

ADDRESSES = (f"2001:db8:{n:x}::1" for n in itertools.count())


@effort(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=300), password=st.text(max_size=50))
def test_no_name_and_no_password_is_an_error_of_ours(boss: Any, name: Any, password: Any) -> None:
    answer = log_in(next(ADDRESSES), password.encode("utf-8", "replace").decode(), name=name)
    assert answer.status_code == 200


HOSTILE = [
    "\0", "a\0b", "x" * 15_000, "\u202emoc.live", "\u200fمدیر", "' OR 1=1 --", "%00", "<script>alert(1)</script>",
    "{{7*7}}", "Ω≈ç√∫", "\U0001f469\u200d\U0001f467", "\ufeff", "\u2028", "../../etc/passwd", "limit:*", "a b\tc\nd", " ",
]  # fmt: skip


@pytest.mark.parametrize("typed", HOSTILE)
def test_a_hostile_name_password_or_code_is_wrong_and_nothing_else(boss: User, typed: str) -> None:
    answer = log_in(STRANGER, name=typed)
    assert answer.status_code == 200
    assert "<script>alert" not in answer.content.decode()
    assert log_in(STRANGER, typed).status_code == 200
    browser, _ = with_device(boss)
    assert browser.post(CODE, {"code": typed}).status_code == 200


@pytest.mark.parametrize(
    "raw", [b"username=%ED%A0%80&password=x", b"username=%FF%FE&password=%C0", b"\xff\xfe=\0"]
)
def test_bytes_that_are_no_text_are_wrong_and_nothing_else(boss: User, raw: bytes) -> None:
    form = "application/x-www-form-urlencoded"
    assert Client().post(LOGIN, raw, content_type=form).status_code == 200


@pytest.mark.parametrize("page", [LOGIN, CODE, OWN])
def test_another_site_cannot_post_here(boss: User, page: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(boss)
    assert strict.post(page, {"username": "boss", "password": PASSWORD, "code": "1"}).status_code == 403


# -- the second factor


def code_of(device: Any, steps: int = 0) -> str:
    totp = TOTP(device.bin_key)
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06}"


def with_device(person: User) -> Any:
    """A browser whose password was right, and the account's device."""
    TOTPDevice.objects.filter(user=person).delete()
    device = TOTPDevice.objects.create(user=person, name="authenticator")
    browser = Client()
    browser.force_login(person)
    return browser, device


def shown_key(page: str) -> Any:
    return TOTPDevice(key=base32_to_hex(re.search(r'<code dir="ltr">([A-Z2-7 ]+)</code>', page)[1]))


def base32_to_hex(text: str) -> Any:
    from base64 import b32decode

    return b32decode(text.replace(" ", "")).hex()


def test_who_has_a_second_factor_is_asked_for_it_at_both_doors(boss: User) -> None:
    browser, device = with_device(boss)
    for page in (
        "/admin/",
        "/ops/",
        "/ops/trace/",
        "/admin/landing/registration/",
        "/admin/password_change/",
    ):
        asked = browser.get(page, follow=True)
        assert asked.redirect_chain[-1][0].startswith(CODE), page
    assert browser.get("/ops/state/").status_code == 403
    done = browser.post(f"{CODE}?next=/ops/", {"code": code_of(device)})
    assert done.status_code == 302
    assert done["Location"] == "/ops/"
    for page in ("/admin/", "/ops/", "/ops/state/"):
        assert browser.get(page).status_code == 200
    assert deeds() == ["logged in with a second factor"]


def test_a_code_may_be_typed_in_persian_digits_and_is_good_for_one_time(boss: User) -> None:
    browser, device = with_device(boss)
    code = code_of(device)
    persian = code.translate(str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"))
    assert browser.post(CODE, {"code": f" {persian[:3]} {persian[3:]}"}).status_code == 302
    again = Client()
    again.force_login(boss)
    assert again.post(CODE, {"code": code}).status_code == 200


def test_wrong_codes_are_limited_and_told_and_a_known_browser_is_not_refused_for_others(boss: User) -> None:
    browser, device = with_device(boss)
    tries = [
        browser.post(CODE, {"code": "000000"}, headers={"x-forwarded-for": STRANGER}).status_code
        for _ in range(11)
    ]
    assert tries == [200] * 10 + [429]
    assert deeds().count("entered a wrong code") == 10
    assert deeds()[-1] == "was refused: too many wrong codes"
    other = Client()
    other.force_login(boss)
    assert other.post(CODE, {"code": code_of(device)}, headers={"x-forwarded-for": HOME}).status_code == 302


def test_codes_of_an_account_are_limited_over_all_addresses_too(boss: User) -> None:
    browser, device = with_device(boss)
    known = Client()
    known.force_login(boss)
    known.post(CODE, {"code": code_of(device, -1)})
    known.session.flush()
    known.force_login(boss)
    for n in range(20):
        assert (
            browser.post(CODE, {"code": "1"}, headers={"x-forwarded-for": f"203.0.113.{n}"}).status_code
            == 200
        )
    assert browser.post(CODE, {"code": "1"}, headers={"x-forwarded-for": HOME}).status_code == 429
    assert known.post(CODE, {"code": code_of(device)}, headers={"x-forwarded-for": HOME}).status_code == 302


def test_a_second_factor_is_set_up_with_a_qr_code_and_gives_backup_codes(boss: User) -> None:
    browser = Client()
    log_in(OFFICE, browser=browser)
    page = browser.get(OWN, headers={"accept-language": "en"}).content.decode()
    assert "<svg" in page
    assert "<script>" not in page.partition("</head>")[2]
    device = shown_key(page)
    assert browser.post(OWN, {"code": "12"}).status_code == 200
    assert not TOTPDevice.objects.exists()
    codes = browser.post(OWN, {"code": code_of(device)})
    assert "no-store" in codes["Cache-Control"]
    backup = re.findall(r"<li><code>([a-z2-7]{8})</code>", codes.content.decode())
    assert len(set(backup)) == 10
    assert browser.get("/admin/").status_code == 200
    assert deeds() == ["logged in", "added a second factor", "logged in with a second factor"]
    other = Client()
    assert log_in(HOME, browser=other).status_code == 302
    assert other.get("/admin/").status_code == 302
    assert other.post(CODE, {"code": backup[0].upper()}).status_code == 302
    assert other.get("/admin/").status_code == 200
    third = Client()
    log_in(HOME, browser=third)
    assert third.post(CODE, {"code": backup[0]}).status_code == 200


def test_where_it_is_required_an_account_without_one_can_do_nothing_but_set_it_up(
    boss: User, settings: Settings
) -> None:
    settings.ADMIN_SECOND_FACTOR = "required"
    browser = Client()
    assert log_in(OFFICE, browser=browser).status_code == 302
    for page in ("/admin/", "/ops/", "/admin/auth/user/", "/admin/password_change/"):
        led = browser.get(page, follow=True)
        assert led.redirect_chain[-1][0].startswith(OWN), page
    assert browser.get("/ops/state/").status_code == 403
    assert "logged in" not in deeds()
    device = shown_key(browser.get(OWN).content.decode())
    assert browser.post(OWN, {"code": code_of(device)}).status_code == 200
    assert browser.get("/admin/").status_code == 200


def test_a_session_from_before_must_give_a_code_once_there_is_a_device(boss: User) -> None:
    old = Client()
    old.force_login(boss)
    assert old.get("/admin/").status_code == 200
    TOTPDevice.objects.create(user=boss)
    assert old.get("/admin/").status_code == 302
    assert old.post(OWN, {"code": "1", "act": "remove"})["Location"].startswith(CODE)


def test_a_session_changes_its_id_with_the_code(boss: User) -> None:
    browser, device = with_device(boss)
    before = browser.session.session_key
    browser.post(CODE, {"code": code_of(device)})
    assert browser.session.session_key != before
    thief = Client()
    thief.cookies["sessionid"] = before
    assert thief.get("/admin/").status_code == 302


def test_it_is_changed_and_removed_with_a_code_only(boss: User) -> None:
    browser, device = with_device(boss)
    browser.post(CODE, {"code": code_of(device, -1)})
    assert browser.post(OWN, {"code": "000000", "act": "remove"}).status_code == 200
    assert TOTPDevice.objects.exists()
    made = browser.post(OWN, {"code": code_of(device), "act": "codes"}).content.decode()
    [backup, *_] = re.findall(r"<li><code>([a-z2-7]{8})</code>", made)
    assert browser.post(OWN, {"code": backup, "act": "remove"}).status_code == 302
    assert not TOTPDevice.objects.exists()
    assert not StaticToken.objects.exists()
    assert deeds()[-2:] == ["made new backup codes", "removed the second factor"]


def test_keys_of_colleagues_are_nowhere_in_the_admin(admin_client: Client) -> None:
    for page in ("otp_totp/totpdevice", "otp_static/staticdevice"):
        assert admin_client.get(f"/admin/{page}/").status_code == 404


def test_the_way_back_leads_to_our_own_pages_only(boss: User) -> None:
    browser, device = with_device(boss)
    done = browser.post(f"{CODE}?next=https://evil.example/", {"code": code_of(device)})
    assert done["Location"] == "/admin/"


def test_a_colleague_who_lost_the_phone_is_let_in_by_a_command(
    boss: User, capsys: pytest.CaptureFixture[str]
) -> None:
    with_device(boss)
    call_command("remove_second_factor", "boss", "--json")
    assert '"removed": true' in capsys.readouterr().out
    assert not TOTPDevice.objects.exists()
    assert deeds() == ["lost the second factor by command"]
    for name in ("boss", "nobody"):
        with pytest.raises(CommandError) as refused:
            call_command("remove_second_factor", name)
        assert refused.value.returncode == 1


def test_the_rights_of_web_and_toolbox_in_the_container_stack_are_enough(boss: User) -> None:
    browser = Client()
    with container_roles("breakwater_web", "breakwater_worker", "breakwater_toolbox"):
        with rights_of("breakwater_web"):
            log_in(OFFICE, browser=browser)
            device = shown_key(browser.get(OWN).content.decode())
            assert browser.post(OWN, {"code": code_of(device, -1)}).status_code == 200
            other = Client()
            log_in(HOME, browser=other)
            assert other.post(CODE, {"code": code_of(device)}).status_code == 302
            assert wrong(STRANGER, 11)[-1] == 429
        with rights_of("breakwater_toolbox"):
            call_command("remove_second_factor", "boss")
    assert not TOTPDevice.objects.exists()


def test_only_what_keeps_staff_out_is_explained_so(rf: Any) -> None:
    assert login.refusal(rf.get("/admin/"), ValueError()) is None
    assert login.refusal(rf.get("/admin/"), None) is None
