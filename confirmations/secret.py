"""CODE_KEY, which workers and the courier have, and nobody else."""

import hmac
from datetime import datetime
from hashlib import blake2b

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def key() -> bytes:
    """Return CODE_KEY. Raises ImproperlyConfigured if this process has none, or a short one."""
    if not settings.HAS_CODE_KEY:
        raise ImproperlyConfigured(
            "CODE_KEY has fewer than 32 characters. Set it, or CODE_KEY_FILE, to the same in every worker and courier:\n"
            '  python3 -c "import secrets; print(secrets.token_urlsafe(50))"'
        )
    return str(settings.CODE_KEY).encode()


def group_key(group: str, at: datetime) -> bytes:
    """Return 8 bytes that stand for an address group on one day, and are no address."""
    return hmac.digest(key(), f"{at:%Y-%m-%d} {group}".encode(), "sha256")[:8]


def fingerprint() -> str:
    """Return a short hash of CODE_KEY, "" without one: equal where the key is equal."""
    return blake2b(b"fingerprint", key=key()[:64], digest_size=6).hexdigest() if settings.HAS_CODE_KEY else ""
