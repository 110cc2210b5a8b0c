"""What was guessed about how columns are written: a sentence each, with the option that settles it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from gitops_ml.reading import missing
from gitops_ml.reading.columns import Column
from gitops_ml.reading.decide import Spelling, told
from gitops_ml.reading.forms import Form

# From here on it is told that a column might have been numbers or dates.
TOLD = 0.5


def sentences(columns: dict[str, Column], forms: dict[str, Form], spelling: Spelling) -> list[str]:
    """A sentence for each guess, those about many columns together."""
    open_columns = {name: column for name, column in columns.items() if name not in spelling.kinds}
    return [
        *_about_words(columns, forms, spelling),
        *_about_amounts(open_columns, forms),
        *_about_dates(open_columns, forms),
        *(
            found
            for name, column in open_columns.items()
            if forms[name].kind == "text"
            for found in _about_text(column)
        ),
    ]


def _about_words(columns: dict[str, Column], forms: dict[str, Form], spelling: Spelling) -> Iterator[str]:
    if spelling.missing is not None and not spelling.missing:
        return
    found: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for name, column in columns.items():
        for word in column.words:
            if word not in missing.MARKERS | (spelling.missing or frozenset()):
                found[word, word in forms[name].gaps].append(name)
    for (word, gap), names in found.items():
        text = any(forms[name].kind == "text" for name in names)
        if gap:
            yield f"{word!r} means missing in {told(names)}" + (
                "; with an empty MISSING= it is a value" if text else ""
            )
        else:
            yield f"{word!r} is a value like others in {told(names)}; MISSING={word} takes it for a gap"


def _about_amounts(columns: dict[str, Column], forms: dict[str, Form]) -> Iterator[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in columns:
        if forms[name].unit:
            found[forms[name].unit].append(name)
    for unit, names in found.items():
        yield f"{told(names)}: amounts in {unit!r}; the number alone is stored and asked for (else TEXT={names[0]})"
    guessed = [
        name
        for name, column in columns.items()
        if forms[name].decimal == "." and column.numbers.two_ways and not column.numbers.failed[","].rows
    ]
    if guessed:
        yield f"{told(guessed)}: a comma separates thousands (DECIMAL=, if it stands before decimals)"


def _about_dates(columns: dict[str, Column], forms: dict[str, Form]) -> Iterator[str]:
    if digits := [name for name in columns if forms[name].whole == "digits"]:
        yield f"{told(digits)}: whole numbers that are dates, as 20240131 is (NUMBER={digits[0]} if they are numbers)"
    if short := [name for name in columns if forms[name].kind == "datetime" and columns[name].moments.short]:
        yield f"{told(short)}: a year of two digits lies between 1969 and 2068"


def _about_text(column: Column) -> Iterator[str]:
    if not column.present or column.typed:
        return
    numbers, text = column.numbers, f"TEXT={column.name}"
    number = min(numbers.failed.values(), key=lambda each: each.rows)
    date = min(column.moments.failed.values(), key=lambda each: each.rows)
    if not number.rows:
        yield f"{column.name!r} is text, {_why_no_number(column)}"
    elif not date.rows:
        yield f"{column.name!r} is text, since only some of its dates have a time zone; write all alike, or say {text}"
    elif max(number.share, date.share) >= TOLD:
        what, failures = ("numbers", number) if number.share >= date.share else ("dates", date)
        yield (
            f"{column.name!r} is text, though {failures.share:.0%} of its values are {what}: others are "
            f"{told(list(failures.odd))}; MISSING= names those that mean missing, {text} says that this is right"
        )
    elif column.unlike_numbers.share >= TOLD:
        yield (
            f"{column.name!r} is text: {next(iter(number.odd))[:60]!r} and the like are no numbers or dates that are "
            f"known; write dates as 2024-01-31 and numbers as 1234.5, or say {text}"
        )


def _why_no_number(column: Column) -> str:
    numbers = column.numbers
    units = [unit for unit in sorted(numbers.units) if unit]
    if numbers.padded.rows:
        return f"since {numbers.padded.rows} of its numbers begin with 0 (NUMBER={column.name} if they are quantities)"
    if len(numbers.units) > 1:
        some = "only some of its numbers have a unit" if "" in numbers.units else "its numbers have several units"
        return f"since {some}: {told(units)}; write all in one, or say TEXT={column.name}"
    return f"as the file says, though its values are numbers (NUMBER={column.name} if they are quantities)"
