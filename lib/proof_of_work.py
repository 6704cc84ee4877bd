"""Proof of work: a challenge that takes a computer some time to solve, and a proof that is checked at once.

A challenge is 20 bytes, written as 40 hexadecimal digits: the time it ends (4 bytes, Unix time), the bits (1),
random bytes (8) and a seal (7). The seal is a keyed hash of the rest and of the subject: what the challenge is
for. All widths are fixed, so no other text has the same bytes. Nothing is stored: any process with the same secret
can check a proof.

A proof is "CHALLENGE.COUNTER", and the SHA-256 of just this text begins with so many zero bits.
"""

import os
import re
import time
from hashlib import blake2b, sha256
from hmac import compare_digest

LIFE = 120
"""Seconds in which a challenge can be solved and its proof be sent, as often as one likes."""

_UNSEALED, _SEAL = 13, 7  # bytes
_PURPOSE = b"proof of work"
"""Request ids are sealed with the same secret: a seal of theirs must not fit here."""
_PROOF = re.compile(r"([0-9a-f]{40})\.[0-9]{1,12}", re.ASCII)


def challenge(secret: bytes, subject: str, bits: int) -> str:
    """Return a new challenge for a subject. It takes about 2 ** bits hashes to solve it (bits: 0 to 255)."""
    unsealed = (int(time.time()) + LIFE).to_bytes(4) + bits.to_bytes(1) + os.urandom(8)
    return (unsealed + _seal(secret, subject, unsealed)).hex()


def is_right(secret: bytes, subject: str, proof: object) -> bool:
    """Return whether a proof solves a challenge that was made for this subject and has not ended.

    proof: as it was sent, so it may be anything.
    """
    if not isinstance(proof, str) or not (read := _PROOF.fullmatch(proof)):
        return False
    made = bytes.fromhex(read[1])
    unsealed, seal = made[:_UNSEALED], made[_UNSEALED:]
    if int.from_bytes(unsealed[:4]) < time.time():
        return False
    if not compare_digest(seal, _seal(secret, subject, unsealed)):
        return False
    return int.from_bytes(sha256(proof.encode()).digest()) >> (256 - unsealed[4]) == 0


def _seal(secret: bytes, subject: str, unsealed: bytes) -> bytes:
    sealed = unsealed + subject.encode()
    return blake2b(sealed, key=secret[:64], digest_size=_SEAL, person=_PURPOSE).digest()
