"""The model is one Pipeline from raw columns to a probability, for any estimator that params.yaml may name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from pipeline import data, model
from pipeline.params import Estimator, Params, Train
from pipeline.schema import Schema
from pipeline.validation import validate
from tests.conftest import QUICK, TASK, closed_category, numeric_feature

KIND = "Regressor" if TASK == "regression" else "Classifier"
BOOSTING = f"sklearn.ensemble.HistGradientBoosting{KIND}"
ESTIMATORS = [
    Estimator(path=QUICK),
    Estimator(path=f"sklearn.ensemble.RandomForest{KIND}", arguments={"n_estimators": 20}),
    Estimator(path="sklearn.linear_model.BayesianRidge" if TASK == "regression" else "sklearn.naive_bayes.GaussianNB"),
    Estimator(path=BOOSTING, arguments={"max_iter": 20}),
]


def fitted(table: pd.DataFrame, schema: Schema, train: Train) -> Pipeline:
    """The Pipeline fitted on the table."""
    valid = validate(table, schema)
    rows = data.features(valid, schema)
    counts = {name: rows[name].nunique() for name, column in schema.features.items() if column.type == "category"}
    return model.fit(model.build(schema, train, counts), rows, data.labels(valid, schema), train.threads)


def scores(pipeline: Pipeline, table: pd.DataFrame, schema: Schema) -> np.ndarray[Any, Any]:
    """The scores of the table's rows."""
    return model.score(pipeline, data.features(validate(table, schema), schema))


def level(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One number a row that rises with the label: of several classes, the expected number of the class."""
    return scores if scores.ndim == 1 else scores @ np.arange(scores.shape[1])


@pytest.fixture
def train(params: Params) -> Train:
    """A quick estimator, and few enough categories to encode both ways."""
    return params.train.model_copy(update={"estimator": Estimator(path=BOOSTING, arguments={"max_iter": 20})})


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.path.rpartition(".")[2])
def test_any_estimator_learns(table: pd.DataFrame, schema: Schema, train: Train, estimator: Estimator) -> None:
    """Estimators with and without a sense for missing values are fitted from raw columns and find the signal."""
    pipeline = fitted(table, schema, train.model_copy(update={"estimator": estimator}))
    found = level(scores(pipeline, table, schema))
    labels = data.labels(validate(table, schema), schema)
    assert np.corrcoef(found, labels)[0, 1] > 0.2


def test_the_signal_has_a_direction(table: pd.DataFrame, schema: Schema, train: Train) -> None:
    """Raising the feature that drives the label raises the score."""
    name, column = numeric_feature(schema), schema.columns[numeric_feature(schema)]
    pipeline = fitted(table, schema, train)
    low = level(scores(pipeline, table.assign(**{name: column.minimum or 0}), schema))
    high = level(scores(pipeline, table.assign(**{name: table[name].max()}), schema))
    assert high.mean() > low.mean()


def test_the_order_of_rows_does_not_matter(table: pd.DataFrame, schema: Schema, train: Train) -> None:
    """A row gets the same score, to the last bit, alone and in any company."""
    pipeline = fitted(table, schema, train)
    together = scores(pipeline, table, schema)
    backwards = scores(pipeline, table.iloc[::-1], schema)[::-1]
    alone = scores(pipeline, table.iloc[[7]], schema)
    assert together.tolist() == backwards.tolist()
    assert together[7].tolist() == alone[0].tolist()


@pytest.mark.parametrize("one_hot_limit", [0, 1000])
def test_an_unknown_category_is_scored(table: pd.DataFrame, schema: Schema, train: Train, one_hot_limit: int) -> None:
    """A category that training never saw is scored under both encodings; the schema says whether it is let in."""
    pipeline = fitted(table, schema, train.model_copy(update={"one_hot_limit": one_hot_limit}))
    rows = data.features(validate(table, schema), schema).assign(**{closed_category(schema): "never seen"})
    assert np.isfinite(model.score(pipeline, rows)).all()


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (Estimator(path="sklearn.nowhere.Nothing"), "cannot be imported"),
        (Estimator(path="sklearn.ensemble.Nothing"), "cannot be imported"),
        (Estimator(path="os.path.join"), "is not a classifier"),
        (Estimator(path="sklearn.linear_model.LinearRegression"), "is not a classifier"),
        (Estimator(path="sklearn.svm.SVC"), "is not a classifier"),
        (Estimator(path="sklearn.linear_model.SGDClassifier"), "is not a classifier"),
        (
            Estimator(path="sklearn.model_selection.GridSearchCV", arguments={"estimator": None, "param_grid": {}}),
            "take",
        ),
        (
            Estimator(path="sklearn.linear_model.LogisticRegression", arguments={"c": 1}),
            "does not take these arguments",
        ),
    ],
)
def test_an_unusable_estimator_is_refused(estimator: Estimator, reason: str) -> None:
    """What cannot be a classifier is refused with the reason, before any data is read."""
    with pytest.raises(model.EstimatorError, match=reason):
        model.build_estimator(estimator, seed=0, task="binary")


def test_wrong_values_of_arguments_are_refused(table: pd.DataFrame, schema: Schema, train: Train) -> None:
    """An argument that the estimator only rejects when fitted ends in the same kind of error."""
    strength = "alpha" if TASK == "regression" else "C"
    wrong = Estimator(path=QUICK, arguments={strength: -1})
    with pytest.raises(model.EstimatorError, match=strength):
        fitted(table, schema, train.model_copy(update={"estimator": wrong}))


def test_the_seed_reaches_the_estimator() -> None:
    """An estimator with a random_state gets the seed, unless the arguments name one."""
    path = "sklearn.ensemble.RandomForestClassifier"
    assert model.build_estimator(Estimator(path=path), seed=7, task="binary").random_state == 7
    assert (
        model.build_estimator(Estimator(path=path, arguments={"random_state": 1}), seed=7, task="binary").random_state
        == 1
    )
