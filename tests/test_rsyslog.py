"""LineStore through a real rsyslog, with the configuration that docs/log-stores.md gives."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from logs import lines
from logs.lines import LineStore
from tests import fake_elastic
from tests.fake_elastic import Index
from tests.waiting import eventually

RSYSLOGD = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
if RSYSLOGD is None:
    pytest.skip("needs rsyslog and rsyslog-elasticsearch: `make test` installs them", allow_module_level=True)

[DOCUMENTED] = re.findall(r"```rsyslog\n(.*?)```", Path("docs/log-stores.md").read_text(), re.DOTALL)
WITHIN = 30.0
"""Seconds for lines to arrive."""


class Shipper:
    """A private rsyslogd over one worker's log, which brings lines to a fake Elasticsearch."""

    def __init__(self, folder: Path, url: str) -> None:
        self.log = folder / "containers" / "c1" / "c1-json.log"
        self.log.parent.mkdir(parents=True)
        self.log.touch()
        self.refused = folder / "refused.jsonl"
        self.folder, self.url = folder, url
        (folder / "spool").mkdir()

    def configuration(self) -> str:
        places = {
            "/var/lib/docker/containers/*/*-json.log": f"{self.folder}/containers/*/*-json.log",
            "/var/log/breakwater-refused.jsonl": str(self.refused),
            "http://127.0.0.1:9200": self.url,
        }
        text = DOCUMENTED
        for documented, ours in places.items():
            assert documented in text
            text = text.replace(documented, ours)
        return f'global(workDirectory="{self.folder}/spool")\n{text}'

    def has_read_all(self) -> bool:
        """Whether rsyslog has noted that it has read the log to its end."""
        notes = (one.read_text() for one in (self.folder / "spool").glob("imfile-state:*"))
        return any(f'"curr_offs": {self.log.stat().st_size},' in note for note in notes)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        (self.folder / "rsyslog.conf").write_text(self.configuration())
        command = [str(RSYSLOGD), "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", f"{self.folder}/pid"]
        (self.folder / "pid").unlink(missing_ok=True)  # one that was killed leaves it behind
        with (
            (self.folder / "said").open("ab") as said,
            subprocess.Popen(command, stdout=said, stderr=said) as daemon,
        ):
            try:
                yield daemon
            finally:
                daemon.kill()
        assert b"error" not in (self.folder / "said").read_bytes()


@pytest.fixture
def elastic() -> Iterator[tuple[str, Index]]:
    with fake_elastic.running() as (url, index):
        yield url, index


def document(number: int = 0, **fields: Any) -> dict[str, Any]:
    time = datetime(2026, 3, 21, 12, tzinfo=UTC)
    return {"_id": str(uuid4()), "registration_id": number, "referrer": "", "accepted_at": time} | fields


def written(documents: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What LineStore writes for documents, among the other lines of a worker."""
    path = tmp_path / "stdout"
    with path.open("wb") as file, monkeypatch.context() as patched:
        patched.setattr(lines, "STDOUT", file.fileno())
        LineStore().insert(documents)
    return ['{"event": "stored", "_id": "no document"}\n', "no JSON\n", *path.read_text().splitlines(True)]


def wrapped(line: str) -> str:
    """As Docker's json-file has it."""
    return json.dumps({"log": line, "stream": "stdout", "time": "2026-03-21T12:00:00Z"}) + "\n"


@pytest.mark.parametrize("shape", [str, wrapped], ids=["as written", "as Docker wraps it"])
def test_each_document_is_there_once_though_each_batch_came_twice(
    elastic: Any, shape: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, index = elastic
    long = document(1, referrer="x" * 9000, user_agent='😀 \u202e"quoted\\" $!evil %s')
    batches = [[document(n) for n in range(200)] for _ in range(5)] + [[long]]
    shipper = Shipper(tmp_path, url)
    with shipper.running(), shipper.log.open("a") as log:
        for batch in batches:
            for line in 2 * written(batch, monkeypatch, tmp_path):
                log.write(shape(line))
            log.flush()
        eventually(lambda: long["_id"] in index.documents and len(index.documents) >= 1001, WITHIN)
    distinct = {one["_id"] for batch in batches for one in batch}
    assert index.documents.keys() == distinct
    kept = long | {"accepted_at": "2026-03-21T12:00:00+00:00", "request_id": long["_id"]}
    del kept["_id"]
    assert index.documents[long["_id"]] == kept


def test_what_is_read_while_elasticsearch_is_away_gets_there_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with fake_elastic.running() as (url, _):
        pass
    shipper = Shipper(tmp_path, url)
    shipper.log.write_text("".join(written([document(n) for n in range(1000)], monkeypatch, tmp_path)))
    with shipper.running():
        eventually(shipper.has_read_all, WITHIN)
        with fake_elastic.running(int(url.rpartition(":")[2])) as (_, index):
            eventually(lambda: len(index.documents) == 1000, WITHIN)


def test_an_rsyslog_that_was_killed_and_reads_its_files_again_brings_all(
    elastic: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, index = elastic
    shipper = Shipper(tmp_path, url)
    shipper.log.write_text("".join(written([document(n) for n in range(3000)], monkeypatch, tmp_path)))
    with shipper.running():
        eventually(lambda: index.documents, WITHIN)
    for state in (tmp_path / "spool").glob("imfile-state:*"):
        state.unlink()
    with shipper.running():
        eventually(lambda: len(index.documents) == 3000, WITHIN)


def test_what_is_refused_for_now_comes_again_and_what_is_refused_for_good_is_in_a_file(
    elastic: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, index = elastic
    index.refuses = 429
    odd = document(referrer="refused")
    shipper = Shipper(tmp_path, url)
    shipper.log.write_text("".join(written([document(), odd, document()], monkeypatch, tmp_path)))
    with shipper.running():
        eventually(lambda: len(index.refused) > 2, WITHIN)
        assert len(index.documents) == 2
        assert not shipper.refused.exists()
        index.refuses = 400
        eventually(lambda: shipper.refused.exists() and shipper.refused.read_text().endswith("\n"), WITHIN)
    assert json.loads(shipper.refused.read_text())["request_id"] == odd["_id"]
    assert len(index.documents) == 2
