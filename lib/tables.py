"""Rows into files that people open in Excel and programs read: CSV, XLSX, JSON lines.

Each writer takes one row after the other and keeps none of them. None of them seeks, so the file
may be a pipe.

XLSX is written here in a few lines, since the libraries for it first put the whole sheet, some
hundred megabytes for a million rows, into a temporary file; a container has no disk for that.
"""

import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Protocol
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

import orjson

Cell = str | int
Row = Sequence[Cell]

SHEET_ROWS = 1_048_576
"""Rows of one sheet, its header among them: Excel's own limit."""

SHEET_BYTES = 1 << 30
"""Bytes of one sheet before compression: zip's old form, the one that Excel reads, ends at 2 GiB."""

LONGEST_CELL = 32_767
"""Characters: Excel's own limit."""

# What makes Excel and LibreOffice take a cell for a formula (OWASP, CSV injection): at its start, and,
# since other countries' Excel splits at semicolons and tabs, wherever a cell could begin for it.
_FORMULA = re.compile(r"(?:^|(?<=[;,\t\r\n\"']))(?=\s*[=+\-@＝＋－＠]|[\t\r])")

# What XML cannot carry; and _x0041_, which Excel would read as the letter A.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")


class Writer(Protocol):
    """Writes rows into a binary file, which stays open."""

    def write(self, row: Row) -> None:
        """Add a row."""

    def close(self) -> None:
        """Complete the file. Without it the file is no whole one."""

    def abandon(self) -> None:
        """Let go of a file that will not be whole: it gets no end that would make it look so."""


class Csv:
    """RFC 4180 in UTF-8, with the mark by which Excel knows it; no cell is ever a formula."""

    def __init__(self, file: IO[bytes], header: Sequence[str]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        self._csv = csv.writer(self._text)
        self._csv.writerow(header)

    def write(self, row: Row) -> None:
        """Add a row; a cell that could begin a formula gets an apostrophe before it."""
        self._csv.writerow([_FORMULA.sub("'", cell) if isinstance(cell, str) else cell for cell in row])

    def close(self) -> None:
        """Hand over what is left."""
        self._text.flush()
        self._text.detach()

    def abandon(self) -> None:
        """Take the file back from the text wrapper, which would close it when it is forgotten."""
        with suppress(OSError, ValueError):
            self._text.detach()


class JsonLines:
    """One JSON object a line, in UTF-8."""

    def __init__(self, file: IO[bytes], header: Sequence[str]) -> None:
        self._file = file
        self._header = header

    def write(self, row: Row) -> None:
        self._file.write(orjson.dumps(dict(zip(self._header, row, strict=True))) + b"\n")

    def close(self) -> None:
        """Nothing is left."""

    abandon = close


class Xlsx:
    """An Excel workbook (ECMA-376). Texts are texts: none is a formula, and zeros at their start stay."""

    def __init__(
        self,
        file: IO[bytes],
        header: Sequence[str],
        *,
        sheet_rows: int = SHEET_ROWS,
        sheet_bytes: int = SHEET_BYTES,
    ) -> None:
        self._zip = ZipFile(file, "w", ZIP_DEFLATED, compresslevel=3)
        self._header = header
        self._columns = [_column_name(number) for number in range(len(header))]
        self._sheet_rows, self._sheet_bytes = sheet_rows, sheet_bytes
        self._sheets = 0
        self._begin_sheet()

    def write(self, row: Row) -> None:
        """Add a row; begin another sheet when this one is full."""
        if self._row >= self._sheet_rows or self._bytes >= self._sheet_bytes:
            self._end_sheet()
            self._begin_sheet()
        self._add(row)

    def close(self) -> None:
        """Write what ties the sheets together."""
        self._end_sheet()
        for name, part in _frame(self._sheets).items():
            self._zip.writestr(name, _XML + part)
        self._zip.close()

    def abandon(self) -> None:
        """Forget the workbook; a ZipFile that is forgotten would write its end."""
        with suppress(OSError, ValueError):
            self._sheet.close()
        self._zip.fp = None

    def _begin_sheet(self) -> None:
        self._sheets += 1
        self._row = self._bytes = 0
        self._waiting: list[str] = []
        self._sheet = self._zip.open(f"xl/worksheets/sheet{self._sheets}.xml", "w")
        self._sheet.write((_XML + _SHEET_BEGIN.format(columns=len(self._header))).encode())
        self._add(self._header, style=_HEADER)

    def _end_sheet(self) -> None:
        self._flush()
        last = self._columns[-1]
        self._sheet.write(_SHEET_END.format(cells=f"A1:{last}{self._row}").encode())
        self._sheet.close()

    def _add(self, row: Row, style: int = 0) -> None:
        self._row += 1
        cells = [
            f'<c r="{column}{self._row}"><v>{cell}</v></c>'
            if isinstance(cell, int)
            else f'<c r="{column}{self._row}" s="{style or _TEXT}" t="inlineStr"><is>'
            f'<t xml:space="preserve">{_xml_text(cell)}</t></is></c>'
            for column, cell in zip(self._columns, row, strict=True)
        ]
        self._waiting.append(f'<row r="{self._row}">{"".join(cells)}</row>')
        if len(self._waiting) == 1000:
            self._flush()

    def _flush(self) -> None:
        self._bytes += self._sheet.write("".join(self._waiting).encode())
        self._waiting.clear()


FORMATS: dict[str, type[Csv | Xlsx | JsonLines]] = {"csv": Csv, "xlsx": Xlsx, "jsonl": JsonLines}

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "jsonl": "application/x-ndjson",
}

_TEXT, _HEADER = 1, 2  # places among the cellXfs of _STYLES

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"

_SHEET_BEGIN = (
    f'<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
    '<cols><col min="1" max="{columns}" width="21" customWidth="1"/></cols><sheetData>'
)
# Excel would mark each phone with "number stored as text".
_SHEET_END = (
    '</sheetData><ignoredErrors><ignoredError sqref="{cells}" numberStoredAsText="1"/></ignoredErrors>'
    "</worksheet>"
)
# Number format 49 is "@", text: a phone that is edited in Excel keeps its zero too.
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/>'
    '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)


def _frame(sheets: int) -> dict[str, str]:
    """Return the parts of a workbook that hold no rows."""
    numbers = range(1, sheets + 1)
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>'
        for n in numbers
    )
    names = "".join(f'<sheet name="registrations {n}" sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    related = "".join(
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in numbers
    )
    return {
        "xl/styles.xml": _STYLES,
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{related}'
        f'<Relationship Id="rId{sheets + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>{overrides}</Types>',
    }


def _xml_text(text: str) -> str:
    if text.isalnum():  # most cells; and then nothing is to be escaped
        return text
    sound = _ESCAPED.sub("_x005F_", _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text[:LONGEST_CELL]))
    return escape(sound)


def _column_name(number: int) -> str:
    return chr(ord("A") + number)  # more than 26 columns would need two letters
