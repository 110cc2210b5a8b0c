"""Holds tables to the schema, and gives their columns the types that training and serving share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.schema import CATEGORY_LENGTH, TEXT_LENGTH, Column, DataError, Schema

SHOWN_VALUES = 5


def validate(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the table with the schema's columns, order and types (see `cast`), every row kept.

    Raises:
        DataError: the table differs from the schema; the message names every problem.
    """
    require_names([str(name) for name in table.columns], schema)
    if table.empty:
        raise DataError("the table has no rows")
    if checked := problems(table, schema.columns):
        raise DataError("; ".join(f"column {name!r} {problem}" for name, problem in checked.items()))
    return cast(table[list(schema.columns)], schema.columns)


def require_names(names: list[str], schema: Schema) -> None:
    """Hold the names of a table's columns to the schema.

    Raises:
        DataError: one is missing, not in the schema, or there twice; the message names every one.
    """
    if differing := list(_problems_of_names(names, schema)):
        raise DataError("; ".join(differing))


def problems(table: pd.DataFrame, columns: dict[str, Column]) -> dict[str, str]:
    """What is wrong with the values of columns, by name; nothing of those in which nothing is."""
    return {name: problem for name, column in columns.items() if (problem := _problem(table[name], column))}


def cast(table: pd.DataFrame, columns: dict[str, Column]) -> pd.DataFrame:
    """Give each column the one type that it has in training and in serving alike.

    Numbers that may be missing become float64 with NaN, other integers int64, categories and texts objects with None,
    moments datetime64 in microseconds, those with a zone in UTC.
    """
    return pd.DataFrame({name: _cast(table[name], column) for name, column in columns.items()}, index=table.index)


def unlisted(table: pd.DataFrame, schema: Schema) -> dict[str, dict[str, int]]:
    """The values of open categories that the schema does not list, with their number of rows, per column."""
    found = {}
    for name, column in schema.columns.items():
        if column.open and column.categories:
            values = table[name].dropna()
            counts = values[~values.isin(column.categories)].value_counts()
            if not counts.empty:
                found[name] = {str(value): int(count) for value, count in counts.items()}
    return found


def _problems_of_names(names: list[str], schema: Schema) -> Iterator[str]:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    missing = [name for name in schema.columns if name not in names]
    unexpected = [name for name in dict.fromkeys(names) if name not in schema.columns]
    for words, found in [
        ("stands in the table more than once", repeated),
        ("is missing", missing),
        ("is not in the schema", unexpected),
    ]:
        for name in found:
            yield f"column {name!r} {words}"


def _problem(values: pd.Series, column: Column) -> str | None:
    """What is wrong with one column's values, or None."""
    missing = values.isna()
    if missing.any() and not column.nullable:
        return f"is empty in {_rows(missing)}, and the schema says that it never is"
    present = values[~missing]
    if isinstance(present.dtype, pd.CategoricalDtype):
        present = present.astype(present.cat.categories.dtype)
    if wrong := _problem_of_type(present, column):
        return wrong
    if column.type in ("integer", "number") and not column.categories:
        return _problem_of_range(pd.to_numeric(present), column)
    if column.categories and not column.open:
        unknown = ~present.isin(column.categories)
        if unknown.any():
            return f"has values that the schema does not list in {_rows(unknown)}: {_some(present[unknown])}"
    return None


def _problem_of_type(present: pd.Series, column: Column) -> str | None:
    if present.empty:
        return None
    match column.type:
        case "category" | "text":
            # Looking at each value takes a hundred times as long.
            if pd.api.types.infer_dtype(present) != "string":
                strings = present.map(lambda value: isinstance(value, str))
                return f"should hold text, but has {_some(present[~strings])}"
            return _problem_of_length(present, column)
        case "boolean":
            booleans = present.map(lambda value: isinstance(value, bool | np.bool_))
            return None if booleans.all() else f"should hold true and false, but has {_some(present[~booleans])}"
        case "datetime":
            return _problem_of_datetime(present, column.zoned)
        case _:
            return _problem_of_number(present, whole=column.type == "integer")


def _problem_of_length(present: pd.Series, column: Column) -> str | None:
    """What the service would refuse in a feature that takes any text."""
    if column.role != "feature" or (column.categories and not column.open):
        return None
    longest = TEXT_LENGTH if column.type == "text" else CATEGORY_LENGTH
    lengths = present.str.len()
    if (lengths > longest).any():
        return (
            f"has texts of up to {lengths.max():,} letters in {_rows(lengths > longest)}, and a request may hold "
            f"{longest:,}: shorten them, or leave the column out"
        )
    if column.type == "category" and (lengths == 0).any():
        return f"has texts without a letter in {_rows(lengths == 0)}, and a request may hold none: leave them empty"
    return None


def _problem_of_datetime(present: pd.Series, zoned: bool) -> str | None:
    if not pd.api.types.is_datetime64_any_dtype(present):
        return f"should hold dates, but has {_some(present)}"
    if zoned != isinstance(present.dtype, pd.DatetimeTZDtype):
        return f"should hold dates {'with' if zoned else 'without'} a time zone, but has {_some(present)}"
    unnamed = ~present.dt.year.between(1, 9999)
    return f"has years that no request can hold in {_rows(unnamed)}" if unnamed.any() else None


def _problem_of_number(present: pd.Series, whole: bool) -> str | None:
    if not pd.api.types.is_numeric_dtype(present) or pd.api.types.is_bool_dtype(present):
        culprits = present[~present.map(lambda value: isinstance(value, int | float) and not isinstance(value, bool))]
        return f"should hold numbers, but has {_some(culprits if len(culprits) else present)}"
    floats = present.to_numpy(dtype="float64")
    if not np.isfinite(floats).all():
        return "holds infinity"
    if whole and (floats % 1 != 0).any():
        return f"should hold whole numbers, but has {_some(present[floats % 1 != 0])}"
    return None


def _problem_of_range(present: pd.Series, column: Column) -> str | None:
    low = -np.inf if column.minimum is None else column.minimum
    high = np.inf if column.maximum is None else column.maximum
    outside = (present < low) | (present > high)
    if not outside.any():
        return None
    return f"leaves the range {low:g} to {high:g} in {_rows(outside)}: {_some(present[outside])}"


def _cast(values: pd.Series, column: Column) -> pd.Series:
    match column.type:
        case "category" | "text":
            objects = values.astype(object)
            return objects.where(objects.notna(), None)
        case "datetime":
            return pd.to_datetime(values, utc=column.zoned).astype(
                "datetime64[us, UTC]" if column.zoned else "datetime64[us]"
            )
        case "boolean" if not column.nullable:
            return values.astype("bool")
        case "integer" if not column.nullable:
            return values.astype("int64")
        case _:
            return values.astype("float64")


def _rows(mask: pd.Series) -> str:
    count = int(mask.sum())
    return f"{count} row{'s' if count != 1 else ''}"


def _some(values: pd.Series) -> str:
    distinct = list(dict.fromkeys(repr(value) for value in values.tolist()))
    more = f" and {len(distinct) - SHOWN_VALUES} more" if len(distinct) > SHOWN_VALUES else ""
    return ", ".join(value[:60] for value in distinct[:SHOWN_VALUES]) + more
