"""The landing page that the peers serve: Breakwater's bytes, compressed once, from memory."""

import os
from pathlib import Path

BODY = Path(os.environ["BENCH_PAGE"]).read_bytes() if os.environ.get("BENCH_PAGE") else b""
HEADERS = {"Content-Type": "text/html; charset=utf-8", "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
