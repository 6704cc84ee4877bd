"""Commands beside the running stack, with nothing exported but STATE_DIR."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from systemtests.second_web import web_beside
from systemtests.stack import ROOT, Stack, eventually, new_phone


def test_trace_prints_every_hop(stack: Stack) -> None:
    phone = new_phone()
    task_id = stack.registered(phone, headers={"User-Agent": b"\xc2\x9b2J[bold]"})
    printed = stack.manage("trace", task_id)
    assert printed.returncode == 0, printed.stderr
    hops = [line.split()[0] for line in printed.stdout.splitlines() if line[:2] == f" {line.strip()[:1]}"]
    assert hops == ["hop", "accepted", "queued", "stored", "logged", "state"], printed.stdout
    assert phone[1:] not in printed.stdout
    assert "\x9b" not in printed.stdout


def test_trace_as_json_names_the_rows_of_both_databases(stack: Stack) -> None:
    task_id = stack.registered()
    hops = {hop["name"]: hop for hop in json.loads(stack.manage("trace", task_id, "--json").stdout)}
    assert list(hops) == ["accepted", "queued", "stored", "logged", "state"]
    [(registration,)] = stack.rows(
        "SELECT registration_id FROM landing_submission WHERE request_id = %s", task_id
    )
    assert hops["stored"]["facts"]["registration"] == registration
    assert hops["logged"]["facts"]["registration_id"] == registration
    assert hops["state"]["facts"]["status"] == "Registered"


def test_trace_of_what_nobody_knows_says_so_and_fails(stack: Stack) -> None:
    done = stack.manage("trace", str(uuid4()))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_settings_pass_their_checks(stack: Stack) -> None:
    done = stack.manage("check")
    assert done.returncode == 0, done.stderr


def test_the_doctor_finds_no_fault_in_a_sound_stack(stack: Stack) -> None:
    done = stack.manage("doctor")
    assert done.returncode == 0, done.stdout


def test_the_doctor_forgets_a_web_with_other_pages_as_it_ends(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "page.toml").write_text('[colours]\naccent = "#123456"\n')
    with web_beside(stack, tmp_path):
        eventually(lambda: "LANDING_DIR differs" in stack.manage("doctor").stdout, within=30)
    assert "LANDING_DIR differs" not in stack.manage("doctor").stdout


def test_declaring_the_queues_again_is_harmless(stack: Stack) -> None:
    assert stack.manage("declare_queues").returncode == 0
    stack.registered()


def test_a_worker_of_greenlets_stores_beside_one_of_processes(stack: Stack) -> None:
    log = stack.state_dir / "logs" / "gevent.log"
    command = [sys.executable, "-m", "celery", "-A", "config.celery", "worker", "-E", "-P", "gevent"]
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [*command, "-c", "10", "-n", "greenlets@%h"],
            env=stack.shell | {"WORKER_POOL": "gevent"},
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: "greenlets" in log.read_text() and "ready" in log.read_text(), within=40)
        task_ids = [stack.registered() for _ in range(8)]
        stored = [line for line in log.read_text().splitlines() if '"stored"' in line]
        assert any(task_id in line for line in stored for task_id in task_ids)
    finally:
        worker.send_signal(signal.SIGTERM)
        status = worker.wait(30)
    assert status == 0
