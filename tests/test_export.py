"""manage.py export: every registration in the file, cells that are no formulas, and no half file."""

import csv
import gc
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Never
from uuid import uuid4

import openpyxl
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from campaigns.models import CampaignRow
from dashboard.desk import export as exports
from landing.models import Registration
from landing.storing import outbox, registrations
from landing.submission import Submission
from lib import phones, tables
from logs import utils as logs
from tests.waiting import eventually

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 21, 8, 30, tzinfo=UTC)  # 12:00 of the first day of 1405 in Tehran
PHONE, OTHER_PHONE = "09123456789", "09351112233"
HOSTILE = [
    '=HYPERLINK("https://evil.example")',
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1+1",
    "＝1+1",
    "https://a.example/;=1+1",
    'https://a.example/","=1+1',
    "_x003D_1+1",
    "<script>&amp;\"'",
    "سلام \u202e دنیا",
    "\x00\x0b\ufffe",
]


def submitted(phone: str = PHONE, at: datetime = NOON, referrer: str = "") -> Any:
    submission = Submission(phone, str(uuid4()), "192.0.2.1", referrer, "", at)
    registrations.store([submission])
    return submission


def logged(submission: Submission) -> None:
    document = {"_id": submission.request_id, "referrer": submission.referrer}
    logs.log_requests([document])


def submitted_to(campaign: str, at: datetime, **details: Any) -> None:
    submission = Submission(PHONE, str(uuid4()), "192.0.2.1", "", "", at, campaign, details)
    registrations.store([submission])


def export(tmp_path: Path, form: str, *arguments: Any) -> Any:
    path = tmp_path / f"out.{form}"
    call_command("export", f"--format={form}", f"--output={path}", *arguments, stderr=io.StringIO())
    return path


def rows_of(path: Path) -> Any:
    """The rows of an export, read by somebody else's reader."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    with closing(openpyxl.load_workbook(path, read_only=True)) as book:
        header, *rows = [row for sheet in book for row in sheet.iter_rows(values_only=True)]
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.parametrize("form", tables.FORMATS)
def test_the_file_holds_every_registration_once(tmp_path: Path, form: str) -> None:
    sent = {f"0912{n:07}": n % 3 + 1 for n in range(50)}
    for phone, times in sent.items():
        for _ in range(times):
            submitted(phone)
    rows = rows_of(export(tmp_path, form))
    assert {phones.normalise(row["phone_number"]): int(row["submissions"]) for row in rows} == sent
    assert [int(row["id"]) for row in rows] == sorted(Registration.objects.values_list("pk", flat=True))


def test_excel_reads_the_csv_as_utf_8_and_takes_no_phone_for_a_number(tmp_path: Path) -> None:
    submitted()
    path = export(tmp_path, "csv")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    [row] = rows_of(path)
    assert row["phone_number"] == "0912-345-6789"


def test_a_phone_in_a_workbook_is_text_with_its_zero(tmp_path: Path) -> None:
    submitted()
    sheet = openpyxl.load_workbook(export(tmp_path, "xlsx")).active
    assert (sheet["B2"].value, sheet["B2"].data_type, sheet["B2"].number_format) == (PHONE, "s", "@")
    assert sheet["A2"].data_type == "n"


@pytest.mark.parametrize(
    ("calendar", "shown"), [("jalali", "1405/01/01 12:00:00"), ("gregorian", "2026-03-21 12:00:00")]
)
def test_times_are_in_the_calendar_and_zone_of_the_settings(
    tmp_path: Path, settings: Settings, calendar: str, shown: str
) -> None:
    settings.CALENDAR = calendar
    submitted()
    for form in ("csv", "xlsx"):
        assert rows_of(export(tmp_path, form))[0]["first_seen"] == shown
    assert rows_of(export(tmp_path, "jsonl"))[0]["first_seen"] == "2026-03-21T12:00:00+03:30"


@pytest.mark.parametrize(
    ("window", "found"),
    [
        (["--since", "1405/01/01"], {PHONE}),
        (["--since", "۱۴۰۵-۱-۱ ۱۲:۰۰"], {PHONE}),
        (["--since", "2026-03-21T08:30:00.000001Z"], set()),
        (["--until", "2026-03-21"], {OTHER_PHONE}),
        (["--until", "2026-03-21T12:00"], {OTHER_PHONE}),
        (["--since", "100000d", "--status", "pending"], {PHONE, OTHER_PHONE}),
        (["--status", "confirmed"], set()),
    ],
)
def test_the_window_is_of_the_first_submission_and_leaves_its_end_out(
    tmp_path: Path, window: list[str], found: set[Any]
) -> None:
    submitted()
    submitted(OTHER_PHONE, NOON - timedelta(days=1))
    submitted(OTHER_PHONE, NOON + timedelta(days=1))
    assert {row["phone_number"] for row in rows_of(export(tmp_path, "jsonl", *window))} == found


@pytest.mark.parametrize("time", ["yesterday", "1404/12/30", "1405/13/01", "2026-02-30", " ", "9999999d"])
def test_a_wrong_time_is_refused_with_the_zone_that_is_meant(tmp_path: Path, time: str) -> None:
    with pytest.raises(CommandError, match="Asia/Tehran"):
        export(tmp_path, "csv", "--since", time)
    assert list(tmp_path.iterdir()) == []


def test_jalali_days_need_the_jalali_calendar(tmp_path: Path, settings: Settings) -> None:
    settings.CALENDAR = "gregorian"
    with pytest.raises(CommandError, match="2026-11-24"):
        export(tmp_path, "csv", "--since", "1405/01/01")


def test_no_cell_of_a_csv_begins_a_formula_in_any_country(tmp_path: Path) -> None:
    for number, referrer in enumerate(HOSTILE):
        logged(submitted(f"0912{number:07}", referrer=referrer))
    path = export(tmp_path, "csv", "--referrer")
    for delimiter in (",", ";", "\t"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [cell.strip() for row in csv.reader(file, delimiter=delimiter) for cell in row]
        assert not [cell for cell in cells if cell.startswith(tuple("=+-@＝＋－＠"))]


def test_hostile_referrers_stay_what_they_are_in_a_workbook_and_in_json(tmp_path: Path) -> None:
    for number, referrer in enumerate(HOSTILE):
        logged(submitted(f"0912{number:07}", referrer=referrer))
    assert [row["referrer"] for row in rows_of(export(tmp_path, "jsonl", "--referrer"))] == HOSTILE
    sheet = openpyxl.load_workbook(export(tmp_path, "xlsx", "--referrer")).active
    cells = [sheet.cell(row, 7) for row in range(2, len(HOSTILE) + 2)]
    assert {cell.data_type for cell in cells} == {"s"}
    spelled = [cell.value.replace("\r\n", "\r") for cell in cells]
    for referrer, cell in zip(HOSTILE[:10], spelled, strict=False):
        assert cell.replace("\n", "\r") == referrer
    assert spelled[-1] == "\ufffd\ufffd\ufffd"


def test_the_referrer_is_that_of_the_first_submission_also_while_it_is_parked(tmp_path: Path) -> None:
    first, later = (
        submitted(referrer="https://first.example/"),
        submitted(at=NOON + timedelta(1), referrer="https://later.example/"),
    )
    logged(later)
    outbox.park([{"_id": first.request_id, "referrer": first.referrer}])
    [row] = rows_of(export(tmp_path, "csv", "--referrer"))
    assert row["referrer"] == "https://first.example/"


def test_a_workbook_goes_on_in_a_second_sheet_when_the_first_is_full() -> None:
    file = io.BytesIO()
    writer = tables.Xlsx(file, ["n"], sheet_rows=11)
    for number in range(25):
        writer.write([number])
    writer.close()
    sheets = openpyxl.load_workbook(file).worksheets
    assert [[cell.value for (cell,) in sheet] for sheet in sheets] == [
        ["n", *range(10)],
        ["n", *range(10, 20)],
        ["n", *range(20, 25)],
    ]


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    submitted()
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(CommandError, match="--force"):
        export(tmp_path, "csv")
    assert (tmp_path / "out.csv").read_text() == "precious"
    assert rows_of(export(tmp_path, "csv", "--force"))
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    submitted()
    assert export(tmp_path, "csv").stat().st_mode & 0o077 == 0


def test_the_report_as_json(tmp_path: Path) -> None:
    submitted()
    out, path = io.StringIO(), tmp_path / "out.csv"
    call_command("export", "--format=csv", f"--output={path}", "--json", stdout=out, stderr=io.StringIO())
    facts = json.loads(out.getvalue())
    assert (facts["rows"], facts["output"], facts["bytes"]) == (1, str(path), path.stat().st_size)


def process(*arguments: Any, **options: Any) -> Any:
    command = [sys.executable, "manage.py", "export", *arguments]
    environment = os.environ | {"POSTGRES_DB": connection.settings_dict["NAME"]}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, **options)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("output", [[], ["--output=-"]])
def test_standard_output_is_the_rows_and_nothing_else(output: list[Any] | list[str]) -> None:
    submitted()
    running = process("--format=jsonl", *output, stdout=subprocess.PIPE)
    out, said = running.communicate(timeout=60)
    assert running.returncode == 0, said
    assert json.loads(out)["phone_number"] == PHONE
    assert b"1 of 1 rows" in said


@pytest.mark.django_db(transaction=True)
def test_a_terminal_sees_a_bar_with_the_time_that_is_left(tmp_path: Path) -> None:
    submitted()
    terminal, side = pty.openpty()
    command = [sys.executable, "manage.py", "export", "--format=csv", f"--output={tmp_path / 'out.csv'}"]
    environment = os.environ | {"POSTGRES_DB": connection.settings_dict["NAME"], "TERM": "xterm"}
    running = subprocess.Popen(command, env=environment, stderr=side, stdout=subprocess.DEVNULL)
    os.close(side)
    seen = b""
    with suppress(OSError):  # the end of a terminal is an error
        while more := os.read(terminal, 65536):
            seen += more
    os.close(terminal)
    assert running.wait(60) == 0
    assert b"1/1" in seen
    assert re.search(rb"\d:\d\d:\d\d", seen)


@pytest.mark.django_db(transaction=True)
def test_mongodb_away_leaves_no_file_and_says_so(tmp_path: Path) -> None:
    logged(submitted())
    running = process("--format=csv", "--referrer", f"--output={tmp_path / 'out.csv'}")
    running.communicate(timeout=60)
    assert running.returncode == 0
    environment = {"MONGODB_PORT": "9"}
    command = [
        sys.executable,
        "manage.py",
        "export",
        "--format=csv",
        "--referrer",
        f"--output={tmp_path / 'two.csv'}",
    ]
    done = subprocess.run(
        command,
        env=os.environ | {"POSTGRES_DB": connection.settings_dict["NAME"]} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "There is no file" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_export_leaves_nothing_that_looks_whole(tmp_path: Path, number: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO landing_registration (phone_number, first_seen, last_seen) "
            "SELECT '09' || lpad(n::text, 9, '0'), now(), now() FROM generate_series(1, 300000) AS n"
        )
    running = process("--format=csv", f"--output={tmp_path / 'out.csv'}")
    eventually(lambda: any(path.stat().st_size > 100_000 for path in tmp_path.iterdir()), within=60)
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode != 0
    left = [path.name for path in tmp_path.iterdir()]
    assert left == [] if number != signal.SIGKILL else all(name.endswith(".part") for name in left)


@pytest.mark.parametrize("form", tables.FORMATS)
def test_a_file_that_fails_in_the_middle_gets_no_end_and_stays_open(form: str) -> None:
    submitted(PHONE)
    file = io.BytesIO()

    def fail(_: Any) -> Never:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        exports.write(exports.Question(form), file, fail)
    gc.collect()
    assert not file.closed
    assert b"PK\x05\x06" not in file.getvalue()


def test_a_campaign_s_export_has_a_column_for_each_field_as_sent_last(tmp_path: Path) -> None:
    CampaignRow.objects.create(slug="nowruz", field_names=["name", "city"])
    submitted(OTHER_PHONE)
    submitted_to("nowruz", NOON, name="=1+1", city="tehran")
    submitted_to("nowruz", NOON + timedelta(hours=1), city="isfahan")
    [row] = csv.DictReader(export(tmp_path, "csv", "--campaign=nowruz").read_text("utf-8-sig").splitlines())
    assert (row["name"], row["city"], row["submissions"]) == ("", "isfahan", "2")


def test_an_export_of_several_campaigns_names_each(tmp_path: Path) -> None:
    CampaignRow.objects.create(slug="nowruz")
    submitted()
    submitted_to("nowruz", NOON)
    rows = csv.DictReader(export(tmp_path, "csv").read_text("utf-8-sig").splitlines())
    assert sorted(row["campaign"] for row in rows) == ["default", "nowruz"]


def test_an_unknown_campaign_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"No campaign is named winter. Known: default"):
        export(tmp_path, "csv", "--campaign=winter")
