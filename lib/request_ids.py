"""Request ids that can be recognised without asking a store.

An id is a UUID whose last 24 bits are a seal: a keyed hash of the rest. So a status question for an
id that was never given out is answered "unknown" though Redis is empty and the registration still
waits in the queue, and an accepted id is never taken for an unknown one. A guessed id passes once
in 16 million tries and then only says "Processing", which tells the guesser nothing.

An id of version 7 begins with a time in milliseconds: that of its making, or of the Idempotency-Key
that it was made from.
"""

import os
import re
import time
from hashlib import blake2b
from uuid import UUID

_SEAL_BITS = 24
_SEAL = (1 << _SEAL_BITS) - 1
_VARIANT = 0b10 << 62
_VERSION_7, _VERSION_8 = 7 << 76, 8 << 76
_FREE_BITS = ~(0xF << 76 | 0b11 << 62 | _SEAL)
_TIME = 0xFFFF_FFFF_FFFF << 80
_UUID_7 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)


def new(secret: bytes) -> str:
    """Return a new id: a UUID version 7 (RFC 9562), so that ids grow with time.

    Rows and documents keyed by it then land at the end of their index, which keeps inserting as
    fast with millions of rows as with none.
    """
    milliseconds = time.time_ns() // 1_000_000
    return _sealed(secret, milliseconds << 80 | int.from_bytes(os.urandom(10)), _VERSION_7)


def from_key(secret: bytes, idempotency_key: str, whose: str) -> str:
    """Return the id that belongs to a key and to whose it is, a phone number, the same in any process.

    The phone is part of it, and the secret too, so nobody can spend another sender's id. A key that
    is a UUID version 7 gives its time to the id, a version 7 too; any other key gives a version 8.
    A client whose clock is wrong gives a wrong time: see made_at().
    """
    # surrogatepass: a header may carry any bytes, and a key is only compared, never shown.
    text = f"{whose}\n{idempotency_key}".encode("utf-8", "surrogatepass")
    value = int.from_bytes(blake2b(text, key=_key(secret), digest_size=16).digest())
    if not _UUID_7.fullmatch(idempotency_key):
        return _sealed(secret, value, _VERSION_8)
    milliseconds = int(idempotency_key[:8] + idempotency_key[9:13], 16)
    return _sealed(secret, value & ~_TIME | milliseconds << 80, _VERSION_7)


def is_genuine(secret: bytes, request_id: str) -> bool:
    """Return whether this id was made with this secret."""
    value = parse(request_id)
    return value is not None and value.int & _SEAL == _seal(secret, value.int >> _SEAL_BITS)


def made_at(request_id: str) -> float | None:
    """Return the time (Unix time) that an id begins with, or None for an id without one.

    It may come from a client's clock, so it is good for saving work, and proves nothing.
    """
    value = parse(request_id)
    if value is None or value.version != 7:
        return None
    return (value.int >> 80) / 1000


def is_young(request_id: str, within: float) -> bool:
    """Return whether an id begins with a time of the last `within` seconds. A time in the future is a wrong clock's."""
    at = made_at(request_id)
    return at is not None and 0 <= time.time() - at < within


def parse(text: str) -> UUID | None:
    """Return the UUID that a text is, or None."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _sealed(secret: bytes, value: int, version: int) -> str:
    value = value & _FREE_BITS | version | _VARIANT
    text = f"{value | _seal(secret, value >> _SEAL_BITS):032x}"
    # As str(UUID(int=...)) would be, at a quarter of its price.
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _seal(secret: bytes, unsealed: int) -> int:
    digest = blake2b(unsealed.to_bytes(13), key=_key(secret), digest_size=_SEAL_BITS // 8)
    return int.from_bytes(digest.digest())


def _key(secret: bytes) -> bytes:
    return secret[:64]  # blake2b takes keys of up to 64 bytes
