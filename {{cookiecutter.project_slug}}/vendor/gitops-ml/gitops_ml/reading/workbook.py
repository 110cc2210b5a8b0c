"""Reads a sheet of an Excel workbook: the values that its cells show, row by row."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd

from gitops_ml.core.errors import UserError

PIECE_ROWS = 1 << 14
# What a workbook's archive holds, whatever its name ends with.
INSIDE = "xl/workbook.xml"

Row = tuple[Any, ...]


def is_one(path: Path) -> bool:
    """Whether the file is a workbook of Excel 2007 or later."""
    try:
        with zipfile.ZipFile(path) as archive:
            return INSIDE in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def sheet(path: Path, wanted: str | None) -> str:
    """The name of the sheet to read: the wanted one, or the only one that has rows and is not hidden.

    Raises:
        UserError: it has no such sheet, or it has to be said which one is meant.
    """
    with _opened(path, values=True) as book:
        found = [each.title for each in book.worksheets if next(_rows(each), None) is not None]
        shown = [name for name in found if book[name].sheet_state == "visible"] or found
    if wanted is not None and wanted in found:
        return wanted
    listed = ", ".join(repr(name) for name in found) or "none with rows"
    if wanted is not None:
        raise UserError(f"{path}: the workbook has no sheet {wanted!r} with rows; it has {listed}")
    if len(shown) != 1:
        raise UserError(f"{path}: the workbook has the sheets {listed}; say which one, with SHEET=")
    return str(shown[0])


def names(path: Path, sheet: str) -> list[str]:
    """The names in the first row that has values.

    Raises:
        UserError: the workbook cannot be read.
    """
    with _opened(path, values=True) as book:
        _, first = next(_rows(book[sheet]))
    return [f"unnamed {place}" if name is None else str(name).strip() for place, name in enumerate(first, start=1)]


def pieces(path: Path, sheet: str) -> Iterator[pd.DataFrame]:
    """The rows below the names, some at a time, without empty ones; a moment is a Timestamp, an empty cell None.

    Raises:
        UserError: the workbook cannot be read, a row is longer than the names, or a formula was never computed.
    """
    header = names(path, sheet)
    with _opened(path, values=True) as book, _opened(path, values=False) as written:
        pairs = zip(_rows(book[sheet], keep_empty=True), _rows(written[sheet], keep_empty=True), strict=True)
        filled = (_row(path, header, *pair) for pair in pairs if any(cell is not None for cell in pair[1][1]))
        next(filled, None)
        while batch := list(islice(filled, PIECE_ROWS)):
            piece = pd.DataFrame(batch, columns=header, dtype=object)
            yield piece.apply(_moments)


def _row(path: Path, header: list[str], cells: tuple[int, Row], formulas: tuple[int, Row]) -> list[Any]:
    (number, values), (_, written) = cells, formulas
    if len(values) > len(header):
        raise UserError(
            f"{path}: row {number} has {len(values)} values, and the first row names {len(header)} columns; take out "
            "what stands before or beside the table"
        )
    for name, value, formula in zip_longest(header, values, written):
        if value is None and isinstance(formula, str) and formula.startswith("="):
            raise UserError(
                f"{path}: the formula in row {number} of the column {name!r} was never computed; open the workbook in "
                "a program that does, and save it"
            )
    found = [pd.Timestamp(value) if isinstance(value, datetime.date) else value for value in values]
    return [*found, *[None] * (len(header) - len(found))]


def _moments(values: pd.Series) -> pd.Series:
    """A column of moments in their type, any other as it is."""
    present = values.dropna()
    is_time = not present.empty and all(isinstance(value, pd.Timestamp) for value in present)
    return pd.to_datetime(values).astype("datetime64[us]") if is_time else values


def _rows(sheet: Any, keep_empty: bool = False) -> Iterator[tuple[int, Row]]:
    """The number of each row with its values, as far as there are any."""
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        filled = next((place for place in range(len(row), 0, -1) if row[place - 1] not in (None, "")), 0)
        if filled or keep_empty:
            yield number, tuple(None if value == "" else value for value in row[:filled])


@contextmanager
def _opened(path: Path, *, values: bool) -> Iterator[Any]:
    """A workbook that is read as it goes, with what its cells show, or with their formulas."""
    with path.open("rb") as file:
        try:
            # Not by its path: the name need not end as a workbook's does.
            book = openpyxl.load_workbook(file, read_only=True, data_only=values)
        except Exception as error:  # a damaged archive, sheet or style has errors of its own
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise UserError(f"{path}: this is no readable workbook ({reason})") from error
        with closing(book):
            yield book
