"""The ColumnTransformer that pipeline/model.py builds, for one row of plain values."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pipeline.encode import CIRCLES, Calendar, Cycles
from pipeline.schema import Column
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

from gitops_serving.fast.known import BeyondError, require
from gitops_serving.fast.texts import words

NAN = float("nan")
DAY = 86_400_000_000.0
EPOCH = datetime.datetime(1970, 1, 1)
ZONED_EPOCH = EPOCH.replace(tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)

Values = Sequence[Any]
Part = Callable[[Values], Sequence[float]]
# A category's place in the row, the numbers that stand for each of its values, and those for any other value.
Table = tuple[int, dict[Any, tuple[float, ...]], tuple[float, ...]]


@dataclass(frozen=True)
class Origin:
    """Of an encoded number: the feature that it is, moved by `mean` and then divided by `scale`."""

    feature: str
    mean: float = 0.0
    scale: float = 1.0


class Encoder:
    """Encodes rows as the fitted transformer does.

    Args:
        transformer: the fitted ColumnTransformer.
        features: the schema's features, in its order.
        order: `C` or `F`, how the transformer lays its result out in memory; sums of products depend on it.

    Raises:
        UnknownError: a step, or a setting of one, has no fast form.
    """

    def __init__(self, transformer: Any, features: dict[str, Column], order: Literal["C", "F"]) -> None:
        require(type(transformer) is ColumnTransformer and not transformer.transformer_weights, "the columns' step")
        require(not transformer.sparse_output_ and not hasattr(transformer, "_sklearn_output_config"), "its output")
        self.order = order
        self.parts: list[Part] = []
        self.origins: dict[int, Origin] = {}
        self.known: dict[str, list[str]] = {}
        names, width = list(features), 0
        for _, step, columns in transformer.transformers_:
            if isinstance(step, str) and step == "drop":
                continue
            chosen = [columns] if isinstance(columns, str) else list(columns)
            if not chosen:
                continue
            places = [names.index(name) for name in chosen]
            part, origins = _part(step, places, [features[name] for name in chosen], chosen)
            for name, values in zip(chosen, getattr(step, "categories_", []), strict=False):
                self.known[name] = [value for value in values.tolist() if isinstance(value, str)]
            self.parts.append(part)
            self.origins |= {width + at: origin for at, origin in enumerate(origins)}
            width += len(part([None] * len(names)))
        self.width = width

    def row(self, values: Values) -> list[float]:
        """The encoded row; `width` numbers, NaN where one is missing."""
        found: list[float] = []
        for part in self.parts:
            found += part(values)
        return found

    def matrix(self, rows: Sequence[Values]) -> npt.NDArray[np.float64]:
        """The encoded rows, shape (rows, width)."""
        found: npt.NDArray[np.float64] = np.array([self.row(values) for values in rows], order=self.order)
        return found


def _part(step: Any, places: list[int], columns: list[Column], names: list[str]) -> tuple[Part, list[Origin]]:
    """What encodes some columns, and which numbers its first ones are."""
    plain = all(column.type in ("integer", "number", "boolean") for column in columns)
    kind = type(step)
    if kind is Pipeline:
        return _steps(step, places, columns, names if plain else None)
    if kind is FunctionTransformer:
        require(step.func is None and plain, "a function of the columns")
        return _numbers(places), [Origin(name) for name in names]
    if kind is Calendar:
        return _calendar(places, columns), []
    return _categories(tables(step, places)), []


def _steps(
    step: Pipeline, places: list[int], columns: list[Column], numbers: list[str] | None
) -> tuple[Part, list[Origin]]:
    """What several steps make of some columns, whose names `numbers` holds if all of them are numbers."""
    first, *rest = (each for _, each in step.steps)
    if type(first) in (Calendar, Cycles) and len(rest) == 1 and type(rest[0]) is Pipeline:
        moments = _calendar(places, columns)
        return _filled(moments if type(first) is Calendar else _circles(moments, places, columns), rest[0], names=[])
    if type(first) is SimpleImputer and numbers is not None:
        return _filled(_numbers(places), step, numbers)
    require(len(places) == 1, f"{type(first).__name__} of several columns")
    return words(step, places[0]), []


def _numbers(places: list[int]) -> Part:
    def part(values: Values) -> list[float]:
        return [NAN if (value := values[place]) is None else value for place in places]

    return part


def _filled(source: Part, step: Pipeline, names: list[str]) -> tuple[Part, list[Origin]]:
    """Missing numbers replaced and flagged, then all moved and scaled."""
    require([type(each) for _, each in step.steps] == [SimpleImputer, StandardScaler], "how numbers are filled")
    fill, scaler = (each for _, each in step.steps)
    require(isinstance(fill.missing_values, float) and np.isnan(fill.missing_values), "what counts as missing")
    require(fill.keep_empty_features and scaler.with_mean and scaler.with_std, "how numbers are filled")
    require(type(fill.indicator_) is MissingIndicator and fill.indicator_.sparse == "auto", "how gaps are flagged")
    instead = np.asarray(fill.statistics_, dtype=np.float64).tolist()
    flagged = fill.indicator_.features_.tolist()
    mean, scale = scaler.mean_.tolist(), scaler.scale_.tolist()
    require(len(mean) == len(instead) + len(flagged), "how gaps are flagged")

    def part(values: Values) -> list[float]:
        found = source(values)
        filled = [other if number != number else number for number, other in zip(found, instead, strict=True)]  # noqa: PLR0124
        filled += [found[place] != found[place] for place in flagged]
        return [(number - low) / by for number, low, by in zip(filled, mean, scale, strict=True)]

    return part, [Origin(name, mean[at], scale[at]) for at, name in enumerate(names)]


def _categories(tables: list[Table]) -> Part:
    def part(values: Values) -> list[float]:
        found: list[float] = []
        for place, table, otherwise in tables:
            found += table.get(values[place], otherwise)
        return found

    return part


def tables(step: Any, places: list[int]) -> list[Table]:
    """What a fitted encoder of categories has learnt of each of its columns.

    Raises:
        UnknownError: it is another one, or set in another way.
    """
    require(type(step) in (OneHotEncoder, TargetEncoder), type(step).__name__)
    return _one_hot(step, places) if type(step) is OneHotEncoder else _target_means(step, places)


def _one_hot(step: Any, places: list[int]) -> list[Table]:
    require(step.handle_unknown == "ignore" and step.drop is None and not step.sparse_output, "how one-hot is done")
    require(step.min_frequency is None and step.max_categories is None, "rare categories together")
    tables = []
    for place, known in zip(places, step.categories_, strict=True):
        ones = map(tuple, np.eye(len(known)).tolist())
        tables.append((place, dict(zip(_texts(known), ones, strict=True)), (0.0,) * len(known)))
    return tables


def _target_means(step: Any, places: list[int]) -> list[Table]:
    """Of more than two classes each category has a mean for each class."""
    require(step.target_type_ in ("binary", "continuous", "multiclass"), "target means of another task")
    overall = tuple(np.atleast_1d(step.target_mean_).astype(np.float64).tolist())
    means = [each.tolist() for each in step.encodings_]
    require(len(means) == len(places) * len(overall), "target means of another form")
    tables = []
    for at, (place, known) in enumerate(zip(places, step.categories_, strict=True)):
        by_class = means[at * len(overall) : (at + 1) * len(overall)]
        tables.append((place, dict(zip(_texts(known), zip(*by_class, strict=True), strict=True)), overall))
    return tables


def _texts(known: npt.NDArray[Any]) -> list[str | None]:
    values: list[str | None] = known.tolist()
    require(all(value is None or isinstance(value, str) for value in values), "categories that are no text")
    return values


def _calendar(places: list[int], columns: list[Column]) -> Part:
    chosen = list(zip(places, (column.zoned for column in columns), strict=True))

    def part(values: Values) -> list[float]:
        found: list[float] = []
        for place, zoned in chosen:
            found += _parts(values[place], zoned)
        return found

    return part


def _circles(calendar: Part, places: list[int], columns: list[Column]) -> Part:
    """The calendar's parts of all moments, then the points of each."""
    chosen = list(zip(places, (column.zoned for column in columns), strict=True))
    year, week, day = (points.tolist() for points in CIRCLES.values())

    def part(values: Values) -> list[float]:
        found = list(calendar(values))
        for place, zoned in chosen:
            if (moment := values[place]) is None:
                found += (*year[-1], *week[-1], *day[-1])
                continue
            moment = _in_utc(moment) if zoned else moment
            steps = moment.timetuple().tm_yday, moment.weekday(), moment.hour * 60 + moment.minute
            found += (*year[steps[0]], *week[steps[1]], *day[steps[2]])
        return found

    return part


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
