"""The trivial models say what needs no model: the mean, what came last, a season before, and where a line goes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline import trivial
from pipeline.params import Split
from pipeline.schema import Column, Schema
from pipeline.tasks import multiclass, regression

AT_RANDOM = Split(by="random", test_fraction=0.25)
BY_DAY = Split(by="time", columns=["day"], test_fraction=0.25)
SCHEMA = Schema(
    task="regression",
    columns={
        "day": Column(type="datetime"),
        "shop": Column(type="category", open=True, role="key"),
        "y": Column(type="number", role="target"),
    },
)
ONE_SERIES = Schema(task="regression", columns={name: SCHEMA.columns[name] for name in ("day", "y")})


def days(count: int, start: str = "2020-01-01") -> pd.Series:
    """Days one after another."""
    return pd.Series(pd.date_range(start, periods=count).as_unit("us"))


def test_at_random_the_mean_is_all_there_is() -> None:
    """Without time there is one trivial model: the mean label of the rows that train."""
    train = pd.DataFrame({"day": days(4), "y": [1.0, 2, 3, 6]})
    found = trivial.answers(train, train.head(2), ONE_SERIES, AT_RANDOM)
    assert {name: values.tolist() for name, values in found.items()} == {"mean of the labels": [3.0, 3.0]}


def test_a_trend_is_followed_by_a_line_and_a_season_by_the_year_before() -> None:
    """On a trend the line is best, on a season the year before, on a walk the last label."""
    number = np.arange(1460)
    kinds = {
        "straight line": number * 0.5,
        "same season before": np.sin(number / 365.25 * 2 * np.pi),
        "last label": np.where(number < 1000, 0.0, 5.0) + number % 2 * 0.01,
    }
    for name, labels in kinds.items():
        table = pd.DataFrame({"day": days(1460), "y": labels})
        train, test = table.iloc[:1100], table.iloc[1100:]
        found = trivial.answers(train, test, ONE_SERIES, BY_DAY)
        assert trivial.best(regression, test["y"].to_numpy(), found) == name
        assert regression.measure(test["y"].to_numpy(), found[name])["rmse"] < 0.02


def test_keys_are_told_apart_and_unknown_ones_get_what_all_have() -> None:
    """What came last is that of the row's own key; a key that never trained gets that of all rows."""
    train = pd.DataFrame({"day": days(2).repeat(2), "shop": ["a", "b"] * 2, "y": [1.0, 10, 2, 20]})
    test = pd.DataFrame({"day": days(3, "2020-01-03"), "shop": ["b", "a", "new"]})
    found = trivial.answers(train, test, SCHEMA, BY_DAY)
    assert found["last label of each key"].tolist() == [20, 2, 11]
    assert found["straight line of each key"].tolist() == pytest.approx([30, 4, 27.5])


def test_classes_along_time_keep_to_probabilities() -> None:
    """Of classes every trivial answer is a probability of each that adds up to 1, and a key that persists is found."""
    columns = {**SCHEMA.columns, "y": Column(type="category", role="target", categories=["x", "y", "z"])}
    schema = Schema(task="multiclass", columns=columns)
    shops = np.tile(["a", "b", "c"], 400)
    table = pd.DataFrame({"day": days(400).repeat(3), "shop": shops, "y": np.tile(["x", "y", "z"], 400)})
    found = trivial.answers(table.iloc[:1197], table.iloc[1197:], schema, BY_DAY)
    assert all(multiclass.valid(scores) for scores in found.values())
    assert found["last label of each key"].argmax(axis=1).tolist() == [0, 1, 2]
    assert "share of each class in the same month before" in found
