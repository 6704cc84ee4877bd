"""LANDING_DIR with campaigns of a test's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from config import asgi
from landing.page import branding, rendering

CITY = """
[[fields]]
name = "name"
kind = "text"
longest = 60
fa = "نام"
en = "Name"

[[fields]]
name = "city"
kind = "choice"
required = true
choices = ["tehran", "isfahan"]
fa = "شهر"
en = "City"

[[fields]]
name = "email"
kind = "email"
fa = "ایمیل"
en = "Email"

[[fields]]
name = "news"
kind = "yes"
fa = "خبرنامه"
en = "Newsletter"
"""
NOWRUZ = f'[campaign]\nconsent = "required"\n{CITY}'
"""A campaign with a field of each kind, and consent."""


@contextmanager
def landing_dir(directory: Path, default: str = "", **campaigns: str) -> Iterator[Any]:
    """Use a LANDING_DIR with these page.toml, by slug; and give a function that changes one."""
    before = settings.LANDING_DIR
    (directory / "campaigns").mkdir(parents=True, exist_ok=True)

    def write(slug: str, text: str) -> None:
        folder = directory / "campaigns" / slug if slug else directory
        folder.mkdir(exist_ok=True)
        (folder / "page.toml").write_text(text, "utf-8")
        forget()

    write("", default)
    for slug, text in campaigns.items():
        write(slug.replace("_", "-"), text)
    settings.LANDING_DIR = str(directory)
    try:
        forget()
        yield write
    finally:
        settings.LANDING_DIR = before
        forget()


def forget() -> None:
    """Let this process read the files again, which a server never does."""
    for cached in (branding.current, branding.campaigns, rendering._pages, rendering._copy, asgi._campaigns):
        cached.cache_clear()
