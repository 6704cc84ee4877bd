"""The Content-Security-Policy: what browsers load and run on our pages."""

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256

STRICT = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# DRF's browsable page, the API docs and Django's admin style some elements in place.
LENIENT = f"{STRICT}; style-src 'self' 'unsafe-inline'"


def allowing(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Return STRICT with exactly these texts allowed inside <style> and <script> (CSP Level 3, 2.3.1)."""
    return f"{STRICT}; style-src 'self'{_sources(styles)}; script-src 'self'{_sources(scripts)}"


def _sources(texts: Iterable[str]) -> str:
    digests = [b64encode(sha256(text.encode()).digest()).decode() for text in texts]
    return "".join(f" 'sha256-{digest}'" for digest in digests)
