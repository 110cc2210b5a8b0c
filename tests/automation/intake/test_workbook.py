"""`make data` on workbooks of Excel, which have sheets, formulas and whatever somebody wrote above the table."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
from gitops_ml.core.errors import UserError
from pipeline.stages import rows

from tests.automation.intake.bringing import LABEL, ROWS, SIGNAL, fitting, take

pytestmark = pytest.mark.usefixtures("project")


def book(*others: str, **columns: list[Any]) -> openpyxl.Workbook:
    """A workbook with a signal, a label, what a test adds, and other sheets that have a word each."""
    found = openpyxl.Workbook()
    table = {"x": SIGNAL.tolist(), **columns, "y": LABEL.tolist()}
    found.active.title = "orders"
    found.active.append(list(table))
    for row in zip(*table.values(), strict=True):
        found.active.append(row)
    for name in others:
        found.create_sheet(name).append(["a word"])
    return found


def content(of: openpyxl.Workbook) -> bytes:
    """The file."""
    file = io.BytesIO()
    of.save(file)
    return file.getvalue()


def test_cells_keep_their_types() -> None:
    """Dates, whole numbers with gaps and truths of a sheet are what they are there, and its empty rows are none."""
    days: list[Any] = [datetime.date(2024, 1, 1) + datetime.timedelta(days=n) for n in range(ROWS)]
    days[3] = None
    workbook = book(
        day=days, n=[None if n % 5 == 0 else n % 7 for n in range(ROWS)], b=[n % 2 == 0 for n in range(ROWS)]
    )
    workbook.active.append([])
    workbook.active.append([None, ""])
    outcome = take(content(workbook), name="table", time_column="none")
    schema = fitting()
    assert outcome.rows == ROWS
    assert outcome.source == "Excel, sheet 'orders'"
    types = {"x": "number", "day": "datetime", "n": "integer", "b": "boolean"}
    assert {name: column.type for name, column in schema.features.items()} == types
    ((_, raw),) = rows.Raw(schema).validated()
    assert raw["day"].isna().sum() == 1
    assert raw["n"].isna().sum() == ROWS // 5


def test_the_sheet_that_is_meant_is_read() -> None:
    """Of several sheets the named one is read; one that is hidden is not taken for a second one."""
    workbook = book("notes")
    take(content(workbook), sheet="orders")
    assert list(fitting().features) == ["x"]
    workbook["notes"].sheet_state = "hidden"
    take(content(workbook), name="hidden.xlsx")
    assert list(fitting().features) == ["x"]


def with_title(workbook: openpyxl.Workbook) -> None:
    """A title above the names."""
    workbook.active.insert_rows(1)
    workbook.active["A1"] = "Orders of the year"


def with_formula(workbook: openpyxl.Workbook) -> None:
    """A formula that no program has computed."""
    workbook.active["A9"] = "=1+1"


def with_sheets(workbook: openpyxl.Workbook) -> None:
    """Another sheet with rows."""
    workbook.create_sheet("2025").append(["x"])


REFUSED: dict[str, tuple[Callable[[openpyxl.Workbook], None], dict[str, Any], str]] = {
    "several sheets": (with_sheets, {}, "has the sheets 'orders', '2025'; say which one, with SHEET="),
    "another sheet": (with_sheets, {"sheet": "2023"}, "no sheet '2023' with rows; it has 'orders', '2025'"),
    "a title": (with_title, {}, "row 2 has 2 values, and the first row names 1 columns; take out what stands before"),
    "a formula": (with_formula, {}, "the formula in row 9 of the column 'x' was never computed"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_workbook_that_cannot_be_read_as_a_table_is_refused(kind: str) -> None:
    """One sentence says what is in the way and what to do."""
    change, said, reason = REFUSED[kind]
    workbook = book()
    change(workbook)
    with pytest.raises(UserError, match=reason):
        take(content(workbook), **said)


def test_a_damaged_workbook_is_refused() -> None:
    """A workbook that is cut off ends in a sentence."""
    with pytest.raises(UserError, match=r"a ZIP archive; unpack it"):
        take(content(book())[:3000])


def test_only_a_workbook_has_sheets() -> None:
    """SHEET= with another file is a mistake that is told."""
    with pytest.raises(UserError, match="only a workbook of Excel has sheets"):
        take("x,y\n1,a\n", sheet="orders")
