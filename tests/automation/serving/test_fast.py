"""The fast form of a Pipeline says what the Pipeline says, to the last bit, or is not used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gitops_serving.fast import checked, compiled, compiler
from gitops_serving.fast.compiler import unequal
from gitops_serving.fast.rows import drawn
from gitops_serving.fast.scorer import Scorer
from pipeline import data, model
from pipeline.params import Estimator, Train
from pipeline.schema import Column, Schema, Task
from pipeline.validation import cast
from sklearn.pipeline import Pipeline

ROWS = 400
TRIED = 60
# With more than eight, NumPy adds a row in another order than a column.
CLASSES = list("abcdefghij")
LABELS: dict[Task, Column] = {
    "binary": Column(type="category", role="target", categories=["no", "yes"]),
    "multiclass": Column(type="category", role="target", categories=list(CLASSES)),
    "regression": Column(type="number", role="target"),
}
PLAIN = {
    "x": Column(type="number", minimum=-10, maximum=10),
    "gap": Column(type="number", nullable=True),
    "n": Column(type="integer", minimum=0, maximum=50),
    "m": Column(type="integer", nullable=True),
    "yes": Column(type="boolean"),
    "few": Column(type="category", categories=["p", "q", "r"], nullable=True),
    "many": Column(type="category", open=True, nullable=True),
}
MOMENTS = {"when": Column(type="datetime", nullable=True), "there": Column(type="datetime", zoned=True)}
WORDS = {"said": Column(type="text")}
ONLY_NUMBERS = {"x": PLAIN["x"], "n": PLAIN["n"]}
HISTOGRAM = {"max_iter": 20}
CLASSIFIERS = {
    "sklearn.ensemble.HistGradientBoostingClassifier": ("fast", HISTOGRAM),
    "sklearn.ensemble.GradientBoostingClassifier": ("fast", {"n_estimators": 10}),
    "sklearn.ensemble.RandomForestClassifier": ("fast", {"n_estimators": 10}),
    "sklearn.ensemble.ExtraTreesClassifier": ("fast", {"n_estimators": 10}),
    "sklearn.tree.DecisionTreeClassifier": ("fast", {}),
    "sklearn.linear_model.LogisticRegression": ("fast", {"max_iter": 200}),
    "sklearn.naive_bayes.GaussianNB": ("encoder", {}),
    "lightgbm.LGBMClassifier": ("encoder", {"n_estimators": 10}),
    "xgboost.XGBClassifier": ("encoder", {"n_estimators": 10}),
    "catboost.CatBoostClassifier": ("encoder", {"iterations": 10}),
}
REGRESSORS = {
    "sklearn.ensemble.HistGradientBoostingRegressor": ("fast", HISTOGRAM),
    "sklearn.ensemble.GradientBoostingRegressor": ("fast", {"n_estimators": 10}),
    "sklearn.ensemble.RandomForestRegressor": ("fast", {"n_estimators": 10}),
    "sklearn.ensemble.ExtraTreesRegressor": ("fast", {"n_estimators": 10}),
    "sklearn.linear_model.Ridge": ("fast", {}),
    "sklearn.linear_model.RidgeCV": ("fast", {}),
    "sklearn.linear_model.PoissonRegressor": ("fast", {}),
    "pipeline.trend.BoostedLine": ("fast", {"max_iter": 20}),
    "sklearn.neighbors.KNeighborsRegressor": ("encoder", {}),
    "lightgbm.LGBMRegressor": ("encoder", {"n_estimators": 10}),
    "xgboost.XGBRegressor": ("encoder", {"n_estimators": 10}),
    "catboost.CatBoostRegressor": ("encoder", {"iterations": 10}),
}
CASES: list[tuple[Task, str]] = [
    *(("binary", path) for path in CLASSIFIERS),
    *(("multiclass", path) for path in CLASSIFIERS),
    *(("regression", path) for path in REGRESSORS),
]
COLUMNS = {"numbers": ONLY_NUMBERS, "plain": PLAIN, "moments": PLAIN | MOMENTS, "texts": PLAIN | WORDS}


def fitted(schema: Schema, path: str, arguments: dict[str, Any], one_hot_limit: int = 5) -> Pipeline:
    """A Pipeline that has learnt some random rows."""
    random = np.random.default_rng(0)
    names = list(schema.features)
    rows = drawn(schema, {"many": [f"v{n}" for n in range(8)]}, {}, seed=1, count=ROWS)
    table = pd.DataFrame(rows, columns=names)
    signal = table["x"].astype("float64") + random.normal(0, 3, ROWS)
    ranked = signal.rank(pct=True).to_numpy()
    match schema.task:
        case "binary":
            labels: Any = np.where(ranked > 0.6, "yes", "no")
        case "multiclass":
            labels = np.array(CLASSES)[np.minimum((ranked * len(CLASSES)).astype(int), len(CLASSES) - 1)]
        case "regression":
            labels = np.abs(signal.to_numpy()) + 0.1
    table = cast(table.assign(y=labels), schema.columns)
    train = Train(
        seed=0, threads=1, one_hot_limit=one_hot_limit, text_components=4,
        estimator=Estimator(path=path, arguments=arguments),
    )  # fmt: skip
    inputs = data.features(table, schema)
    built = model.build(schema, train, model.categories(inputs, schema))
    return model.fit(built, inputs, data.labels(table, schema), 1)


def problem(task: Task, columns: dict[str, Column]) -> Schema:
    """A schema of some columns and the label of a task."""
    return Schema(task=task, columns=columns | {"y": LABELS[task]})


def tried(found: Scorer, schema: Schema, count: int = TRIED) -> list[list[Any]]:
    """Random rows near what the form decides by."""
    return drawn(schema, compiler.known(found), compiler.edges(found), seed=7, count=count)


@pytest.mark.parametrize(("task", "path"), CASES)
def test_every_estimator_is_equal_to_the_last_bit(task: Task, path: str) -> None:
    """A row gets the Pipeline's answer to a row alone, a batch that to a batch, by the tier that is promised."""
    schema = problem(task, PLAIN)
    tier, arguments = (REGRESSORS if task == "regression" else CLASSIFIERS)[path]
    found = compiled(fitted(schema, path, arguments), schema)
    assert found.tier == tier
    assert unequal(found, tried(found, schema)) == 0


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("kind", ["boosting", "line"])
def test_every_column_is_encoded_to_the_last_bit(task: Task, columns: str, kind: str) -> None:
    """Numbers, gaps, categories, moments with and without zones, and texts are encoded as the Pipeline does it."""
    boosting = "Regressor" if task == "regression" else "Classifier"
    line = "sklearn.linear_model.Ridge" if task == "regression" else "sklearn.linear_model.LogisticRegression"
    path = f"sklearn.ensemble.HistGradientBoosting{boosting}" if kind == "boosting" else line
    schema = problem(task, COLUMNS[columns])
    found = compiled(fitted(schema, path, HISTOGRAM if kind == "boosting" else {}), schema)
    assert found.tier == "fast"
    assert unequal(found, tried(found, schema)) == 0


def test_what_is_not_known_goes_through_the_pipeline() -> None:
    """A step that a team has put into its Pipeline is not guessed at."""
    schema = problem("binary", ONLY_NUMBERS)
    own = fitted(schema, "sklearn.linear_model.LogisticRegression", {})

    class Own(type(own[0].transformers_[0][1][0])):  # type: ignore[misc]
        """A way of filling gaps that only looks like scikit-learn's."""

    own[0].transformers_[0][1].steps[0][1].__class__ = Own
    found = compiled(own, schema)
    assert found.tier == "pipeline"
    assert unequal(found, tried(found, schema, 5)) == 0


def test_a_form_that_differs_here_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """Where random rows get other answers at the start, the next slower way is taken, and that is said."""
    schema = problem("binary", PLAIN)
    found = compiled(fitted(schema, "sklearn.ensemble.HistGradientBoostingClassifier", HISTOGRAM), schema)
    assert checked(found, schema, seed=0, rows=20) is found
    found.estimator.first += 1e-9  # type: ignore[union-attr]
    slower = checked(found, schema, seed=0, rows=20)
    assert slower.tier == "encoder"
    assert "'encoder' is taken" in caplog.text


def test_a_release_is_served_by_no_faster_way_than_was_proven() -> None:
    """What a release was proven by is used, or something slower; where nothing was proven, the fastest."""
    schema = problem("binary", ONLY_NUMBERS)
    found = compiled(fitted(schema, "sklearn.linear_model.LogisticRegression", {}), schema)
    assert [found.at_most(tier).tier for tier in ("", "fast", "encoder", "pipeline")] == [
        "fast", "fast", "encoder", "pipeline",
    ]  # fmt: skip
    assert found.slower().at_most("fast").tier == "encoder"
    with pytest.raises(ValueError, match="there is no tier 'quick'; there are fast, encoder, pipeline"):
        found.at_most("quick")


@pytest.mark.parametrize("path", ["sklearn.ensemble.HistGradientBoostingRegressor", "sklearn.linear_model.Ridge"])
def test_integers_beyond_a_doubles_are_rounded_as_in_the_table(path: str) -> None:
    """Where a schema allows them, trees and sums see what they saw when they learnt."""
    wide = Column(type="integer", minimum=0, maximum=2**61)
    schema = problem("regression", {"x": PLAIN["x"], "n": wide})
    found = compiled(fitted(schema, path, dict(REGRESSORS[path][1])), schema)
    rows = tried(found, schema, 300)
    near = [
        [1.0, int(edge) + step] for edge in compiler.edges(found).get("n", [2**60]) for step in range(-130, 130, 13)
    ]
    assert max(row[1] for row in rows + near) > 2**54
    assert unequal(found, rows + near) == 0


def test_the_sign_of_zero_is_a_bit_too() -> None:
    """A form that says -0.0 where the Pipeline says 0.0 counts as unequal."""
    schema = problem("regression", ONLY_NUMBERS)
    pipeline = fitted(schema, "sklearn.linear_model.Ridge", {})
    pipeline[-1].coef_[:], pipeline[-1].intercept_ = 0.0, 0.0
    found = compiled(pipeline, schema)
    assert unequal(found, tried(found, schema, 5)) == 0
    found.estimator.link = replace(found.estimator.link, one=lambda _: -0.0)  # type: ignore[union-attr]
    assert unequal(found, tried(found, schema, 5)) == 5


def test_rows_beyond_the_fast_form_are_answered_all_the_same() -> None:
    """A number that single precision does not hold ends as in the Pipeline: in its error, not in another answer."""
    schema = problem("regression", {"x": Column(type="number"), "n": PLAIN["n"]})
    found = compiled(fitted(schema, "sklearn.ensemble.RandomForestRegressor", {"n_estimators": 3}), schema)
    with pytest.raises(ValueError, match="too large"):
        found.one([1e300, 1])


def test_rows_that_the_pipeline_refuses_keep_nothing_from_starting() -> None:
    """A random row that the Pipeline itself cannot answer is no difference, and the service starts with it."""
    large = problem("regression", {"x": Column(type="number", minimum=-10, maximum=1e300), "n": PLAIN["n"]})
    forest = fitted(problem("regression", ONLY_NUMBERS), "sklearn.ensemble.RandomForestRegressor", {"n_estimators": 3})
    assert checked(compiled(forest, large), large, seed=0, rows=20).tier == "fast"
    schema = problem("binary", PLAIN)
    strict = fitted(schema, "sklearn.linear_model.LogisticRegression", {}, one_hot_limit=500)
    strict[0].named_transformers_["few"].handle_unknown = "error"
    assert checked(compiled(strict, schema), schema, seed=0, rows=20).tier == "pipeline"


def test_random_rows_are_those_of_the_schema() -> None:
    """The rows keep to limits, lists and gaps, hit what they are told of, and are the same for a seed."""
    schema = problem("binary", PLAIN | MOMENTS | WORDS)
    rows = drawn(schema, {"many": ["v1"]}, {"x": [0.25]}, seed=3, count=500)
    assert rows == drawn(schema, {"many": ["v1"]}, {"x": [0.25]}, seed=3, count=500)
    table = pd.DataFrame(rows, columns=list(schema.features))
    assert table["x"].between(-10, 10).all()
    assert {-10.0, 10.0, 0.25, np.nextafter(0.25, 1), np.nextafter(0.25, 0)} <= set(table["x"])
    assert table["n"].between(0, 50).all()
    assert set(table["few"].dropna()) == {"p", "q", "r"}
    assert table["few"].isna().any()
    assert table["many"].str.startswith("new ").any()
    assert all(moment.tzinfo for moment in table["there"])


@pytest.mark.parametrize("path", ["sklearn.ensemble.HistGradientBoostingClassifier", "sklearn.naive_bayes.GaussianNB"])
def test_more_rows_than_are_scored_at_once_get_the_same_answers(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is scored in pieces is answered as the Pipeline answers it, by every tier."""
    schema = problem("binary", PLAIN)
    found = compiled(fitted(schema, path, dict(CLASSIFIERS[path][1])), schema)
    monkeypatch.setattr(model, "PIECE_ROWS", 7)
    rows = tried(found, schema)
    assert (found.many(rows) == compiler.by_pipeline(found.pipeline, schema, rows)).all()
