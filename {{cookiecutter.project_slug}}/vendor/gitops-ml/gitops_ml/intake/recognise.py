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
from gitops_ml.intake import sources
from gitops_ml.intake.sources import BLOCK_BYTES, UTF8, Source, opened

DELIMITERS = (",", ";", "\t", "|")
# What is looked at to recognise delimiter and encoding.
SAMPLE_BYTES = 1 << 18
BOMS = {codecs.BOM_UTF8: UTF8, codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def recognise(path: Path, delimiter: str | None = None, encoding: str | None = None) -> Source:
    """What kind of file this is; what is not said is looked for in its content, not in its name.

    Raises:
        UserError: it cannot be read, or is of no kind that is known, or the person has to say more.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise UserError(f"{path}: the file is empty")
    digest = sources.digest(path)
    if start == b"PAR1":
        return Source(path, "Parquet", digest)
    if start == b"PK\x03\x04":
        raise UserError(f"{path}: this is a ZIP archive or an Excel file; save its table as CSV")
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise UserError(f"there is no encoding {encoding!r}") from error
    source = Source(path, "CSV", digest, encoding or _encoding(path))
    text = _start(source)
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    if "\0" in text:
        raise UserError(f"{path}: this is no text; CSV, Parquet and JSON Lines are read, each plain or gzipped")
    if text.lstrip().startswith("{"):
        return replace(source, kind="JSON Lines")
    if text.lstrip().startswith("[{"):
        raise UserError(f"{path}: this is one JSON array; write one object a line (JSON Lines)")
    return replace(source, delimiter=delimiter or _delimiter(path, text))


def _encoding(path: Path) -> str:
    """UTF-8, or what a byte order mark says; any other has to be said, since a wrong guess garbles names silently."""
    try:
        with opened(path) as file:
            start = file.read(SAMPLE_BYTES)
            for mark, encoding in BOMS.items():
                if start.startswith(mark):
                    return encoding
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
    except UnicodeDecodeError as error:
        raise UserError(f"{source.path} is not {source.encoding}: {error.reason} at byte {error.start}") from error
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
