"""Candidates are held against each other on rows that they were not fitted to, and the simplest good one is taken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline import compare
from pipeline.model import EstimatorError
from pipeline.params import Estimator, Rule, Split, Train
from pipeline.schema import Column, Schema

AT_RANDOM = Split(by="random", test_fraction=0.25)
BY_TIME = Split(by="time", columns=["when"], test_fraction=0.25)
BY_GROUP = Split(by="group", columns=["who"], test_fraction=0.25)
LINE = Estimator(path="sklearn.linear_model.Ridge")
TREES = Estimator(path="sklearn.ensemble.HistGradientBoostingRegressor", arguments={"max_iter": 60})
UPON_A_LINE = Estimator(path="pipeline.trend.BoostedLine")
RULE = Rule(metric="r2", margin=0.02, confidence=0.95)
SCHEMA = Schema(
    task="regression",
    columns={
        "when": Column(type="integer"),
        "who": Column(type="category", open=True, role="key"),
        "x": Column(type="number"),
        "y": Column(type="number", role="target"),
    },
)


def train(*candidates: Estimator) -> Train:
    """The block `train` with these candidates."""
    return Train(seed=0, threads=1, one_hot_limit=20, candidates=list(candidates))


def table(shape: str, rows: int = 600) -> pd.DataFrame:
    """Rows whose label is a line, a step or a wave on a trend of what is known, with a little noise."""
    random = np.random.default_rng(1)
    x, when = random.normal(size=rows), np.arange(rows)
    shapes = {
        "line": x,
        "steps": (np.abs(x) > 0.7) * 2.0,
        "trend": when / 100 + np.sign(x),
    }
    labels = shapes[shape] + random.normal(0, 0.1, rows)
    return pd.DataFrame({"when": when, "who": [f"p{number % 40}" for number in when], "x": x, "y": labels})


def test_the_simplest_of_equals_is_taken() -> None:
    """Where a line is as good as trees within the margin it is taken, and the table says by how much it differs."""
    found = compare.compare(table("line"), SCHEMA, AT_RANDOM, train(LINE, TREES), RULE)
    assert found.taken == LINE
    assert found.fits == 6
    assert found.candidates[1].difference is not None
    assert found.candidates[1].difference <= 0
    assert found.trivial["mean of the labels"]["r2"] < 0.01


def test_few_rows_do_not_favour_the_less_simple() -> None:
    """What is equal in the estimate is taken, though so few rows cannot prove it; the table has the bounds."""
    rows = table("line", rows=60)
    rows["y"] += np.random.default_rng(0).normal(0, 2, len(rows))
    flatter = Estimator(path=LINE.path, arguments={"alpha": 10})
    found = compare.compare(rows, SCHEMA, AT_RANDOM, train(LINE, flatter), RULE)
    assert found.taken == LINE
    line = found.candidates[0]
    assert line.difference is not None
    assert line.low is not None
    assert line.low < -RULE.margin <= line.difference < 0
    assert "lies within the margin" in found.reason


def test_a_better_one_is_taken_even_if_it_is_less_simple() -> None:
    """Where a line is worse by more than the margin, trees are taken."""
    found = compare.compare(table("steps"), SCHEMA, AT_RANDOM, train(LINE, TREES), RULE)
    assert found.taken == TREES
    assert (found.candidates[0].low or 0) < -RULE.margin


def test_along_time_what_follows_a_trend_is_taken() -> None:
    """Trees alone repeat the last level; upon a line they follow the trend and find the rest, too."""
    found = compare.compare(table("trend"), SCHEMA, BY_TIME, train(TREES, UPON_A_LINE), RULE)
    assert found.taken == UPON_A_LINE
    assert (found.candidates[0].high or 0) < -RULE.margin
    assert "straight line of each key" in found.trivial


@pytest.mark.parametrize("split", [AT_RANDOM, BY_TIME, BY_GROUP], ids=lambda split: split.by)
def test_folds_divide_as_the_split_does(split: Split) -> None:
    """By time all rows that are scored are newer than those that are fitted, by group no group stands on both sides."""
    rows = table("line").sample(frac=1, random_state=0)
    parts = list(compare.folds(rows, SCHEMA, split, seed=0))
    assert len(parts) == compare.FOLDS
    for fitted, scored in parts:
        before, after = rows.iloc[fitted], rows.iloc[scored]
        assert not set(before.index) & set(after.index)
        if split.by == "time":
            assert before["when"].max() < after["when"].min()
        if split.by == "group":
            assert not set(before["who"]) & set(after["who"])


def test_the_same_rows_are_compared_alike() -> None:
    """Twice the same inputs give the same figures to the last bit."""
    found = [compare.compare(table("steps"), SCHEMA, BY_GROUP, train(LINE, TREES), RULE) for _ in range(2)]
    assert found[0] == found[1]


def test_a_candidate_that_cannot_be_fitted_is_told() -> None:
    """One that fails stands in the table with the reason, and another is taken; if all fail, that is an error."""
    wrong = Estimator(path="sklearn.linear_model.Ridge", arguments={"alpha": -1})
    found = compare.compare(table("line"), SCHEMA, AT_RANDOM, train(wrong, TREES), RULE)
    assert found.taken == TREES
    assert "alpha" in found.candidates[0].failed
    with pytest.raises(EstimatorError, match=r"no candidate can be fitted.*alpha"):
        compare.compare(table("line"), SCHEMA, AT_RANDOM, train(wrong), RULE)


def test_classes_that_a_fold_never_saw_are_scored() -> None:
    """Where the rows before have only some of the classes, a candidate gives the others no chance, and is compared."""
    labels = np.repeat(["a", "b", "c", "a"], 150)
    columns = {**SCHEMA.columns, "y": Column(type="category", role="target", categories=["a", "b", "c"])}
    rows = table("line").assign(y=labels)
    line = Estimator(path="sklearn.linear_model.LogisticRegression")
    rule = Rule(metric="log_loss", margin=0.01, confidence=0.95)
    found = compare.compare(rows, Schema(task="multiclass", columns=columns), BY_TIME, train(line), rule)
    assert found.taken == line
    assert found.candidates[0].metrics["log_loss"] > 1
