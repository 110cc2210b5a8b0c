"""The forms of the columns of a later file, which are what the schema says: nothing is guessed anew."""

from __future__ import annotations

from pipeline import schema
from pipeline.schema import Schema, Written

from gitops_ml.core.errors import UserError
from gitops_ml.reading import missing
from gitops_ml.reading.columns import Column
from gitops_ml.reading.decide import Decimal, Spelling, clear_decimal, told
from gitops_ml.reading.forms import Form


def forms_by_schema(columns: dict[str, Column], expected: Schema, spelling: Spelling) -> dict[str, Form]:
    """The form in which each column is what the schema says; one that the schema lacks is text.

    Raises:
        UserError: a column is not what the schema says; the message names a value.
    """
    decimal = spelling.decimal or clear_decimal(columns)
    return {
        name: _form(column, expected.columns[name], spelling, decimal)
        if name in expected.columns
        else Form("text", loose=column.loose)
        for name, column in columns.items()
    }


def _form(column: Column, known: schema.Column, spelling: Spelling, decimal: Decimal | None) -> Form:
    written = known.written or Written()
    if known.type in ("category", "text"):
        return Form("text", _gaps_among_texts(known, written, spelling), loose=column.loose)
    gaps = spelling.gaps | frozenset(written.missing or [])
    if column.typed and not written.whole:
        return column.own_form()
    match known.type:
        case "boolean":
            if column.booleans.rows:
                raise UserError(_differs(column, "true and false", column.booleans.told()))
            return Form("boolean", gaps)
        case "datetime":
            return _date(column, known, written, gaps, spelling)
        case _:
            return _number(column, known, written, gaps, decimal)


def _gaps_among_texts(known: schema.Column, written: Written, spelling: Spelling) -> frozenset[str]:
    said = spelling.missing or frozenset()
    nothing = written.missing == [] or (spelling.missing is not None and not said)
    words = said if nothing else missing.MARKERS | frozenset(written.missing or []) | said
    return words - frozenset(str(value) for value in known.categories or []) | said


def _number(
    column: Column, known: schema.Column, written: Written, gaps: frozenset[str], decimal: Decimal | None
) -> Form:
    numbers = column.numbers
    wanted = "whole numbers" if known.type == "integer" else "numbers"
    if others := sorted(set(numbers.units) - {"", written.unit}):
        stored = f"in {written.unit!r}" if written.unit else "without a unit"
        raise UserError(f"column {column.name!r} holds amounts in {told(others)}, and the schema has them {stored}")
    if decimal is None and written.decimal is None and numbers.two_ways and not numbers.failed[","].rows:
        raise UserError(
            f"column {column.name!r} holds numbers whose comma could stand before decimals or between thousands; "
            "say DECIMAL=, or DECIMAL=."
        )
    chosen: Decimal = written.decimal or decimal or "."
    if numbers.failed[chosen].rows and decimal:
        chosen = decimal
    if numbers.failed[chosen].rows:
        raise UserError(_differs(column, wanted, numbers.failed[chosen].told()))
    # As in the file, so that the schema can judge fractions among whole numbers.
    kind = "integer" if known.type == "integer" and numbers.whole else "number"
    return Form(kind, gaps, decimal=chosen, unit=written.unit, loose=column.loose)  # type: ignore[arg-type]


def _date(column: Column, known: schema.Column, written: Written, gaps: frozenset[str], spelling: Spelling) -> Form:
    moments = column.moments
    order = written.order or spelling.dates
    if not written.whole and column.present:
        if order is None and moments.two_orders:
            fitting = [each for each, failures in moments.failed.items() if not failures.rows]
            if len(fitting) != 1:
                raise UserError(
                    f"column {column.name!r} holds dates that could be day/month or month/day; say DATES=day-first or "
                    "DATES=month-first"
                )
            order = fitting[0]
        failures = min(moments.failed.values(), key=lambda each: each.rows) if order is None else moments.failed[order]
        if failures.rows:
            first = f"dates written {order}" if written.order else "dates"
            raise UserError(_differs(column, first, failures.told()))
    zoned = moments.zoned.rows > 0 if column.present and not written.whole else known.zoned
    return Form("datetime", gaps, order=order, whole=written.whole, zoned=zoned, loose=column.loose)


def _differs(column: Column, wanted: str, found: str) -> str:
    return f"column {column.name!r} should hold {wanted}, but has {found}"
