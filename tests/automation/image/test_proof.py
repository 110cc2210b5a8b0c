"""A release is proven: by the way that it is served, every answer is the Pipeline's own, or a slower way is taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.image.proof import Served, proven
from gitops_serving.fast import compiled
from gitops_serving.fast.rows import drawn
from pipeline.decision import Decision, policy
from pipeline.schema import Column, Schema, Task
from pipeline.validation import cast

from tests.automation.serving.test_fast import COLUMNS, HISTOGRAM, fitted, problem

PAYS = Decision.model_validate({"unit": "EUR", "payoffs": {"wait": {"no": 0, "yes": 0}, "act": {"no": -1, "yes": 2}}})
COUNTS = {"alone": 20, "random": 20}


def served(task: Task, columns: dict[str, Column]) -> Served:
    """A model of some columns, of which two classes are decided about."""
    schema = problem(task, columns)
    kind = "Regressor" if task == "regression" else "Classifier"
    pipeline = fitted(schema, f"sklearn.ensemble.HistGradientBoosting{kind}", HISTOGRAM)
    decided = policy(PAYS if task == "binary" else None, schema)
    return Served(schema, decided, 64, pipeline, compiled(pipeline, schema))


def evaluation(schema: Schema, folder: Path, count: int = 150) -> Path:
    """A file of so many rows."""
    rows = drawn(schema, {}, {}, seed=3, count=count)
    cast(pd.DataFrame(rows, columns=list(schema.features)), schema.features).to_parquet(folder / "test.parquet")
    return folder / "test.parquet"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_kind_of_column_is_proven(task: Task, tmp_path: Path) -> None:
    """Rows of all kinds come through JSON and validation and get the Pipeline's answers, over several batches."""
    model = served(task, COLUMNS["moments"] | COLUMNS["texts"])
    proof = proven(model, evaluation(model.schema, tmp_path), **COUNTS)
    assert (proof.tier, proof.rows, proof.alone, proof.random, proof.unequal) == ("fast", 150, 20, 20, 0)
    assert proof.processor


def test_one_bit_takes_the_next_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A form that differs in the last bits is proven by the next slower way, and that is said."""
    model = served("binary", COLUMNS["plain"])
    model.scorer.estimator.first += 1e-15  # type: ignore[union-attr]
    assert proven(model, evaluation(model.schema, tmp_path), **COUNTS).tier == "encoder"
    assert "answers by way of 'fast' differ from the Pipeline's: 'encoder' is taken" in caplog.text


def test_a_service_of_another_model_is_no_release(tmp_path: Path) -> None:
    """Where even the slowest way says other things than the model that was evaluated, there is no proof."""
    model = served("binary", COLUMNS["numbers"])
    other = fitted(model.schema, "sklearn.linear_model.LogisticRegression", {})
    with pytest.raises(UserError, match="170 answers of the service would differ from those of the model that was"):
        proven(replace(model, fitted=other), evaluation(model.schema, tmp_path), **COUNTS)


def test_a_row_that_the_service_would_refuse_is_named(tmp_path: Path) -> None:
    """An evaluation row outside of the schema's limits is an error that says so, not a difference."""
    model = served("binary", COLUMNS["numbers"])
    path = evaluation(model.schema, tmp_path)
    pd.read_parquet(path).assign(n=99).to_parquet(path)
    with pytest.raises(UserError, match=r"the service would refuse a row .*less than or equal to 50"):
        proven(model, path, **COUNTS)
