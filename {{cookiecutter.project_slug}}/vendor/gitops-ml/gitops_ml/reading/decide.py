"""From what was met in the columns to the form of each: what is a gap, a number, a date or a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gitops_ml.core.errors import UserError
from gitops_ml.reading import missing
from gitops_ml.reading.columns import Column
from gitops_ml.reading.dates import Order
from gitops_ml.reading.forms import Form

Kind = Literal["text", "number", "date", "category"]
Decimal = Literal[".", ","]
# If so many of the values are numbers or dates and a few are not, the column is more likely broken than text.
BROKEN = 0.9
# Fewer different numbers of six digits may be months by chance.
FEWEST_MONTHS = 5
# Who writes these does not separate decimals by a comma.
POINT_UNITS = ("$", "£", "US$")


@dataclass(frozen=True)
class Spelling:
    """What the person has said about how values are written; None where it is to be recognised.

    `missing`: words that are gaps; an empty set says that no word among texts is one. `kinds`: of columns, by name.
    """

    decimal: Decimal | None = None
    dates: Order | None = None
    missing: frozenset[str] | None = None
    kinds: dict[str, Kind] = field(default_factory=dict)

    def said(self, kind: Kind) -> tuple[str, ...]:
        """The columns that the person has said to be of this kind."""
        return tuple(name for name, each in self.kinds.items() if each == kind)

    @property
    def gaps(self) -> frozenset[str]:
        """The words that are gaps among numbers and dates."""
        return missing.POSSIBLE | (self.missing or frozenset())


def forms_of(columns: dict[str, Column], spelling: Spelling) -> dict[str, Form]:
    """The form of each column.

    Raises:
        UserError: a column could be read in two ways, or is not what the person says.
    """
    decimal = spelling.decimal or clear_decimal(columns)
    values = {name: _values(column, spelling, decimal) for name, column in columns.items()}
    among_values = frozenset(word for name, column in columns.items() if values[name] for word in column.words)
    return {name: values[name] or _text(column, spelling, among_values) for name, column in columns.items()}


def clear_decimal(columns: dict[str, Column]) -> Decimal | None:
    """A comma, if it stands before decimals in a column that cannot be read otherwise."""
    clear = (each.numbers for each in columns.values() if not each.typed)
    return "," if any(each.comma and not each.failed[","].rows for each in clear) else None


def _values(column: Column, spelling: Spelling, decimal: Decimal | None) -> Form | None:
    """The form of a column that is no text; None if it is one."""
    match spelling.kinds.get(column.name):
        case "text" | "category":
            return None
        case "number":
            return _number_said(column, spelling, decimal)
        case "date":
            return _date_said(column, spelling)
    if column.typed:
        return _typed(column)
    return _recognised(column, spelling, decimal) if column.present else None


def _typed(column: Column) -> Form | None:
    """What the file itself says; None where that cannot be held, and text can."""
    if column.huge:
        return None
    return (column.kinds == {"integer"} and whole_dates(column, frozenset())) or column.own_form()


def _recognised(column: Column, spelling: Spelling, decimal: Decimal | None) -> Form | None:
    """What the texts are, if they are not just that."""
    if not column.booleans.rows:
        return Form("boolean", spelling.gaps, loose=column.loose)
    form = None
    # A text that could be a plain number is text where the file could have said number; it could not say an amount.
    if column.untyped or column.loose or column.numbers.spelled:
        form = whole_dates(column, spelling.gaps) or _number(column, spelling.gaps, decimal)
    form = form or _date(column, spelling)
    if form is None:
        _require_no_mixture(column)
    return form


def whole_dates(column: Column, gaps: frozenset[str]) -> Form | None:
    """The form of a column of whole numbers that all are dates, as 20240131 is."""
    digits = column.moments.digits
    if not digits.tried or digits.rows or (column.counts is not None and len(column.counts) < FEWEST_MONTHS):
        return None
    return Form("datetime", gaps, whole="digits", loose=column.loose)


def _number(column: Column, gaps: frozenset[str], decimal: Decimal | None) -> Form | None:
    numbers = column.numbers
    fitting: list[Decimal] = [each for each in (".", ",") if not numbers.failed[each].rows]
    if not fitting or numbers.padded.rows or len(numbers.units) > 1:
        return None
    unit = next(iter(numbers.units), "")
    if numbers.whole:
        return Form("integer", gaps)
    if len(fitting) == 1:
        chosen = fitting[0]
    elif decimal or not numbers.two_ways or unit.startswith(POINT_UNITS):
        chosen = decimal or "."
    else:
        raise UserError(
            f"column {column.name!r} holds numbers whose comma could stand before decimals or between thousands; "
            "say DECIMAL=, or DECIMAL=."
        )
    return Form(
        "number", gaps, decimal=chosen if numbers.spelled or chosen == "," else None, unit=unit, loose=column.loose
    )


def _number_said(column: Column, spelling: Spelling, decimal: Decimal | None) -> Form:
    if column.typed:
        if not column.kinds <= {"integer", "number"}:
            raise UserError(f"the column {column.name!r} holds {min(column.kinds)}, which is no number")
        return column.own_form()
    numbers = column.numbers
    # Of two signs that both fail somewhere, the one that fails less.
    chosen: Decimal = decimal or ("," if numbers.failed[","].rows < numbers.failed["."].rows else ".")
    if numbers.failed[chosen].rows:
        raise UserError(
            f"column {column.name!r} should hold numbers, but has {numbers.failed[chosen].told()}; mend the file, or "
            "say which words mean missing, with MISSING="
        )
    units = sorted(unit for unit in numbers.units if unit)
    if len(units) > 1:
        raise UserError(f"column {column.name!r} holds amounts in several units: {told(units)}; write them in one")
    spelled = numbers.spelled or chosen == ","
    return Form("number", spelling.gaps, decimal=chosen if spelled else None, unit="".join(units), loose=column.loose)


def _date(column: Column, spelling: Spelling) -> Form | None:
    moments = column.moments
    fitting = [order for order, failures in moments.failed.items() if not failures.rows]
    if not fitting or moments.zoned.rows not in (0, column.present):
        return None
    order = None if len(fitting) > 1 and not moments.two_orders else fitting[0] if len(fitting) == 1 else spelling.dates
    if order is None and moments.two_orders:
        raise UserError(
            f"column {column.name!r} holds dates that could be day/month or month/day; say DATES=day-first or "
            "DATES=month-first"
        )
    return Form("datetime", spelling.gaps, order=order, zoned=moments.zoned.rows > 0, loose=column.loose)


def _date_said(column: Column, spelling: Spelling) -> Form:
    digits = column.moments.digits
    if column.typed and not column.kinds <= {"integer", "number"}:
        return column.own_form()
    if (column.typed or column.numbers.whole) and column.present:
        return Form("datetime", spelling.gaps, whole="epoch" if digits.rows else "digits", loose=column.loose)
    if (form := _date(column, spelling)) or not column.present:
        return form or Form("datetime", spelling.gaps)
    failures = min(column.moments.failed.values(), key=lambda each: each.rows)
    what = f"has {failures.told()}" if failures.rows else "some have a time zone and some have none"
    raise UserError(
        f"column {column.name!r} should hold dates, but {what}; write them as 2024-01-31 or 2024-01-31T18:00:00"
    )


def _text(column: Column, spelling: Spelling, among_values: frozenset[str]) -> Form:
    if spelling.missing is not None and not spelling.missing:
        gaps: frozenset[str] = frozenset()
    else:
        said = spelling.missing or frozenset()
        gaps = missing.MARKERS | said | missing.gaps_among_texts(column.words, column.counts, among_values | said)
    return Form("text", gaps, loose=column.loose)


def _require_no_mixture(column: Column) -> None:
    """Refuse a column of numbers or dates of which a few are none."""
    numbers = column.numbers
    if numbers.padded.rows or len(numbers.units) > 1 or (column.kinds == {"text"} and not column.untyped):
        return
    ways = {"numbers": min(numbers.failed.values(), key=lambda each: each.rows)}
    ways["dates"] = min(column.moments.failed.values(), key=lambda each: each.rows)
    ways["boolean"] = column.booleans
    what, nearest = min(ways.items(), key=lambda way: way[1].rows)
    if nearest.rows and nearest.share > BROKEN:
        raise UserError(
            f"column {column.name!r} mixes {what} and text, such as {nearest.told()}; mend the file, say which words "
            f"mean missing, with MISSING=, or TEXT={column.name} if all of it is text"
        )


def told(names: list[str], most: int = 3) -> str:
    """Some names, and how many more there are."""
    shown = ", ".join(repr(name[:60]) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
