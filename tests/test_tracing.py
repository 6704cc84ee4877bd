"""Tracing costs nothing while it is off, and keeps the same registrations in every process when it samples."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from landing import tasks
from landing.keeping import tracing
from landing.storing import task_states
from lib import request_ids

ROOT = Path(__file__).resolve().parent.parent


def test_while_it_is_off_no_exporter_is_imported_and_no_step_is_wrapped() -> None:
    # redis imports opentelemetry.sdk.metrics by itself wherever it is installed.
    program = "import django, sys; django.setup(); import landing.keeping.intake, landing.tasks; print('opentelemetry.exporter' in sys.modules, 'opentelemetry.sdk.trace' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "False"]
    assert not hasattr(task_states.write, "__wrapped__")
    assert not hasattr(tasks._save, "__wrapped__")


def test_an_endpoint_without_the_extra_says_what_to_install() -> None:
    program = "import django, sys; sys.modules['opentelemetry.sdk'] = None; django.setup(); import landing.keeping.tracing"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "pip install --no-deps -r locks/otel.txt" in done.stderr


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 1])
@pytest.mark.parametrize(
    "make", [lambda n: request_ids.new(b"x"), lambda n: request_ids.from_key(b"x", str(n), "09123456789")]
)
def test_the_share_that_is_asked_for_is_sampled(share: float | int, make: Callable[..., Any]) -> None:
    ids = [UUID(make(number)).int for number in range(4000)]
    sampled = sum(tracing.is_sampled(one, share) for one in ids) / len(ids)
    assert abs(sampled - share) < 0.05


def test_what_a_smaller_share_samples_a_larger_one_does_too() -> None:
    ids = [UUID(request_ids.new(b"x")).int for _ in range(1000)]
    assert all(tracing.is_sampled(one, 0.5) for one in ids if tracing.is_sampled(one, 0.1))
