"""What a column of text holds: recognises booleans, numbers and dates as people write them, and reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gitops_ml.core.errors import UserError
from gitops_ml.intake.sources import Source

# The words that pandas takes for missing in a CSV file.
MISSING = frozenset(
    "|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null".split("|")  # noqa: SIM905 - a list would take twenty lines
)
# Missing too where everything else in the column is a number or a date.
PLACEHOLDERS = frozenset(["?", "-", "--", ".", "*", "unknown", "Unknown", "na", "none"])
# Whole numbers from here on are no quantities, and float64 cannot hold them.
DIGITS = 15
NUMBERS = {
    "integer": rf"[+-]?(?:0|[1-9]\d{{0,{DIGITS - 1}}})",
    "number": rf"[+-]?(?:(?:0|[1-9]\d{{0,{DIGITS - 1}}})|\d*\.\d+|\d+\.\d*)(?:[eE][+-]?\d+)?"
    r"|[+-]?(?:inf|Inf|INF|Infinity)",
    "decimal comma": rf"[+-]?(?:0|[1-9]\d{{0,{DIGITS - 1}}}|\d+,\d+|\d{{1,3}}(?:\.\d{{3}})+(?:,\d+)?)(?:[eE][+-]?\d+)?",
    "thousands comma": r"[+-]?(?:\d{1,3}(?:,\d{3})+|0|[1-9]\d{0,2})(?:\.\d+)?",
}
COMMAS = {"decimal comma", "thousands comma"}
TIME = r"(?:[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?"
ZONE = r"\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})"
# By the pattern, and how pandas reads what fits it; the time of day is cut off and added again.
DATES = {
    "ISO date": (rf"\d{{4}}-\d{{1,2}}-\d{{1,2}}{TIME}", "%Y-%m-%d"),
    "ISO date with zone": (rf"\d{{4}}-\d{{1,2}}-\d{{1,2}}[ T]\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,9}})?)?{ZONE}", ""),
    "year/month/day": (rf"\d{{4}}/\d{{1,2}}/\d{{1,2}}{TIME}", "%Y/%m/%d"),
    "day.month.year": (rf"\d{{1,2}}\.\d{{1,2}}\.\d{{4}}{TIME}", "%d.%m.%Y"),
    "day/month/year": (rf"\d{{1,2}}/\d{{1,2}}/\d{{4}}{TIME}", "%d/%m/%Y"),
    "month/day/year": (rf"\d{{1,2}}/\d{{1,2}}/\d{{4}}{TIME}", "%m/%d/%Y"),
    "day-month-year": (rf"\d{{1,2}}-[A-Za-z]{{3}}-\d{{4}}{TIME}", "%d-%b-%Y"),
    "day month year": (rf"\d{{1,2}} [A-Za-z]{{3}} \d{{4}}{TIME}", "%d %b %Y"),
    "month day year": (rf"[A-Za-z]{{3}} \d{{1,2}},? \d{{4}}{TIME}", "%b %d %Y"),
}
ORDERS = {"day-first": "day/month/year", "month-first": "month/day/year"}
# If so many of the values are numbers or dates and some are not, the column is more likely broken than text.
MOSTLY = 0.9


@dataclass(frozen=True)
class Spelling:
    """What the person has said about how values are written; None where it is to be recognised."""

    decimal: str | None = None
    dates: str | None = None
    missing: tuple[str, ...] = ()


@dataclass
class Reading:
    """Learns from the pieces of one column in which form all of its values can be read."""

    name: str
    present: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    odd: dict[str, str] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    # A comma that can only be a decimal one.
    decimal: bool = False

    def learn_text(self, values: pd.Series) -> None:
        """Take in a piece of a column of text, without the missing values."""
        self.present += len(values)
        counts = values.value_counts()
        texts = pd.Series(counts.index, dtype="str")
        self.decimal = self.decimal or bool(texts.str.fullmatch(r"[+-]?\d+,(?!\d{3}$)\d+").any())
        for form in FORMS:
            # Whatever has failed in most rows of a large piece will not be the form of the column.
            if self.failed[form] > (1 - MOSTLY) * self.present + len(values):
                self.failed[form] += len(values)
                continue
            wrong = read(texts, form).isna() & ~texts.isin(PLACEHOLDERS)
            self.failed[form] += int(counts.to_numpy()[wrong.to_numpy()].sum())
            if wrong.any():
                self.odd.setdefault(form, str(texts[wrong].iloc[0]))
        self.kinds.add("placeholder" if texts.isin(PLACEHOLDERS).all() else "text")

    def learn_values(self, values: pd.Series) -> None:
        """Take in a piece of a column whose values have types, without the missing values."""
        if values.empty:
            return
        if values.dtype == object or pd.api.types.is_string_dtype(values):
            kinds = values.map(_kind_of)
            self.kinds |= set(kinds)
            if other := {kind for kind in kinds if kind.startswith("other ")}:
                raise UserError(f"column {self.name!r} holds {min(other)[6:]} values, which no model reads; DROP= it")
            if "text" in self.kinds and len(self.kinds) == 1:
                self.learn_text(values.astype("str"))
                return
        elif pd.api.types.is_bool_dtype(values):
            self.kinds.add("boolean")
        elif pd.api.types.is_datetime64_any_dtype(values):
            self.kinds.add("datetime with zone" if values.dt.tz is not None else "datetime")
        elif pd.api.types.is_integer_dtype(values):
            self.kinds.add("integer")
        else:
            self.kinds.add("number")
        self.present += len(values)

    def decide(self, untyped: bool, spelling: Spelling) -> str:
        """The form of the column: one of FORMS, `text`, `nothing`, or a type of the file's own.

        Raises:
            UserError: the values are of several kinds, or could be read in two ways.
        """
        if not self.present:
            return "nothing"
        if not untyped and self.kinds != {"text"}:
            return self._own_type()
        fitting = [form for form in FORMS if not self.failed[form]] if self.kinds != {"placeholder"} else []
        if not untyped:
            # A text that could be a number is text, since this file could have said number; JSON has no dates.
            fitting = [form for form in fitting if form in DATES]
        if not fitting:
            self._require_no_mixture(untyped)
            return "text"
        return self._choose(fitting, spelling)

    def _own_type(self) -> str:
        if self.kinds == {"integer", "number"}:
            return "number"
        if len(self.kinds) > 1:
            found = " and ".join(sorted(self.kinds))
            raise UserError(f"column {self.name!r} mixes {found}; mend the file, or DROP= the column")
        return next(iter(self.kinds))

    def _require_no_mixture(self, untyped: bool) -> None:
        # What is said most often for a form that nearly fits; of forms that fail alike, the first.
        nearly = min((form for form in FORMS if untyped or form in DATES), key=lambda form: self.failed[form])
        if self.failed[nearly] < (1 - MOSTLY) * self.present:
            what = "dates" if nearly in DATES else nearly if nearly == "boolean" else "numbers"
            raise UserError(
                f"column {self.name!r} mixes {what} and text: {self.failed[nearly]} of {self.present} values, such as "
                f"{self.odd[nearly][:60]!r}, are none; mend the file, or say which words mean missing, with MISSING="
            )

    def _choose(self, fitting: list[str], spelling: Spelling) -> str:
        both = [form for form in fitting if form in ORDERS.values()]
        if len(both) > 1:
            if spelling.dates is None:
                raise UserError(
                    f"column {self.name!r} holds dates that could be day/month or month/day; say DATES=day-first or "
                    "DATES=month-first"
                )
            return ORDERS[spelling.dates]
        commas = [form for form in fitting if form in COMMAS]
        if fitting[0] not in COMMAS or fitting[0] in DATES:
            return fitting[0]
        if spelling.decimal is not None:
            wanted = "decimal comma" if spelling.decimal == "," else "thousands comma"
            return wanted if wanted in commas else "text"
        if len(commas) > 1 and not self.decimal:
            raise UserError(
                f"column {self.name!r} holds numbers whose comma could stand before decimals or between thousands; "
                "say DECIMAL=, or DECIMAL=."
            )
        return "decimal comma" if self.decimal else commas[0]


FORMS = ["boolean", *NUMBERS, *DATES]


def read(values: pd.Series, form: str) -> pd.Series:
    """The values in their type; missing where they are not of this form.

    Args:
        values: text, or what the file's own type is.
        form: as `Reading.decide` gives it.
    """
    if form in ("text", "nothing"):
        return values.astype(object).where(values.notna(), None)
    if form == "boolean":
        if values.dtype == object or pd.api.types.is_string_dtype(values):
            known: dict[object, bool] = {
                "true": True,
                "false": False,
                "True": True,
                "False": False,
                "TRUE": True,
                "FALSE": False,
            }
            return values.map(known | {True: True, False: False}).astype("boolean")
        return values.astype("boolean")
    if form in ("datetime", "datetime with zone"):
        return pd.to_datetime(values, utc=form.endswith("zone"))
    if not (values.dtype == object or pd.api.types.is_string_dtype(values)) or _holds_numbers(values):
        numbers = pd.to_numeric(values)
        return numbers.astype("Int64") if form == "integer" else numbers.astype("float64")
    return _read_numbers(values.astype("str"), form) if form in NUMBERS else _read_dates(values.astype("str"), form)


def present(values: pd.Series, source: Source, missing: tuple[str, ...]) -> pd.Series:
    """The values without blanks around them, and missing where a word says so."""
    if not source.untyped:
        return values.mask(values.isin(missing)) if missing else values
    stripped = values.str.strip()
    return stripped.mask(stripped.isin(MISSING | set(missing)))


def _read_numbers(texts: pd.Series, form: str) -> pd.Series:
    fits = texts.str.fullmatch(NUMBERS[form]).fillna(False).astype(bool)
    chosen = texts[fits]
    if form == "decimal comma":
        chosen = chosen.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    elif form == "thousands comma":
        chosen = chosen.str.replace(",", "", regex=False)
    numbers = pd.to_numeric(chosen).reindex(texts.index)
    return numbers.astype("Int64") if form == "integer" else numbers.astype("float64")


def _read_dates(texts: pd.Series, form: str) -> pd.Series:
    pattern, date = DATES[form]
    fits = texts.str.fullmatch(pattern).fillna(False).astype(bool)
    zone = "UTC" if form == "ISO date with zone" else None
    if not fits.any():
        return pd.Series(pd.DatetimeIndex([pd.NaT] * len(texts), tz=zone).as_unit("us"), index=texts.index)
    chosen = texts[fits]
    if zone:
        moments = pd.to_datetime(chosen, format="ISO8601", utc=True, errors="coerce")
        return moments.astype("datetime64[us, UTC]").reindex(texts.index)
    if form == "month day year":
        chosen = chosen.str.replace(",", "", regex=False)
    parts = chosen.str.extract(r"^(.*?)(?:[ T](\d{1,2}:\d{2}(?::[\d.]+)?))?$")
    days = pd.to_datetime(parts[0], format=date, errors="coerce")
    clock = parts[1].fillna("0:00")
    clock = clock.where(clock.str.count(":") > 1, clock + ":00")
    moments = days + pd.to_timedelta(clock, errors="coerce")
    return moments.astype("datetime64[us]").reindex(texts.index)


def _holds_numbers(values: pd.Series) -> bool:
    first = values.dropna().head(1)
    return bool(len(first)) and not isinstance(first.iloc[0], str)


def _kind_of(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | np.integer):
        return "integer"
    if isinstance(value, str):
        return "text"
    # A decimal of Parquet is a number too.
    return "number" if hasattr(value, "__float__") else f"other {type(value).__name__}"
