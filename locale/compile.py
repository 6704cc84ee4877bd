"""Compile */LC_MESSAGES/*.po to what Django reads, without GNU gettext. The set-up, the image and the tests call it."""

from pathlib import Path

import polib

LOCALE = Path(__file__).resolve().parent


def compile_messages() -> None:
    """Write each .mo that is missing or older than its .po."""
    for source in LOCALE.glob("*/LC_MESSAGES/*.po"):
        compiled = source.with_suffix(".mo")
        if not compiled.exists() or compiled.stat().st_mtime <= source.stat().st_mtime:
            polib.pofile(str(source)).save_as_mofile(str(compiled))


if __name__ == "__main__":
    compile_messages()
