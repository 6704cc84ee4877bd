"""What a marketer changes of the landing page, in one file, and what is said when that file is wrong."""

import gzip
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from campaigns import sources
from landing.page import branding, rendering

LOGO = '<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a page.toml and use its directory."""

    def write(text: Any) -> Any:
        (tmp_path / "page.toml").write_text(text, "utf-8")
        monkeypatch.setattr(settings, "LANDING_DIR", str(tmp_path))
        branding.current.cache_clear()
        return tmp_path

    yield write
    branding.current.cache_clear()


@pytest.fixture
def visitor() -> Any:
    return Client()


def faults() -> Any:
    return [f"{fault.msg} {fault.hint}" for fault in branding.check()]


def test_both_languages_have_the_same_names_and_the_page_as_it_comes_is_right() -> None:
    branding.current.cache_clear()
    texts = branding.current().texts
    names = {
        language: {(table, name) for table in texts[language] for name in texts[language][table]}
        for language in texts
    }
    assert names["fa"] == names["en"]
    assert branding.read(str(branding._DEFAULTS))[0] == []


def test_words_of_one_language_change_and_all_others_stay(write: Callable[..., Any], visitor: Client) -> None:
    write('[en.hero]\nheadline = "Win a <boat>"\n')
    assert faults() == []
    english, persian = (visitor.get(f"/{language}/").content.decode() for language in ("en", "fa"))
    assert "Win a &lt;boat&gt;" in english
    assert "Leave your mobile number" in english
    assert "Win a" not in persian


def test_own_colours_stand_in_the_pages_style_beside_the_defaults(
    write: Callable[..., Any], visitor: Client
) -> None:
    write('[colours]\naccent = "#7a1f5c"\n')
    shown = visitor.get("/fa/").content.decode()
    assert "--accent:#7a1f5c" in shown
    assert "--background:#f3f7f7" in shown


@pytest.mark.parametrize("path", ["/fa/", "/en/"])
def test_the_policy_names_each_style_and_script_of_the_page_and_nothing_more(
    write: Callable[..., Any], visitor: Client, path: str
) -> None:
    write('[colours]\naccent = "#7a1f5c"\n')
    answer = visitor.get(path)
    written = re.findall(
        r"<style>(.+?)</style>|<script type=\"module\">(.+?)</script>", answer.text, re.DOTALL
    )
    digests = {b64encode(sha256("".join(one).encode()).digest()).decode() for one in written}
    assert len(digests) == 3
    assert set(re.findall("'sha256-(.+?)'", answer["Content-Security-Policy"])) == digests
    assert "unsafe" not in answer["Content-Security-Policy"]


def test_the_page_fits_into_the_first_round_of_a_new_connection(
    write: Callable[..., Any], visitor: Client
) -> None:
    write("")
    ten_packets = 10 * 1460  # RFC 6928
    for path in ("/fa/", "/en/"):
        answer = visitor.get(path, headers={"Accept-Encoding": "gzip"})
        assert len(answer.content) < ten_packets - 1500  # and the headers


def test_a_logo_travels_in_the_page(write: Callable[..., Any], visitor: Client) -> None:
    (write('logo = "ours.svg"\n') / "ours.svg").write_text(LOGO)
    assert '<img class="logo" src="data:image/svg+xml;base64,' in visitor.get("/en/").content.decode()


def test_parts_are_shown_or_not_and_links_stand_in_the_foot(
    write: Callable[..., Any], visitor: Client
) -> None:
    parts = ('class="facts"', 'id="hint"', 'id="switch-language"', 'class="sea"')
    write("")
    assert all(part in visitor.get("/en/").content.decode() for part in parts)
    write(
        "[show]\nfacts = false\nhint = false\nswitch_language = false\nsea = false\n"
        '[[links]]\nurl = "https://example.com/p"\nfa = "حریم"\nen = "Privacy"\n'
    )
    shown = visitor.get("/en/").content.decode()
    assert not any(part in shown for part in parts)
    assert '<a href="https://example.com/p">Privacy</a>' in shown


@pytest.mark.django_db
def test_with_a_consent_box_nothing_is_registered_until_it_is_ticked(
    write: Callable[..., Any], visitor: Client
) -> None:
    write("[show]\nconsent = true\n")
    refused = visitor.post("/en/", {"phone_number": "09120000001"})
    assert refused.status_code == 400
    assert "Please tick the box" in refused.content.decode()
    assert 'value="09120000001"' in refused.content.decode()


WRONG = [
    ('[en.hero]\n\nheadlin = "x"\n', "line 3: [en.hero] headlin is not known", "Did you mean headline?"),
    ("[sow]\nfacts = true\n", "line 1: sow is not known", "Did you mean show?"),
    ("[show]\nfacts = 1\n", "line 2: [show] facts is of the wrong kind", "facts = true"),
    ('show = "all"\n', "line 1: show is of the wrong kind", "[show]"),
    ('[fa.form]\nlabel = " "\n', "line 2: [fa.form] label is empty", "take the line away"),
    ('[en.form]\nretrying = "in {second}"\n', "line 2: [en.form] retrying has {second}", "{seconds}"),
    ('[en.form\nlabel = "x"\n', "is not TOML", "line 1"),
    ('[colours]\naccent = "blue"\n', "line 2: [colours] accent is 'blue'", '"#0b6076"'),
    ('[colours]\naccent = "#cccccc"\n', "line 2: [colours] accent", "Make the one darker"),
    ('logo = "../../etc/passwd"\n', "line 1: logo is '../../etc/passwd'", "beside page.toml"),
    ('logo = "missing.svg"\n', "which is not there", "Put the file there"),
    ('[[links]]\nurl = "javascript:alert(1)"\nfa = "x"\nen = "x"\n', "line 2: [links] url is", "https://"),
    ('[[links]]\nurl = "/x"\n', "line 1: links has a link without", "these three"),
    ('links = ["x"]\n', "line 1: links has a link without", "these three"),
]


@pytest.mark.parametrize(("text", "what", "remedy"), WRONG)
def test_what_is_wrong_is_said_with_its_line_and_the_remedy(
    write: Callable[..., Any], text: str, what: str, remedy: str
) -> None:
    directory = write(text)
    said = "\n".join(faults())
    assert str(directory / "page.toml") in said
    assert what in said
    assert remedy in said


def test_all_that_is_wrong_is_said_at_once(write: Callable[..., Any]) -> None:
    write('logo = 7\n[show]\nfact = true\n[en.page]\ntitle = ""\n')
    assert len(faults()) == 3


def test_a_logo_that_is_too_large_is_refused(write: Callable[..., Any]) -> None:
    (write('logo = "big.png"\n') / "big.png").write_bytes(b"x" * (branding.LARGEST_LOGO + 1))
    assert re.search(r"logo is a file of 16,385 bytes", faults()[0])


def test_a_directory_without_the_file_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "LANDING_DIR", str(tmp_path / "nowhere"))
    assert "cannot be read: No such file" in faults()[0]


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize(
    "path",
    [
        "/fa",
        "/en",
        "/admin",
        "/ops",
        "/api/docs",
        "/api/schema",
        "/en/registration/17404890-a740-4620-808f-1205fabef46d",
    ],
)
def test_an_address_without_its_last_slash_leads_to_the_page(visitor: Client, method: str, path: str) -> None:
    answer = getattr(visitor, method)(f"{path}?utm_source=sms&x=%2F")
    assert (answer.status_code, answer["Location"]) == (301, f"{path}/?utm_source=sms&x=%2F")


@pytest.mark.parametrize(
    "path", ["/api/register", "/api/register/17404890-a740-4620-808f-1205fabef46d", "/de", "/fax", "/fa/x"]
)
def test_the_api_and_unknown_addresses_lead_nowhere(visitor: Client, path: str) -> None:
    answer = visitor.get(path)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/fa", "/api/register"])
def test_what_is_sent_to_an_address_without_its_last_slash_is_not_lost_on_the_way(
    visitor: Client, path: str
) -> None:
    assert visitor.post(path, {"phone_number": "09120000001"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/", "private, no-transform"), ("/fa/", "no-transform"), ("/en/", "no-transform")],
)
def test_nobody_on_the_way_rewrites_a_page_or_keeps_it_in_one_language(
    visitor: Client, path: str, asked: str
) -> None:
    host = [(b"host", b"localhost")]
    assert visitor.get(path)["Cache-Control"] == asked
    assert [
        value for name, value in rendering.from_memory(path, host).headers if name == b"cache-control"
    ] == [asked.encode()]


@pytest.mark.django_db
def test_the_same_form_sent_twice_is_one_request(visitor: Client) -> None:
    key = re.search('name="key" value="(.+?)"', visitor.get("/en/").content.decode())[1]
    sent = [visitor.post("/en/", {"phone_number": "09120000002", "key": key}) for _ in range(2)]
    other = visitor.post("/en/", {"phone_number": "09120000003", "key": key})
    assert sent[0].url == sent[1].url != other.url


def test_a_forms_key_that_is_too_long_is_refused(visitor: Client) -> None:
    assert visitor.post("/en/", {"phone_number": "09120000002", "key": "k" * 256}).status_code == 400


def test_the_example_of_the_documentation_is_right(write: Callable[..., Any], visitor: Client) -> None:
    documented = (settings.BASE_DIR / "docs/landing-page.md").read_text("utf-8")
    example = re.search(r"```toml\n(.+?)```", documented, re.DOTALL)[1]
    (write(example) / "logo.svg").write_text(LOGO)
    assert faults() == []
    assert "Be our first guest" in visitor.get("/en/").content.decode()


def test_the_embeddable_script_is_small_and_so_is_the_solver() -> None:
    script = settings.BASE_DIR / "landing/static/landing/embed.js"
    assert len(gzip.compress(script.read_bytes())) < 6_000
    assert len(gzip.compress(script.with_name("proof.js").read_bytes())) < 1_600


def test_the_script_keeps_the_same_advertisements_as_the_site() -> None:
    script = (settings.BASE_DIR / "landing/static/landing/embed.js").read_text("utf-8")
    pattern = re.search(r"const SOURCES = /(.+)/;", script)[1]
    assert all(re.match(pattern, name) for name in sources.NAMES)
    assert not any(
        re.match(pattern, name) for name in ("utm_other", "clid", "xgclid", "gclids", "phone_number")
    )
