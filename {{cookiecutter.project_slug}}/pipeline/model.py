"""The model: one scikit-learn Pipeline from the raw columns to the prediction."""

from __future__ import annotations

import functools
import importlib
import inspect
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.utils import get_tags
from threadpoolctl import ThreadpoolController, threadpool_limits

from pipeline.params import Estimator, Train
from pipeline.schema import Schema


class EstimatorError(Exception):
    """params.yaml names an estimator that cannot be used; the message says why."""


def build(schema: Schema, params: Train, categories: dict[str, int]) -> Pipeline:
    """The unfitted Pipeline.

    Numbers reach an estimator that knows missing values untouched; for any other they are filled with the median,
    flagged and scaled. Categories with up to `one_hot_limit` values are one-hot encoded, those with more are replaced
    by their cross-fitted target mean (Micci-Barreca 2001, as in scikit-learn's TargetEncoder). A category that training
    never saw gets zeros or the overall mean: predicting stays possible.

    Args:
        schema: the columns, their types and roles.
        params: the block `train` of params.yaml.
        categories: the number of distinct values of each category in the training data.
    """
    estimator = build_estimator(params.estimator, params.seed)
    names = schema.features
    numbers = [name for name in names if names[name].type != "category"]
    few = [name for name, count in categories.items() if count <= params.one_hot_limit]
    many = [name for name, count in categories.items() if count > params.one_hot_limit]
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=params.seed)
    columns = ColumnTransformer(
        [
            ("numbers", _numbers(estimator), numbers),
            ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False), few),
            ("many", TargetEncoder(cv=folds), many),
        ],
        verbose_feature_names_out=False,
    )
    return Pipeline([("columns", columns), ("estimator", estimator)])


def build_estimator(named: Estimator, seed: int) -> Any:
    """The estimator that params.yaml names; its `random_state` is the seed unless the arguments set one.

    Raises:
        EstimatorError: no such class, wrong arguments, or not a classifier that gives probabilities.
    """
    module, _, name = named.path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise EstimatorError(f"{named.path} cannot be imported ({error}); is its package installed?") from error
    if not inspect.isclass(kind):
        raise EstimatorError(f"{named.path} is not a classifier with fit and predict_proba")
    seeded = "random_state" in inspect.signature(kind).parameters
    arguments = ({"random_state": seed} if seeded else {}) | named.arguments
    try:
        estimator = kind(**arguments)
        get_tags(estimator)
    except (AttributeError, TypeError) as error:
        raise EstimatorError(f"{named.path} does not take these arguments: {error}") from error
    # Of some classes only an instance knows: it depends on the arguments.
    if not hasattr(estimator, "fit") or not hasattr(estimator, "predict_proba"):
        raise EstimatorError(f"{named.path} with these arguments is not a classifier with fit and predict_proba")
    return estimator


def fit(model: Pipeline, rows: pd.DataFrame, labels: pd.Series, threads: int) -> Pipeline:
    """Fit on a fixed number of threads, so that the model's bytes do not depend on how many cores a machine has."""
    with threadpool_limits(limits=threads):
        try:
            return cast(Pipeline, model.fit(rows, labels))
        except (AttributeError, ValueError, TypeError) as error:
            raise EstimatorError(f"the estimator cannot be fitted: {error}") from error


def score(model: Pipeline, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The probability of the positive class, shape (rows,).

    On one thread: on a busy machine threads that wait for each other turn milliseconds into seconds.
    """
    with _thread_pools().limit(limits=1):
        return np.asarray(model.predict_proba(rows)[:, 1], dtype="float64")


@functools.cache
def _thread_pools() -> ThreadpoolController:
    # Looking for the pools takes longer than scoring a row.
    return ThreadpoolController()


def _numbers(estimator: Any) -> Any:
    if get_tags(estimator).input_tags.allow_nan:
        return "passthrough"
    fill = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(fill, StandardScaler())
