"""How the values of a column are written in a file, and how they become values of a type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pipeline.schema import Written

from gitops_ml.reading import amounts, dates, missing

BOOLEANS = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
NO_TIME = np.iinfo("int64").min


@dataclass(frozen=True)
class Form:
    """How a column is written: its type, the words that are gaps, and what else it takes to read it.

    `loose`: values of other types are taken as the text that they are written as. `whole` is how whole numbers are
    dates: `digits`, as 20240131, or an `epoch`, time since 1970.
    """

    kind: Literal["nothing", "boolean", "integer", "number", "datetime", "text"]
    gaps: frozenset[str] = frozenset()
    decimal: Literal[".", ","] | None = None
    unit: str = ""
    order: dates.Order | None = None
    whole: Literal["digits", "epoch"] | None = None
    zoned: bool = False
    loose: bool = False

    def arrow(self) -> pa.DataType:
        """The type in which the column is stored."""
        match self.kind:
            case "boolean":
                return pa.bool_()
            case "integer":
                return pa.int64()
            case "number":
                return pa.float64()
            case "datetime":
                return pa.timestamp("us", "UTC" if self.zoned else None)
            case _:
                return pa.string()

    def written(self) -> Written | None:
        """What the schema has to say so that a later file is read alike; None where nothing has to be said."""
        usual = missing.MARKERS if self.kind == "text" else missing.POSSIBLE
        words = sorted(self.gaps - usual) if self.gaps >= usual else []
        found = Written(
            decimal=self.decimal,
            unit=self.unit,
            order=self.order,
            whole=self.whole,
            missing=words if words or not self.gaps >= usual else None,
        )
        return None if found == Written() else found


def read(values: pd.Series, form: Form, untyped: bool) -> pd.Series:
    """The values in their type; missing where they are gaps, or are not written so.

    Args:
        values: text, or what the file's own type is.
        form: how they are written.
        untyped: whether all values of the file are text, so that blanks around them mean nothing.
    """
    values = present(values, form, untyped)
    if form.kind in ("text", "nothing"):
        return values.astype(object).where(values.notna(), None)
    if not is_text(values):
        return _converted(values, form)
    codes, distinct = pd.factorize(values)
    texts = pd.Series(distinct, dtype="str")
    read_texts = _read_texts(texts, form)
    return read_texts.reindex(codes).set_axis(values.index)


def present(values: pd.Series, form: Form, untyped: bool) -> pd.Series:
    """The values, missing where a word says so."""
    if form.loose and not untyped:
        values = as_texts(values)
    if is_text(values):
        stripped = values.str.strip() if untyped or form.kind != "text" else values
        return stripped.mask(stripped.isin(form.gaps | {""}))
    return values.mask(values.isin(form.gaps)) if values.dtype == object and form.gaps else values


def as_texts(values: pd.Series) -> pd.Series:
    """Values of any type as the text that a person would write; whole numbers without a point."""
    return values.map(_text_of, na_action="ignore").astype("str")


def is_text(values: pd.Series) -> bool:
    """Whether all values are text, of those that are there."""
    if values.dtype == object:
        return all(isinstance(value, str) for value in values.dropna())
    return pd.api.types.is_string_dtype(values)


def _text_of(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _read_texts(texts: pd.Series, form: Form) -> pd.Series:
    """The distinct texts in their type, missing where they are not written so."""
    match form.kind:
        case "boolean":
            return texts.map(BOOLEANS).astype("boolean")
        case "integer":
            fits = texts.str.fullmatch(rf"(?:{amounts.WHOLE})(?:\.0+)?").fillna(False).astype(bool)
            numbers = pd.to_numeric(texts[fits].str.replace(r"\.0+$", "", regex=True))
            return numbers.astype("Int64").reindex(texts.index)
        case "number":
            return _read_numbers(texts, form)
        case _:
            return _read_dates(texts, form)


def _read_numbers(texts: pd.Series, form: Form) -> pd.Series:
    plain = texts.str.fullmatch(amounts.PLAIN).fillna(False).astype(bool)
    if form.decimal == ",":
        plain &= ~texts.str.contains(".", regex=False)
    numbers = pd.to_numeric(texts[plain]).astype("float64")
    parsed = amounts.parse(texts[~plain], form.decimal or ".")
    fits = parsed["unit"].isin(["", form.unit])
    return pd.concat([numbers, parsed.loc[fits, "number"].astype("float64")]).reindex(texts.index)


def _read_dates(texts: pd.Series, form: Form) -> pd.Series:
    parsed = dates.parse(texts, form.order or "day-first")
    found = parsed["microseconds"].where(parsed["zoned"] == form.zoned)
    if form.whole:
        found = found.fillna(dates.parse_whole(texts) if form.whole == "digits" else dates.parse_epoch(texts))
    moments = pd.Series(found.fillna(NO_TIME).to_numpy("int64").view("datetime64[us]"), index=texts.index)
    return moments.dt.tz_localize("UTC") if form.zoned else moments


def _converted(values: pd.Series, form: Form) -> pd.Series:
    """Values that have a type already."""
    match form.kind:
        case "boolean":
            return values.astype("boolean")
        case "datetime":
            return pd.to_datetime(values, utc=form.zoned)
        case "integer":
            return pd.to_numeric(values).astype("Int64")
        case _:
            return pd.to_numeric(values).astype("float64")
