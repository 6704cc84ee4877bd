"""What a marketer may change of the landing page: every word, the colours, the logo, what is shown.

texts/ has the defaults: page.toml, and the words in fa.toml and en.toml. A page.toml in LANDING_DIR
overrides them; its words are under [fa.…] and [en.…]. That of a campaign, campaigns/SLUG/page.toml, lies over
both. Faults in them are system checks.
Checked by our own code: a schema library names no line, and not the next step.
"""

import logging
import re
import tomllib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.template.loader import render_to_string
from rcssmin import cssmin
from rjsmin import jsmin

from campaigns import definition
from campaigns.definition import DEFAULT, LANGUAGES, Campaign, Fault, Table
from landing.door import registering
from lib import content_policy

log = logging.getLogger(__name__)

FILE, FOLDER = "page.toml", "campaigns"
LARGEST_LOGO = 16 * 1024
"""Bytes. The logo travels inside the page, so that it costs no request of its own."""
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, level AA."""

_DEFAULTS = Path(__file__).parent / "texts"
_EMBED = Path(__file__).parents[1] / "static/landing/embed.js"
_EMBEDS_FORM = "  // ── The form of a page hosted elsewhere"
"""Where the part of the script begins that our own page does without: it must fit into the first packets."""
_SCRIPT = Path(__file__).parents[1] / "templates/landing/page.js"
_LOGO_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}
_MAY_BE_EMPTY = {"logo", "lead", "fact_1", "fact_2", "fact_3", "hint", "hint_good", "footer"}
_LINK = {"url", "fa", "en"}
# Text and its background, as page.css pairs them; #… is a colour that page.css fixes.
_PAIRS = [
    ("accent_ink", "accent"),
    ("accent", "#ffffff"),
    ("#0c2530", "background"),
    ("#48616c", "background"),
    ("accent_ink_dark", "accent_dark"),
    ("accent_dark", "#0f252e"),
    ("#eaf3f4", "background_dark"),
    ("#a3bac2", "background_dark"),
]


@dataclass(frozen=True)
class Inline:
    """Style and scripts inside the page, so that one round trip brings all but the font, and their content policy."""

    style: str
    scripts: tuple[str, str]
    policy: str


@dataclass(frozen=True)
class Page:
    """A campaign's page: its texts by language, and the rest of page.toml."""

    campaign: Campaign
    texts: dict[str, Table]
    show: dict[str, bool]
    colours: dict[str, str]
    links: list[dict[str, str]]
    logo: str
    """A data: address, or "" for the mark of the product."""
    inline: Inline


@cache
def current(slug: str = DEFAULT) -> Page:
    """Return a campaign's page as LANDING_DIR has it.

    Raises ImproperlyConfigured, with every fault, when its page.toml cannot be used.
    """
    faults, values = read(settings.LANDING_DIR, slug)
    if faults:
        said = "\n".join(f"  {error.msg} {error.hint}" for error in faults)
        raise ImproperlyConfigured(f"The landing page's settings are wrong:\n{said}")
    style = cssmin(render_to_string("landing/page.css", values))
    embed, _, _ = _EMBED.read_text("utf-8").partition(_EMBEDS_FORM)
    scripts = (jsmin(f"{embed}}})();"), jsmin(_SCRIPT.read_text("utf-8")))
    return Page(
        campaign=values["campaign"],
        texts={language: values[language] for language in LANGUAGES},
        show=values["show"],
        colours=values["colours"],
        links=values["links"],
        logo=_data_address(Path(values["logo"])) if values["logo"] else "",
        inline=Inline(style, scripts, content_policy.allowing([style], scripts)),
    )


@cache
def campaigns() -> Mapping[str, Campaign]:
    """Return the campaigns by their slugs, those whose page.toml can be used.

    The default one is always there: a wrong page.toml must not keep a phone number out.
    """
    found = {DEFAULT: registering.PLAIN}
    for slug in slugs(settings.LANDING_DIR):
        faults, values = read(settings.LANDING_DIR, slug)
        if faults:
            said = [str(fault.msg) for fault in faults]
            log.critical("a campaign is left out", extra={"campaign": slug, "reason": said})
        else:
            found[slug] = values["campaign"]
    return found


def slugs(directory: str) -> list[str]:
    """Return the slugs of LANDING_DIR: the default campaign, and each folder in campaigns/ that has a fit name."""
    return [DEFAULT, *(folder.name for folder in _folders(directory) if not _unfit_slug(folder))]


def _folders(directory: str) -> list[Path]:
    parent = Path(directory, FOLDER)
    return sorted(one for one in parent.iterdir() if one.is_dir()) if directory and parent.is_dir() else []


def _directory_of(directory: str, slug: str) -> Path:
    return Path(directory) if slug == DEFAULT else Path(directory, FOLDER, slug)


def fingerprint() -> str:
    """Return a short hash of all that LANDING_DIR says, by which two webs can be compared."""
    said = blake2b(digest_size=6)
    for slug in slugs(settings.LANDING_DIR):
        file = _directory_of(settings.LANDING_DIR, slug) / FILE
        said.update(f"{slug}\n".encode())
        if settings.LANDING_DIR and file.is_file():
            said.update(file.read_bytes())
    return said.hexdigest()


def check(**_: Any) -> list[checks.CheckMessage]:
    found = [error for folder in _folders(settings.LANDING_DIR) for error in _unfit_slug(folder)]
    for slug in slugs(settings.LANDING_DIR):
        found += read(settings.LANDING_DIR, slug)[0]
    return list(found)


def read(directory: str, slug: str = DEFAULT) -> tuple[list[checks.Error], Table]:
    """Return what is wrong with a campaign's page.toml, and the defaults with it over them.

    Among these `campaign` is its Campaign, and `logo` a path or "".
    """
    faults: list[checks.Error] = []
    values: Table = _defaults() | {"campaign": {}, "fields": []}
    if directory:
        faults, values = _read_over(values, Path(directory))
    if slug != DEFAULT:
        faults, values = _read_over(values, _directory_of(directory, slug))
    consents = {language: values[language]["form"]["consent"] for language in LANGUAGES}
    zone = settings.DISPLAY_TIME_ZONE
    campaign = definition.made_of(slug, values["campaign"], values["fields"], consents, zone)
    return faults, values | {"campaign": campaign}


def _unfit_slug(folder: Path) -> list[checks.Error]:
    if definition.SLUG.fullmatch(folder.name) and folder.name not in definition.RESERVED:
        return []
    remedy = "Name it with 2 to 31 small letters, digits and -, a letter first, and not default or rehearsal."
    return [_error(f"{folder} is no name of a campaign.", remedy)]


def _read_over(under: Table, directory: Path) -> tuple[list[checks.Error], Table]:
    """Return what is wrong with a directory's page.toml, and the values with it over them, or as they are."""
    path = directory / FILE
    try:
        source = path.read_text("utf-8")
        own = tomllib.loads(source)
    except OSError as error:
        remedy = "LANDING_DIR names a directory with a page.toml that the web server may read."
        return [_error(f"{path} cannot be read: {error.strerror}.", remedy)], under
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        remedy = 'A line is name = "words", a section is [name]; write it in UTF-8.'
        return [_error(f"{path} is not TOML: {error}.", remedy)], under
    asked = {name: own.pop(name) for name in ("campaign", "fields") if name in own}
    faults = list(_unfit(own, under, ()))
    faults += definition.unfit(asked.get("campaign", {}), asked.get("fields", []), settings.DISPLAY_TIME_ZONE)
    merged = _merge(under, own | asked) if not faults else under
    faults += [*_unfit_links(merged["links"]), *_unfit_logo(directory, own.get("logo", ""))]
    faults += _unfit_colours(merged["colours"])
    if own.get("logo") and not faults:
        merged = merged | {"logo": str(directory / own["logo"])}
    return [_error(_said(path, source, fault), fault.remedy) for fault in faults], merged


@cache
def _defaults() -> Table:
    page = tomllib.loads((_DEFAULTS / FILE).read_text("utf-8"))
    words = {name: tomllib.loads((_DEFAULTS / f"{name}.toml").read_text("utf-8")) for name in LANGUAGES}
    return {"links": []} | page | words


def _merge(under: Table, over: Table) -> Table:
    both = {name: _merge(under[name], value) for name, value in over.items() if isinstance(value, dict)}
    return under | over | both


def _unfit(own: Table, known: Table, place: tuple[str, ...]) -> Iterator[Fault]:
    for name, value in own.items():
        here = (*place, name)
        if name not in known:
            close = get_close_matches(name, known, 1)
            remedy = f"Did you mean {close[0]}?" if close else f"Here can stand: {', '.join(known)}."
            yield Fault(here, "is not known", remedy)
        elif not isinstance(value, type(known[name])):
            yield Fault(
                here, "is of the wrong kind", f"Write it as in this line: {_example(name, known[name])}"
            )
        elif isinstance(value, dict):
            yield from _unfit(value, known[name], here)
        elif isinstance(value, str):
            yield from _unfit_words(value, known[name], here)


def _unfit_words(value: str, known: str, place: tuple[str, ...]) -> Iterator[Fault]:
    if not value.strip() and place[-1] not in _MAY_BE_EMPTY:
        yield Fault(place, "is empty", "Write something, or take the line away: the default then stands.")
    for name in set(re.findall(r"\{(\w*)\}", value)) - set(re.findall(r"\{(\w+)\}", known)):
        yield Fault(place, f"has {{{name}}}, which nothing fills", f"As it was: {known}")


def _unfit_links(links: list[Any]) -> Iterator[Fault]:
    for link in links:
        if not (
            isinstance(link, dict)
            and set(link) == _LINK
            and all(isinstance(one, str) and one.strip() for one in link.values())
        ):
            yield Fault(
                ("links",), "has a link without url, fa or en", "Each [[links]] has these three, as text."
            )
        elif not re.match(r"(https?://|mailto:|tel:|/)", link["url"]):
            yield Fault(
                ("links", "url"), f"is {link['url']!r}", "Start it with https://, mailto:, tel: or /."
            )


def _unfit_logo(directory: Path, name: Any) -> Iterator[Fault]:
    if not name or not isinstance(name, str):
        return  # of the wrong kind, which has been said
    path = directory / name
    if Path(name).name != name or path.suffix not in _LOGO_TYPES:
        remedy = "Name a file beside page.toml that ends in .svg, .png or .webp."
        yield Fault(("logo",), f"is {name!r}", remedy)
    elif not path.is_file():
        yield Fault(
            ("logo",), f"names {path}, which is not there", "Put the file there, or correct the name."
        )
    elif (size := path.stat().st_size) > LARGEST_LOGO:
        remedy = f"Make it smaller than {LARGEST_LOGO:,}: it travels with each page."
        yield Fault(("logo",), f"is a file of {size:,} bytes", remedy)


def _unfit_colours(colours: Table) -> Iterator[Fault]:
    wrong = [name for name, value in colours.items() if not re.fullmatch("#[0-9a-fA-F]{6}", value)]
    for name in wrong:
        yield Fault(("colours", name), f"is {colours[name]!r}", 'Write it as "#0b6076".')
    for ink, ground in _PAIRS if not wrong else ():
        contrast = _contrast(colours.get(ink, ink), colours.get(ground, ground))
        if contrast < LEAST_CONTRAST:
            name, other = (ink, ground) if ink in colours else (ground, ink)
            what = f"has a contrast of {contrast:.1f} with {other}: {LEAST_CONTRAST} is the least that all can read"
            yield Fault(("colours", name), what, "Make the one darker or the other lighter.")


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2 between two colours, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _data_address(path: Path) -> str:
    return f"data:{_LOGO_TYPES[path.suffix]};base64,{b64encode(path.read_bytes()).decode()}"


def _example(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"[{name}]"
    if isinstance(value, list):
        return f"[[{name}]]"
    return f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}"


def _said(path: Path, source: str, fault: Fault) -> str:
    place = tuple(map(str, fault.place))
    *tables, name = place
    where = f"[{'.'.join(tables)}] {name}" if tables else name
    line = _line_of(source, place)
    return f"{path}{f', line {line}' if line else ''}: {where} {fault.what}."


def _line_of(source: str, place: tuple[str, ...]) -> int:
    """Return the line where a name is set, 0 if it is written in a way that this does not see."""
    table = ""
    seen = 0
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.-]+)\s*\]", line):
            path = header[1]
            if path == "fields" and "[[" in line:  # they are counted: fields.3 is the third [[fields]]
                seen += 1
                path = f"fields.{seen}"
            table = f"{path}."
        else:
            path = table + line.partition("=")[0].strip()
        if path == ".".join(place):
            return number
    return 0


def _error(what: str, remedy: str) -> checks.Error:
    return checks.Error(what, hint=remedy, id="breakwater.E003")
