"""What kind of file somebody has: format, encoding and delimiter are looked for in its content, not in its name."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import charset_normalizer

from gitops_ml.core.errors import UserError
from gitops_ml.reading import sources, workbook
from gitops_ml.reading.sources import BLOCK_BYTES, DELIMITERS, UTF8, Source, opened

# What is looked at to recognise delimiter and encoding.
SAMPLE_BYTES = 1 << 18
# What other files begin with, and what to do with them.
OTHERS = {
    b"PK\x03\x04": "a ZIP archive; unpack it",
    b"\xd0\xcf\x11\xe0": "an Excel file of before 2007, or one with a password; save it as .xlsx without one",
    b"%PDF": "a PDF document; export its table as CSV",
    b"SQLite format 3": "a database of SQLite; export its table as CSV",
    b"ARROW1": "an Arrow file; write it as Parquet",
    b"FEA1": "a Feather file; write it as Parquet",
    b"ORC": "an ORC file; write it as Parquet",
    b"\x89HDF": "an HDF5 file; write its table as Parquet",
    b"\x80": "a pickle; write the table as Parquet",
    b"BZh": "a file packed by bzip2; unpack it, or pack it by gzip",
    b"\xfd7zXZ": "a file packed by xz; unpack it, or pack it by gzip",
    b"\x28\xb5\x2f\xfd": "a file packed by zstd; unpack it, or pack it by gzip",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
}
BOMS = {codecs.BOM_UTF8: UTF8, codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def recognise(
    path: Path, delimiter: str | None = None, encoding: str | None = None, sheet: str | None = None
) -> Source:
    """What kind of file this is; what is not said is looked for in its content, not in its name.

    Raises:
        UserError: it cannot be read, or is of no kind that is known, or the person has to say more.
    """
    start = _beginning(path)
    digest = sources.digest(path)
    if start.startswith(b"PAR1"):
        return Source(path, "Parquet", digest)
    if workbook.is_one(path):
        return Source(path, "Excel", digest, sheet=workbook.sheet(path, sheet))
    if sheet is not None:
        raise UserError(f"{path}: only a workbook of Excel has sheets; leave SHEET= out")
    if other := next((what for begin, what in OTHERS.items() if start.startswith(begin)), None):
        raise UserError(f"{path}: this is {other}")
    if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n'):
        raise UserError(f"a delimiter is one sign, such as ; or \\t, and {delimiter!r} is not")
    if encoding is not None:
        _require_encoding(path, encoding)
    source = Source(path, "CSV", digest, encoding or _encoding(path))
    text = _start(source)
    content = text.lstrip()
    if not content:
        raise UserError(f"{path}: the file is empty")
    _require_text(path, "\0" not in text)
    if content[:9].lower().startswith(("<!doctype", "<html", "<?xml")):
        raise UserError(f"{path}: this is a web page or XML, not a table; export the table as CSV")
    if content.startswith(("{", "[")):
        first = content.split("\n", 1)[0].strip()
        return replace(source, kind="JSON Lines" if first.startswith("{") and first.endswith("}") else "JSON")
    head = content.split("\n", 1)[0]
    if delimiter is not None and delimiter not in head and (others := [sign for sign in DELIMITERS if sign in head]):
        raise UserError(
            f"{path}: divided by {delimiter!r}, the table has one column, {head[:60]!r}; say DELIMITER={others[0]!r}"
        )
    return replace(source, delimiter=delimiter or _delimiter(path, text))


def _beginning(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(
            f"{path} is a folder; say one file of it, and bring each further one as a batch, without TARGET="
        )
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise UserError(f"{path}: the file is empty")
    return start


def _require_text(path: Path, is_text: bool) -> None:
    if not is_text:
        raise UserError(f"{path}: this is no text; CSV, Parquet, JSON and Excel are read")


def _require_encoding(path: Path, encoding: str) -> None:
    """Refuse an encoding that there is not, or that would garble a file which is UTF-8 as it is."""
    try:
        found = codecs.lookup(encoding)
        "".encode(encoding)
    except (LookupError, ValueError) as error:
        raise UserError(f"there is no encoding {encoding!r} of texts") from error
    try:
        with opened(path) as file:
            start = file.read(SAMPLE_BYTES)
    except (OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if found.name.startswith(("utf-16", "utf-32")) and b"\0" not in start:
        raise UserError(f"{path} is not {encoding}; leave ENCODING= out, to have it recognised")
    if not found.name.startswith("utf") and not start.isascii():
        try:
            codecs.getincrementaldecoder("utf-8")().decode(start)
        except UnicodeDecodeError:
            return
        raise UserError(f"{path} is UTF-8, of which {encoding} would make other letters; leave ENCODING= out")


def _encoding(path: Path) -> str:
    """UTF-8, or what a byte order mark says; any other has to be said, since a wrong guess garbles names silently."""
    try:
        with opened(path) as file:
            start = file.read(SAMPLE_BYTES)
            for mark, encoding in BOMS.items():
                if start.startswith(mark):
                    return encoding
            _require_text(path, b"\0" not in start)
            decoder = codecs.getincrementaldecoder("utf-8")()
            block = start
            while block:
                decoder.decode(block)
                block = file.read(BLOCK_BYTES)
            decoder.decode(b"", final=True)
    except (OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        place = max(0, error.start - 40)
        around = bytes(error.object)[place : error.start + 40]
        guess = charset_normalizer.from_bytes(bytes(error.object)[-SAMPLE_BYTES:]).best()
        # Windows' western one is the most frequent by far, and the guess is poor on few letters.
        name = "cp1252" if guess is None or guess.encoding.startswith(("cp125", "latin", "iso8859")) else guess.encoding
        shown = " ".join(around.decode(name, errors="replace").split())
        raise UserError(
            f"{path} is not UTF-8; say its encoding, for example ENCODING={name}, in which one place reads {shown!r}"
        ) from error
    return UTF8


def _start(source: Source) -> str:
    """The first lines, whole ones unless the first is longer than the sample."""
    try:
        with opened(source.path) as file:
            text = codecs.getincrementaldecoder(source.encoding)().decode(file.read(SAMPLE_BYTES))
            whole = not file.read(1)
    except UnicodeError as error:
        raise UserError(f"{source.path} is not {source.encoding}: {error}") from error
    return text if whole else text[: text.rfind("\n") + 1] or text


def _delimiter(path: Path, text: str) -> str:
    """The delimiter that divides every row into the same number of values; more of them win."""
    widths = {}
    for candidate in DELIMITERS:
        try:
            found = [
                len(row) for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=candidate), 1000) if row
            ]
        except csv.Error:
            continue
        widths[candidate] = found
    even = {name: found[0] for name, found in widths.items() if found[0] > 1 and len(set(found)) == 1}
    if even:
        most = max(even.values())
        best = [name for name, width in even.items() if width == most]
        if len(best) > 1:
            shown = " or ".join(repr(name) for name in best)
            raise UserError(f"{path}: the values could be divided by {shown}; say which, with DELIMITER=")
        return best[0]
    # Nothing fits every row: take what fits most, so that the reader can say which row is the odd one.
    ragged = {name: Counter(found).most_common(1)[0] for name, found in widths.items()}
    return max(ragged, key=lambda name: (ragged[name][0] > 1, ragged[name][1])) if ragged else ","
