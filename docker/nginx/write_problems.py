#!/usr/bin/env python
"""Writes nginx's own error answers from landing/door/problems.py, so that both speak with one voice.

Run while the image is built: write_problems.py > problems.conf
"""

import json
import os
import sys

import django

OURS = ("bad_request", "forbidden", "not_found", "too_large", "rate_limited", "internal", "unavailable")
"""Codes of the problems that nginx answers by itself."""


def main() -> None:
    """Write one map for each code: from the visitor's language to the document."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from landing.door import problems  # noqa: PLC0415  it needs the settings

    for code in OURS:
        sys.stdout.write(f"map $shown_language $problem_{code} {{\n")
        for key, language in (("default", "en"), ("fa", "fa")):
            document = json.dumps(problems.body(code, "$own_id", language), ensure_ascii=False)
            quoted = document.replace("\\", "\\\\").replace("'", "\\'")
            sys.stdout.write(f"    {key} '{quoted}';\n")
        sys.stdout.write("}\n")


if __name__ == "__main__":
    main()
