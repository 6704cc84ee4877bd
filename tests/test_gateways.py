"""What each gateway is sent, and what its answers mean: above all whether an SMS may be sent again."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest
from pytest_django.fixtures import Settings

from confirmations.claims import Errand, Outcome
from courier import addresses, gateway, pace
from courier.gateway import Gateway, UnfitGateway
from lib.client_ip import Networks
from systemtests.gateway import FakeGateway, running

ERRAND = Errand(
    7, "id", "09123456789", "032681", "Your code: 032681\n\n@a.example #032681", "fa", "a.example", 1
)
PRESETS = ("kavenegar", "smsir", "ghasedak", "twilio")


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with running() as fake:
        yield fake


def preset(name: str, fake: FakeGateway, template: str = "123456") -> Gateway:
    return gateway.load(name, url=fake.url, key="k3y:t0ken", template=template, ttl=600)


def send(to: Gateway, errand: Errand = ERRAND) -> Outcome:
    async def once() -> Outcome:
        async with httpx.AsyncClient() as client:
            return await to.send(client, errand)

    return asyncio.run(once())


@pytest.mark.parametrize("name", PRESETS)
def test_an_sms_goes_out_and_the_gateways_id_is_kept(name: str, fake: FakeGateway) -> None:
    outcome = send(preset(name, fake))
    assert (outcome.kind, outcome.gateway) == ("accepted", name)
    assert outcome.message_id in ("8792343", "77", "5", "SM1")
    assert [(one.phone[-10:], one.code) for one in fake.sent] == [("9123456789", "032681")]


def test_each_gateway_is_sent_what_it_documents(fake: FakeGateway) -> None:
    for name in PRESETS:
        send(preset(name, fake))
    kavenegar, smsir, ghasedak, twilio = fake.requests
    assert kavenegar[0] == "/v1/k3y%3At0ken/verify/lookup.json"
    assert parse_qs(kavenegar[2]) == {
        "receptor": ["09123456789"],
        "template": ["123456"],
        "token": ["032681"],
    }
    assert smsir[1]["x-api-key"] == "k3y:t0ken"
    assert json.loads(smsir[2]) == {
        "mobile": "09123456789",
        "templateId": 123456,
        "parameters": [{"name": "CODE", "value": "032681"}],
    }
    assert json.loads(ghasedak[2])["receptors"] == [{"mobile": "09123456789", "clientReferenceId": "7"}]
    assert twilio[0] == "/2010-04-01/Accounts/k3y/Messages.json"
    assert twilio[1]["authorization"] == f"Basic {base64.b64encode(b'k3y:t0ken').decode()}"
    assert parse_qs(twilio[2])["To"] == ["+989123456789"]
    assert parse_qs(twilio[2])["ValidityPeriod"] == ["600"]


@pytest.mark.parametrize("name", ["kavenegar", "smsir", "twilio"])
@pytest.mark.parametrize(
    ("mode", "kind"),
    [("refuse", "refused"), ("no credit", "stop"), ("429", "not_sent"), ("500 after", "unknown")],
)
def test_an_answer_means_what_the_gateway_says(name: str, mode: str, kind: str, fake: FakeGateway) -> None:
    fake.mode = mode
    assert send(preset(name, fake)).kind == kind


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("mode", ["500 before", "500 after", "reset before", "reset after", "html"])
def test_what_may_have_been_sent_is_unknown(name: str, mode: str, fake: FakeGateway) -> None:
    fake.mode = mode
    assert send(preset(name, fake)).kind == "unknown"


def test_a_gateway_that_hangs_is_given_up_and_may_have_sent(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "TIMEOUT", 0.2)
    fake.mode = "hang"
    assert send(preset("smsir", fake)).kind == "unknown"
    assert len(fake.sent) == 1


def test_what_could_not_connect_was_not_sent(fake: FakeGateway) -> None:
    to = gateway.load("smsir", url="http://127.0.0.1:1", key="k", template="1", ttl=600)
    assert send(to) == Outcome("not_sent", "smsir", reason="ConnectError")


def test_a_redirect_is_not_followed(fake: FakeGateway) -> None:
    fake.mode = "redirect"
    assert send(preset("kavenegar", fake)).kind == "unknown"
    assert len(fake.requests) == 1


def test_no_key_no_code_and_no_number_is_in_a_reason(fake: FakeGateway) -> None:
    for mode in ("refuse", "no credit", "500 after", "reset after"):
        fake.mode = mode
        outcome = send(preset("kavenegar", fake))
        assert not any(one in str(outcome) for one in ("k3y", "032681", "9123456789"))


OWN = """
[request]
method = "GET"
url = "https://sms.example/send?to={phone}&text={text}&key={key}"

[answer]
code = "result"
success = ["OK"]
id = "nested.0.id"
"""


def test_a_file_of_ones_own_is_enough_for_another_gateway(tmp_path: Path, fake: FakeGateway) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    mine = gateway.load(str(tmp_path / "mine.toml"), url="", key="a b", template="", ttl=600)
    assert (mine.name, mine.url.partition("?")[0]) == ("mine", "https://sms.example/send")
    assert mine._outcome(200, b'{"result": "OK", "nested": [{"id": 9}]}').message_id == "9"
    assert mine._outcome(200, b'{"result": "NO"}').kind == "unknown"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("[request]", "[asks]"), "[request] is missing"),
        (("https://sms.example/send", "sms.example"), "url is no address"),
        (('method = "GET"', 'method = "PUT"'), "method"),
        (("{phone}", "{number}"), "{number} is not known"),
        (('code = "result"', ""), "code is missing"),
        (("success", "sucess"), "sucess is not known"),
        (('id = "nested.0.id"', "[answer.codes]\nnever = [1]"), "never is not known"),
        (("[answer]", "[answer"), "mine.toml"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_fault(
    change: tuple[str, str], told: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(OWN.replace(*change))
    with pytest.raises(UnfitGateway) as fault:
        gateway.load(str(tmp_path / "mine.toml"), url="", key="", template="", ttl=600)
    assert told in str(fault.value)


def test_a_gateway_that_nobody_knows_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UnfitGateway, match="kavenegar, smsir, twilio"):
        gateway.load("kavengar", url="", key="", template="", ttl=600)


def test_each_language_may_have_a_pattern(fake: FakeGateway) -> None:
    assert preset("kavenegar", fake, "fa=ver,en=ver-en").template == {"fa": "ver", "en": "ver-en"}
    with pytest.raises(UnfitGateway, match="no pattern for en"):
        preset("kavenegar", fake, "fa=ver")


def test_keys_go_by_https_or_stay_in_our_own_network(settings: Settings) -> None:
    addresses.require_allowed("https://api.example/")
    addresses.require_allowed("http://127.0.0.1:9/")
    addresses.require_allowed("http://localhost/")
    with pytest.raises(addresses.NotAllowed, match="COURIER_ALLOW"):
        addresses.require_allowed("http://192.0.2.7/")
    settings.COURIER_ALLOW = Networks(["192.0.2.0/24"])
    addresses.require_allowed("http://192.0.2.7/")


# -- Pace


@pytest.mark.parametrize(
    ("kinds", "is_down"),
    [
        (["accepted", "not_sent"], False),
        (["not_sent"] * 5, True),
        (["not_sent"] * 5 + ["accepted"], False),
        (["unknown"] * 9, False),
        (["unknown"] * 10, True),
        (["unknown"] * 10 + ["accepted"], False),
        (["accepted", "stop"], True),
        (["stop", "refused"], False),
    ],
)
def test_a_gateway_that_does_not_work_is_found_out(kinds: list[str], is_down: bool) -> None:
    now = pace.Pace(10)
    for kind in kinds:
        now.note(kind, "")
    assert now.is_down == is_down
    if is_down:
        assert (now.room(), now.room()) == (1, 0)  # a probe, and no other for five seconds


def test_too_many_halves_the_pace() -> None:
    now = pace.Pace(8)
    now.note("not_sent", "HTTP 429")
    assert now.rate == 4
