"""The schema: what the table must look like, and the validation of raw data against it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, model_validator

ColumnType = Literal["integer", "number", "boolean", "category", "text", "datetime"]
Role = Literal["feature", "target", "time", "key", "ignore"]
Task = Literal["binary", "multiclass", "regression"]
# A value of a class, as it stands in the raw data.
Label = str | int | bool
SHOWN_VALUES = 5
# The longest value of an open category, and the longest text, that a request may hold.
CATEGORY_LENGTH = 200
TEXT_LENGTH = 20_000


class DataError(Exception):
    """Raw data does not match the schema; the message is one sentence for the person who brought the data."""


class Written(BaseModel):
    """How files write a column where that is not plain; `make data` reads by it, and stores the plain value.

    `decimal`: the sign before decimals. `unit`: what stands beside each number. `order`: of day and month in 1/2/2024.
    `whole`: dates are whole numbers, `digits` as 20240131 or an `epoch`, time since 1970. `missing`: words for a gap
    that are not taken for one by themselves; none at all, and of text only an empty cell is one.
    """

    model_config = ConfigDict(extra="forbid")

    decimal: Literal[".", ","] | None = None
    unit: str = ""
    order: Literal["day-first", "month-first"] | None = None
    whole: Literal["digits", "epoch"] | None = None
    missing: list[StrictStr] | None = None


class Column(BaseModel):
    """One column. `categories` closes the set of values, `open: true` says that new ones are expected over time.

    `quantiles` (minimum, quartiles, maximum), `reason` and `written` are notes of `make data`: what it saw, why it left
    a column out, and how files write it. `personal` says that the service never writes the values down.
    """

    model_config = ConfigDict(extra="forbid")

    type: ColumnType
    role: Role = "feature"
    description: str = ""
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: list[StrictStr | StrictInt] | None = None
    open: bool = False
    zoned: bool = False
    personal: bool = False
    quantiles: list[float] | None = None
    example: int | float | bool | str | None = None
    reason: str = ""
    written: Written | None = None

    @model_validator(mode="after")
    def _settings_fit_the_type(self) -> Self:
        ordered = self.type in ("integer", "number")
        if not ordered and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"a column of type {self.type} has no minimum or maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum:g} is above the maximum {self.maximum:g}")
        if self.zoned and self.type != "datetime":
            raise ValueError(f"only a datetime has a zone, and this column is of type {self.type}")
        if self.type == "category":
            if not self.categories and not self.open:
                raise ValueError("a category lists its categories, or says `open: true`")
            if not all(isinstance(value, str) for value in self.categories or []):
                raise ValueError("the categories of a category are text; put quotes around them")
        elif self.open or (self.categories is not None and not (self.type == "integer" and self.role == "target")):
            raise ValueError(f"only a category has categories, and this one is of type {self.type}")
        if self.categories is not None and len(set(self.categories)) < len(self.categories):
            raise ValueError("a category is listed twice")
        return self


class Schema(BaseModel):
    """Every column of the table, by name. Exactly one has the role `target`; at least one is a feature.

    `dropped` names columns of the source that `make data` leaves out of data/raw.
    """

    model_config = ConfigDict(extra="forbid")

    task: Task = "binary"
    dropped: list[str] = []
    columns: dict[str, Column] = Field(min_length=2)

    @model_validator(mode="after")
    def _roles_make_a_problem(self) -> Self:
        targets = self._with_role("target")
        if len(targets) != 1:
            raise ValueError(f"exactly one column has the role target, not {len(targets)}: {targets}")
        self._require_labels_of_the_task(targets[0], self.columns[targets[0]])
        if not self.features:
            raise ValueError("no column has the role feature")
        return self

    def _require_labels_of_the_task(self, name: str, label: Column) -> None:
        listed = len(label.categories or [])
        match self.task:
            case "binary":
                numbers = label.type == "integer" and (label.minimum, label.maximum) == (0, 1) and not listed
                if not numbers and label.type != "boolean" and (listed != 2 or label.open):
                    raise ValueError(
                        f"the target {name!r} is boolean, or an integer with minimum 0 and maximum 1, or lists two "
                        "categories, of which the second is the positive one"
                    )
            case "multiclass":
                if listed < 3 or label.open:
                    raise ValueError(f"the target {name!r} lists its categories, three or more")
            case "regression":
                if label.type not in ("integer", "number") or listed:
                    raise ValueError(f"the target {name!r} of a regression is a number")

    def _with_role(self, role: Role) -> list[str]:
        return [name for name, column in self.columns.items() if column.role == role]

    @property
    def target(self) -> str:
        """The name of the label's column."""
        return self._with_role("target")[0]

    @property
    def classes(self) -> list[Label]:
        """The label's values in the order of their codes, of two the positive one last; none in a regression."""
        label = self.columns[self.target]
        if self.task == "regression":
            return []
        return list(label.categories or ([False, True] if label.type == "boolean" else [0, 1]))

    @property
    def features(self) -> dict[str, Column]:
        """The columns that the model sees, in the order in which it sees them."""
        return {name: column for name, column in self.columns.items() if column.role == "feature"}


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
