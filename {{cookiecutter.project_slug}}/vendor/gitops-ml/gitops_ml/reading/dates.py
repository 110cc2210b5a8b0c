"""Dates as people write them: which texts are moments, and whether day or month comes first in them."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pandas as pd

from gitops_ml.reading.pieces import Failures, Piece

Order = Literal["day-first", "month-first"]
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
NAMES = {name[:length]: number for number, name in enumerate(MONTHS, start=1) for length in (3, len(name))} | {
    "sept": 9
}
MONTH = rf"(?P<name>(?i:{'|'.join(sorted(NAMES, key=len, reverse=True))}))\.?"
WEEKDAY = r"(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?"
SECONDS = r"(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
CLOCK = rf"(?P<hour>\d{{1,2}}):(?P<minute>\d{{2}}){SECONDS}(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
ZONE = r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
TIME = rf"(?:(?:[ T]|, ){CLOCK}{ZONE})?"
YEAR = r"(?P<year>\d{4})"
ANY_YEAR = r"(?P<year>\d{4}|\d{2})"
DAY = r"(?P<day>\d{1,2})"
NUMBERED = r"(?P<month>\d{1,2})"
PATTERNS = [
    re.compile(pattern, re.ASCII)
    for pattern in (
        rf"{YEAR}(?P<mark>[-/.]){NUMBERED}(?P=mark){DAY}{TIME}",
        rf"{DAY}\.{NUMBERED}\.{ANY_YEAR}{TIME}",
        rf"(?P<one>\d{{1,2}})(?P<mark>[-/])(?P<two>\d{{1,2}})(?P=mark){ANY_YEAR}{TIME}",
        rf"{WEEKDAY}{DAY}(?:st|nd|rd|th|\.)?[ -]?{MONTH},?[ -]?{ANY_YEAR}{TIME}",
        rf"{WEEKDAY}{MONTH} {DAY}(?:st|nd|rd|th)?,? {YEAR}{TIME}",
        rf"{WEEKDAY}{MONTH} +{DAY} {CLOCK}(?: (?P<zone>Z|UTC|GMT|[+-]\d{{4}}))? {YEAR}",
        rf"{YEAR}[ -]{MONTH}[ -]{DAY}{TIME}",
        rf"{YEAR}(?P<month>\d\d)(?P<day>\d\d)[T ](?P<hour>\d\d):?(?P<minute>\d\d):?(?P<second>\d\d){ZONE}",
        rf"{YEAR}[-/]{NUMBERED}",
        rf"{MONTH}[ -]{YEAR}",
        rf"{YEAR}[ -]?Q(?P<quarter>[1-4])",
        rf"Q(?P<quarter>[1-4])[ -/]{YEAR}",
    )
]
# Most files are written so, and pandas reads it at once.
ISO = r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?)?"
# Whole numbers that are dates.
COMPACT = re.compile(
    r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})"
    r"(?:(?P<day>\d{2})(?:(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2}))?)?"
)
# So many digits are moments from 2001 to 2033, in seconds or in milliseconds since 1970.
EPOCHS = {10: 1_000_000, 13: 1_000}
START = datetime.datetime(1970, 1, 1)
MICROSECOND = datetime.timedelta(microseconds=1)


class Moment(NamedTuple):
    """Microseconds since 1970, in UTC if it is `zoned`; and what was doubtful about how it was written.

    `ordered`: day and month could be exchanged. `short`: the year has two digits.
    """

    microseconds: int
    zoned: bool = False
    ordered: bool = False
    short: bool = False


@dataclass
class Moments:
    """What was met in a column, as far as it can be read as moments.

    `failed` by the order of day and month, `digits` if whole numbers are dates. `zoned`: the rows with a zone.
    `two_orders`: a text could be read in both orders; `short`: a year has two digits.
    """

    failed: dict[Order, Failures] = field(default_factory=lambda: {"day-first": Failures(), "month-first": Failures()})
    digits: Failures = field(default_factory=Failures)
    zoned: Failures = field(default_factory=Failures)
    two_orders: bool = False
    short: bool = False

    def learn(self, piece: Piece) -> None:
        """Take in a piece of the column."""
        if all(failures.hopeless for failures in self.failed.values()):
            for failures in self.failed.values():
                failures.give_up(piece)
        else:
            self._learn_moments(piece)
        lengths = piece.texts.str.len()
        if self.digits.hopeless or not lengths.isin([6, 8, 14]).any():
            self.digits.give_up(piece)
        else:
            self.digits.learn(piece, parse_whole(piece.texts).isna())

    def _learn_moments(self, piece: Piece) -> None:
        # Most columns hold numbers, and those are no dates.
        likely = ~piece.texts.str.fullmatch(r"[+-]?\d*\.?\d*(?:[eE][+-]?\d+)?").fillna(False).astype(bool)
        chosen = piece.where(likely)
        first = parse(chosen.texts, "day-first")
        again = first["ordered"] | first["microseconds"].isna()
        second = pd.concat([first[~again], parse(chosen.texts[again], "month-first")]).reindex(first.index)
        for failures, found in zip(self.failed.values(), (first, second), strict=True):
            wrong = pd.Series(True, piece.texts.index)
            wrong[likely] = found["microseconds"].isna().to_numpy()
            failures.learn(piece, wrong)
        both = first["microseconds"].notna() & second["microseconds"].notna()
        self.two_orders |= bool((first["microseconds"][both] != second["microseconds"][both]).any())
        self.short |= bool((first["short"] | second["short"]).any())
        self.zoned.learn(chosen, first["zoned"] | second["zoned"])


def parse(texts: pd.Series, order: Order) -> pd.DataFrame:
    """A row for each text: the columns of `Moment`, `microseconds` missing where a text is no date.

    Args:
        texts: distinct texts without blanks around them.
        order: of day and month in 1/2/2024.
    """
    form = {"microseconds": "Int64", "zoned": "bool", "ordered": "bool", "short": "bool"}
    plain = texts.str.fullmatch(ISO).fillna(False).astype(bool)
    moments = pd.to_datetime(texts[plain], format="ISO8601", errors="coerce").dropna().astype("datetime64[us]")
    iso = pd.DataFrame({"microseconds": moments.astype("int64")}, index=moments.index).assign(
        zoned=False, ordered=False, short=False
    )
    others = texts[~plain]
    found = [_parse(text, order) or (None, False, False, False) for text in others]
    read = pd.DataFrame(found, index=others.index, columns=list(form))
    return pd.concat([iso.astype(form), read.astype(form)]).reindex(texts.index).fillna(
        {"zoned": False, "ordered": False, "short": False}
    ).astype(form)  # fmt: skip


def parse_whole(texts: pd.Series) -> pd.Series:
    """Microseconds since 1970 of texts like 202401, 20240131 and 20240131235959; missing where a text is no date."""
    found = [(match := COMPACT.fullmatch(text)) and _moment(match.groupdict(), "day-first") for text in texts]
    return pd.Series([moment and moment.microseconds for moment in found], index=texts.index, dtype="Int64")


def parse_epoch(texts: pd.Series) -> pd.Series:
    """Microseconds since 1970 of whole seconds or milliseconds since then; missing where a text is none of both."""
    found = [int(text) * EPOCHS[len(text)] if text.isdecimal() and len(text) in EPOCHS else None for text in texts]
    return pd.Series(found, index=texts.index, dtype="Int64")


def _parse(text: str, order: Order) -> Moment | None:
    for pattern in PATTERNS:
        if match := pattern.fullmatch(text):
            return _moment(match.groupdict(), order)
    return None


def _moment(parts: dict[str, str | None], order: Order) -> Moment | None:
    def number(name: str, otherwise: int) -> int:
        return int(parts.get(name) or otherwise)

    year, month, day = number("year", 0), number("month", 1), number("day", 1)
    if name := parts.get("name"):
        month = NAMES[name.lower()]
    elif parts.get("quarter"):
        month = 3 * number("quarter", 1) - 2
    elif parts.get("one"):
        one, two = number("one", 0), number("two", 0)
        day, month = (one, two) if order == "day-first" else (two, one)
    short = len(parts["year"] or "") == 2
    if short:
        year += 1900 if year >= 69 else 2000
    hour = number("hour", 0)
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "pP" else 0)
    try:
        moment = datetime.datetime(
            year,
            month,
            day,
            hour,
            number("minute", 0),
            number("second", 0),
            int((parts.get("part") or "0").ljust(6, "0")[:6]),
        )
    except ValueError:
        return None
    zone = parts.get("zone")
    microseconds = (moment - START) // MICROSECOND - _offset(zone)
    return Moment(microseconds, zone is not None, parts.get("one") is not None and parts["one"] != parts["two"], short)


def _offset(zone: str | None) -> int:
    """How far the zone is ahead of UTC, in microseconds."""
    if zone is None or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return (minutes if zone[0] == "+" else -minutes) * 60_000_000
