"""A row of plain values as the numbers that an estimator takes, by what `encoders` read from a fitted transformer.

It needs NumPy alone, so that a process which serves a model need not know scikit-learn.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gitops_serving.fast.known import BeyondError

NAN = float("nan")
DAY = 86_400_000_000.0
EPOCH = datetime.datetime(1970, 1, 1)
ZONED_EPOCH = EPOCH.replace(tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)

Values = Sequence[Any]
Part = Callable[[Values], Sequence[float]]
# A category's place in the row, the numbers that stand for each of its values, and those for any other value.
Table = tuple[int, dict[Any, tuple[float, ...]], tuple[float, ...]]
# A moment's place in the row, and whether it has a zone.
Moment = tuple[int, bool]
# The points on a circle of each day of the year, day of the week and minute of the day; the last one is of a gap.
Circles = tuple[list[list[float]], list[list[float]], list[list[float]]]


@dataclass(frozen=True)
class Origin:
    """Of an encoded number: the feature that it is, moved by `mean` and then divided by `scale`."""

    feature: str
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Encoder:
    """Encodes rows as the fitted transformer does.

    Args:
        parts: what encodes some of the columns, one after the other.
        order: `C` or `F`, how the transformer lays its result out in memory; sums of products depend on it.
        origins: of encoded numbers, by their place, those that are a number of the row.
        known: the values of each category that it knows.
    """

    parts: list[Part]
    order: Literal["C", "F"]
    origins: dict[int, Origin]
    known: dict[str, list[str]]

    def row(self, values: Values) -> list[float]:
        """The encoded row, NaN where a number is missing."""
        found: list[float] = []
        for part in self.parts:
            found += part(values)
        return found

    def matrix(self, rows: Sequence[Values]) -> npt.NDArray[np.float64]:
        """The encoded rows, shape (rows, columns)."""
        found: npt.NDArray[np.float64] = np.array([self.row(values) for values in rows], order=self.order)
        return found


def numbers(places: list[int], values: Values) -> list[float]:
    """Numbers as the table has them: large integers are rounded there."""
    return [NAN if (value := values[place]) is None else float(value) for place in places]


@dataclass(frozen=True)
class Filled:
    """Missing numbers replaced and flagged, then all moved and scaled."""

    source: Part
    instead: list[float]
    flagged: list[int]
    mean: list[float]
    scale: list[float]

    def __call__(self, values: Values) -> list[float]:
        """The numbers of a row."""
        found = self.source(values)
        filled = [other if number != number else number for number, other in zip(found, self.instead, strict=True)]  # noqa: PLR0124
        filled += [found[place] != found[place] for place in self.flagged]
        return [(number - low) / by for number, low, by in zip(filled, self.mean, self.scale, strict=True)]


def categories(tables: list[Table], values: Values) -> list[float]:
    """What stands for each category."""
    found: list[float] = []
    for place, table, otherwise in tables:
        found += table.get(values[place], otherwise)
    return found


def calendar(moments: list[Moment], values: Values) -> list[float]:
    """The calendar's parts of each moment."""
    found: list[float] = []
    for place, zoned in moments:
        found += _parts(values[place], zoned)
    return found


def circles(moments: list[Moment], points: Circles, values: Values) -> list[float]:
    """The calendar's parts of all moments, then the points of each."""
    year, week, day = points
    found = calendar(moments, values)
    for place, zoned in moments:
        if (moment := values[place]) is None:
            found += (*year[-1], *week[-1], *day[-1])
            continue
        moment = _in_utc(moment) if zoned else moment
        steps = moment.timetuple().tm_yday, moment.weekday(), moment.hour * 60 + moment.minute
        found += (*year[steps[0]], *week[steps[1]], *day[steps[2]])
    return found


def _parts(moment: datetime.datetime | None, zoned: bool) -> tuple[float, ...]:
    if moment is None:
        return (NAN,) * 5
    moment = _in_utc(moment) if zoned else moment
    since = (moment - (ZONED_EPOCH if zoned else EPOCH)) // MICROSECOND
    # As numpy divides: what is no double yet is made one first.
    return (float(since) / DAY, moment.month, moment.day, moment.weekday(), moment.hour + moment.minute / 60)


def _in_utc(moment: datetime.datetime) -> datetime.datetime:
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError as error:
        raise BeyondError("before the first year or after the last") from error
