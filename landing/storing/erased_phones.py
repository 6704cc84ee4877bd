"""The hash by which somebody who was erased is known again."""

from functools import cache
from hashlib import blake2b

from django.conf import settings

SIZE = 16
"""Bytes of a hash."""


def hash_of(phone_number: str) -> bytes:
    """Return 16 bytes that stand for a phone number, and tell it to nobody without SECRET_KEY."""
    return blake2b(phone_number.encode(), key=_key(), digest_size=SIZE).digest()


@cache
def _key() -> bytes:
    return blake2b(b"erasure", key=settings.SECRET_KEY.encode()[:64], digest_size=32).digest()
