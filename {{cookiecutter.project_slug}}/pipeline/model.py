"""The model: one scikit-learn Pipeline from the raw columns to the prediction."""

from __future__ import annotations

import functools
import importlib
import inspect
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.utils import get_tags
from threadpoolctl import ThreadpoolController, threadpool_limits

from pipeline.encode import Calendar, Cycles, plain
from pipeline.params import Estimator, Train
from pipeline.schema import Schema, Task

# As many places for words as the vocabulary of a few thousand short texts needs.
WORD_PLACES = 2**12
# Rows that are scored at once.
PIECE_ROWS = 2**17
# What other libraries call seed and threads, and how they are kept from talking and from writing files.
HABITS: dict[str, dict[str, Any]] = {
    "catboost": {"thread_count": 1, "verbose": False, "allow_writing_files": False},
    "lightgbm": {"n_jobs": 1, "verbose": -1, "deterministic": True},
    "xgboost": {"n_jobs": 1},
}


class EstimatorError(Exception):
    """params.yaml names an estimator that cannot be used; the message says why."""


def build(schema: Schema, params: Train, categories: dict[str, int]) -> Pipeline:
    """The unfitted Pipeline.

    Numbers reach an estimator that knows missing values untouched; for any other they are filled with the median,
    flagged and scaled. Categories with up to `one_hot_limit` values are one-hot encoded, those with more are replaced
    by their cross-fitted target mean (Micci-Barreca 2001, as in scikit-learn's TargetEncoder). A category that training
    never saw gets zeros or the overall mean: predicting stays possible. Moments become parts of the calendar. Texts
    become hashed words and pairs of words, weighted by TF-IDF and reduced to `text_components` (latent semantic
    analysis, Deerwester et al. 1990).

    Args:
        schema: the columns, their types and roles.
        params: the block `train` of params.yaml, with one estimator.
        categories: the number of distinct values of each category in the training data.
    """
    estimator = build_estimator(cast(Estimator, params.estimator), params.seed, schema.task)
    names: dict[str, list[str]] = {"number": [], "datetime": [], "text": [], "category": []}
    for name, column in schema.features.items():
        names["number" if column.type in ("integer", "boolean") else column.type].append(name)
    few = [name for name in names["category"] if categories[name] <= params.one_hot_limit]
    many = [name for name in names["category"] if categories[name] > params.one_hot_limit]
    folds = KFold if schema.task == "regression" else StratifiedKFold
    columns: list[tuple[str, Any, Any]] = [
        ("numbers", _numbers(estimator), names["number"]),
        ("few", OneHotEncoder(handle_unknown="ignore", sparse_output=False), few),
        ("many", TargetEncoder(cv=folds(n_splits=5, shuffle=True, random_state=params.seed)), many),
    ]
    if names["datetime"]:
        numbers = _numbers(estimator)
        moments = Calendar() if numbers == "passthrough" else make_pipeline(Cycles(), numbers)
        columns.append(("moments", moments, names["datetime"]))
    for position, name in enumerate(names["text"]):
        columns.append((f"text {position}", _words(params), name))
    transformer = ColumnTransformer(columns, verbose_feature_names_out=False)
    return Pipeline([("columns", transformer), ("estimator", estimator)])


def categories(rows: pd.DataFrame, schema: Schema) -> dict[str, int]:
    """The number of distinct values of each category."""
    return {name: rows[name].nunique() for name, column in schema.features.items() if column.type == "category"}


def build_estimator(named: Estimator, seed: int, task: Task) -> Any:
    """The estimator that params.yaml names; its `random_state` is the seed unless the arguments set one.

    Raises:
        EstimatorError: no such class, wrong arguments, or nothing that can do the task: a classifier that gives
            probabilities, or a regressor.
    """
    wanted = "regressor" if task == "regression" else "classifier with fit and predict_proba"
    module, _, name = named.path.rpartition(".")
    try:
        # Those for Dask are the automation's, which gives xgboost's own; no model's file and no service needs it.
        is_dask = "dask" in named.path.lower()
        home = importlib.import_module("gitops_ml.engine.estimators" if is_dask else module)
        kind = home.kind(named.path) if is_dask else getattr(home, name)
    except (ImportError, AttributeError) as error:
        raise EstimatorError(
            f"{named.path} cannot be imported ({error}); is its package installed? `make setup` installs what "
            "params.yaml names"
        ) from error
    if not inspect.isclass(kind):
        raise EstimatorError(f"{named.path} is not a {wanted}")
    habits = HABITS.get(module.partition(".")[0], {})
    # Some classes name it in their signature, some pass it on.
    seeded = "random_state" in inspect.signature(kind).parameters or habits
    arguments = habits | ({"random_state": seed} if seeded else {}) | named.arguments
    try:
        estimator = kind(**arguments)
        get_tags(estimator)
    except (AttributeError, TypeError) as error:
        raise EstimatorError(f"{named.path} does not take these arguments: {error}") from error
    # Of some classes only an instance knows: it depends on the arguments.
    able = is_regressor(estimator) if task == "regression" else hasattr(estimator, "predict_proba")
    if not hasattr(estimator, "fit") or not able:
        raise EstimatorError(f"{named.path} with these arguments is not a {wanted}")
    return estimator


def fit(model: Pipeline, rows: pd.DataFrame, labels: pd.Series, threads: int) -> Pipeline:
    """Fit on a fixed number of threads, so that the model's bytes do not depend on how many cores a machine has."""
    with threadpool_limits(limits=threads):
        try:
            fitted = cast(Pipeline, model.fit(rows, labels))
        except (AttributeError, ValueError, TypeError) as error:
            raise EstimatorError(f"the estimator cannot be fitted: {error}") from error
    _forget_the_moment(fitted[-1])
    return fitted


def score(model: Pipeline, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """What the model says of each row.

    Of two classes the probability of the positive one, shape (rows,); of more the probability of each, shape (rows,
    classes); in a regression the value, shape (rows,).

    On one thread: on a busy machine threads that wait for each other turn milliseconds into seconds. In pieces, since
    what the columns become takes several times their memory.
    """
    with _thread_pools().limit(limits=1):
        if len(rows) <= PIECE_ROWS:
            return _score(model, rows)
        starts = range(0, len(rows), PIECE_ROWS)
        return np.concatenate([_score(model, rows[start : start + PIECE_ROWS]) for start in starts])


def _score(model: Pipeline, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    if is_regressor(model):
        return np.asarray(model.predict(rows), dtype="float64").reshape(len(rows))
    found = np.asarray(model.predict_proba(rows), dtype="float64")
    return found[:, 1] if found.shape[1] == 2 else found


@functools.cache
def _thread_pools() -> ThreadpoolController:
    # Looking for the pools takes longer than scoring a row.
    return ThreadpoolController()


def _forget_the_moment(estimator: Any) -> None:
    """CatBoost notes when it was fitted, and a random name: without them the same model has the same bytes."""
    if type(estimator).__module__.startswith("catboost."):
        for name in ("model_guid", "train_finish_time"):
            estimator.get_metadata()[name] = ""


def _numbers(estimator: Any) -> Any:
    if get_tags(estimator).input_tags.allow_nan:
        return "passthrough"
    fill = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(fill, StandardScaler())


def _words(params: Train) -> Any:
    hashed = HashingVectorizer(preprocessor=plain, ngram_range=(1, 2), n_features=WORD_PLACES, alternate_sign=False)
    return make_pipeline(
        hashed, TfidfTransformer(), TruncatedSVD(n_components=params.text_components, random_state=params.seed)
    )
