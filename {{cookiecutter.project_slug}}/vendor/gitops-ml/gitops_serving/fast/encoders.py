"""The ColumnTransformer that pipeline/model.py builds, read for one row of plain values."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pipeline.encode import CIRCLES, Calendar, Cycles
from pipeline.schema import Column
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

from gitops_serving.fast.encoding import (
    Circles,
    Encoder,
    Filled,
    Moment,
    Origin,
    Part,
    Table,
    calendar,
    categories,
    circles,
    numbers,
)
from gitops_serving.fast.known import require
from gitops_serving.fast.texts import words


def encoder(transformer: Any, features: dict[str, Column], order: Literal["C", "F"]) -> Encoder:
    """What encodes rows as a fitted ColumnTransformer does.

    Args:
        transformer: the fitted transformer.
        features: the schema's features, in its order.
        order: how the transformer lays its result out in memory.

    Raises:
        UnknownError: a step, or a setting of one, has no fast form.
    """
    require(type(transformer) is ColumnTransformer and not transformer.transformer_weights, "the columns' step")
    require(not transformer.sparse_output_ and not hasattr(transformer, "_sklearn_output_config"), "its output")
    found = Encoder([], order, {}, {})
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
            found.known[name] = [value for value in values.tolist() if isinstance(value, str)]
        found.parts.append(part)
        found.origins.update({width + at: origin for at, origin in enumerate(origins)})
        width += len(part([None] * len(names)))
    return found


def _part(step: Any, places: list[int], columns: list[Column], names: list[str]) -> tuple[Part, list[Origin]]:
    """What encodes some columns, and which numbers its first ones are."""
    plain = all(column.type in ("integer", "number", "boolean") for column in columns)
    kind = type(step)
    if kind is Pipeline:
        return _steps(step, places, columns, names if plain else None)
    if kind is FunctionTransformer:
        require(step.func is None and plain, "a function of the columns")
        return partial(numbers, places), [Origin(name) for name in names]
    if kind is Calendar:
        return partial(calendar, _moments(places, columns)), []
    return partial(categories, tables(step, places)), []


def _steps(
    step: Pipeline, places: list[int], columns: list[Column], named: list[str] | None
) -> tuple[Part, list[Origin]]:
    """What several steps make of some columns, which are called so if all of them are numbers."""
    first, *rest = (each for _, each in step.steps)
    if type(first) in (Calendar, Cycles) and len(rest) == 1 and type(rest[0]) is Pipeline:
        moments = _moments(places, columns)
        around: Circles = tuple(points.tolist() for points in CIRCLES.values())
        parts = partial(calendar, moments) if type(first) is Calendar else partial(circles, moments, around)
        return _filled(parts, rest[0], names=[])
    if type(first) is SimpleImputer and named is not None:
        return _filled(partial(numbers, places), step, named)
    require(len(places) == 1, f"{type(first).__name__} of several columns")
    return words(step, places[0]), []


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

    origins = [Origin(name, mean[at], scale[at]) for at, name in enumerate(names)]
    return Filled(source, instead, flagged, mean, scale), origins


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


def _moments(places: list[int], columns: list[Column]) -> list[Moment]:
    return list(zip(places, (column.zoned for column in columns), strict=True))
