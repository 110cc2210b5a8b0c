"""Which rows of a table do not fit the schema, and why: what the service refuses, for many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pipeline.schema import CATEGORY_LENGTH, TEXT_LENGTH, Column

from gitops_serving.fast.rows import EXACT

Mask = npt.NDArray[np.bool_]
SHOWN = 60
EMPTY = "is empty"


@dataclass(frozen=True)
class Wrong:
    """Something that is wrong with a column in some rows, in words, and the value of a row if that is to be shown."""

    column: str
    what: str
    rows: Mask
    value: Callable[[int], object] | None = None


def wrong(table: pa.Table, features: dict[str, Column]) -> Iterator[Wrong]:
    """What is wrong with rows whose columns have the schema's types."""
    for name, column in features.items():
        values = table.column(name)
        for what, rows, shows in _wrong(values, column):
            yield Wrong(name, what, rows, partial(_at, values) if shows else None)


def _at(values: pa.ChunkedArray, row: int) -> object:
    return values[row].as_py()


def reasons(found: list[Wrong], columns: dict[str, Column]) -> dict[int, str]:
    """Of each row that does not fit, by its place, all that is wrong with it; values of personal columns left out."""
    said: dict[int, list[str]] = {}
    for each in found:
        hidden = each.value is None or (each.column in columns and columns[each.column].personal)
        for row in np.flatnonzero(each.rows).tolist():
            value = "" if hidden or each.value is None else f": {str(each.value(row))[:SHOWN]!r}"
            said.setdefault(row, []).append(f"{each.column} {each.what}{value}")
    return {row: "; ".join(said[row]) for row in sorted(said)}


def _wrong(values: pa.ChunkedArray, column: Column) -> Iterator[tuple[str, Mask, bool]]:
    if not column.nullable:
        yield EMPTY, _mask(pc.is_null(values, nan_is_null=True)), False
    match column.type:
        case "integer" | "number":
            yield from _numbers(values, column)
        case "category" | "text":
            yield from _texts(values, column)
        case "datetime":
            years = pc.year(values)
            yield "is a year that no request can hold", _mask(pc.or_(pc.less(years, 1), pc.greater(years, 9999))), True


def _numbers(values: pa.ChunkedArray, column: Column) -> Iterator[tuple[str, Mask, bool]]:
    if column.type == "number":
        yield "is infinite", _mask(pc.is_inf(values)), False
    low, high = column.minimum, column.maximum
    if column.type == "integer":
        low, high = (-EXACT if low is None else low), (EXACT if high is None else high)
    if low is not None:
        yield f"is below {low:g}", _mask(pc.less(values, pa.scalar(low, pa.float64()))), True
    if high is not None:
        yield f"is above {high:g}", _mask(pc.greater(values, pa.scalar(high, pa.float64()))), True


def _texts(values: pa.ChunkedArray, column: Column) -> Iterator[tuple[str, Mask, bool]]:
    if column.categories and not column.open:
        listed = pc.is_in(values, value_set=pa.array([str(each) for each in column.categories]))
        yield "is none that the schema lists", _mask(pc.and_(pc.invert(listed), pc.is_valid(values))), True
        return
    most = TEXT_LENGTH if column.type == "text" else CATEGORY_LENGTH
    lengths = pc.utf8_length(values)
    yield f"is longer than {most:,} letters", _mask(pc.greater(lengths, most)), False
    if column.type == "category":
        yield "is a text without a letter", _mask(pc.equal(lengths, 0)), False


def _mask(found: pa.ChunkedArray) -> Mask:
    mask: Mask = pc.fill_null(found, False).to_numpy().astype(bool, copy=False)
    return mask
