"""Real tables: by which tier each estimator is served, how many answers differ from the Pipeline's, what one costs."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from gitops_ml.intake import bring
from gitops_serving.fast import compiled
from gitops_serving.fast.compiler import by_pipeline, unequal
from gitops_serving.fast.encoding import Values
from pipeline import data, model
from pipeline.params import Estimator
from pipeline.schema import Schema
from pipeline.stages import files, prepare, rows

from ci.bench.tables import PROJECT, project, said
from ci.tables import TESTED

CLASSIFIERS = (
    "sklearn.ensemble.HistGradientBoostingClassifier", "sklearn.ensemble.RandomForestClassifier",
    "sklearn.linear_model.LogisticRegression", "lightgbm.LGBMClassifier", "xgboost.XGBClassifier",
    "catboost.CatBoostClassifier",
)  # fmt: skip
REGRESSORS = (
    "sklearn.ensemble.HistGradientBoostingRegressor", "sklearn.ensemble.RandomForestRegressor",
    "sklearn.linear_model.Ridge", "lightgbm.LGBMRegressor", "xgboost.XGBRegressor", "catboost.CatBoostRegressor",
)  # fmt: skip
TIMED = 200


def table(most: int) -> str:
    """A table of all tables and estimators, of at most so many evaluation rows each, one by one and in one batch.

    Raises:
        AssertionError: some answers differ; the message has the lines of the table.
    """
    lines = [
        "| table | estimator | tier | rows | unequal | µs a row | Pipeline's |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    unlike = list[str]()
    for name in ("flights", *TESTED):
        with prepared(name) as schema:
            paths = REGRESSORS if schema.task == "regression" else CLASSIFIERS
            for path in paths:
                tier, count, differ, ours, theirs = _tried(path, schema, most)
                cells = f"{tier} | {count:,} | {differ} | {ours:,.0f} | {theirs:,.0f}"
                lines.append(f"| {name} | {path.rpartition('.')[2]} | {cells} |")
                unlike += lines[-1:] if differ else []
                sys.stdout.write(f"{lines[-1]}\n")
                sys.stdout.flush()
    assert not unlike, "\n".join(unlike)
    return "\n".join(lines)


@contextmanager
def prepared(name: str) -> Iterator[Schema]:
    """A project that has a table's rows, divided; the test stands in it."""
    with project() as folder, contextlib.redirect_stdout(io.StringIO()):
        if name == "flights":
            shutil.copytree(PROJECT / "data", folder / "data", dirs_exist_ok=True)
        else:
            (folder.parent / name).write_bytes(TESTED[name].content())
            bring.bring(folder.parent / name, said(TESTED[name]), dry_run=False)
        prepare.main()
        with contextlib.redirect_stdout(sys.__stdout__):
            yield files.schema()


def _tried(path: str, schema: Schema, most: int) -> tuple[str, int, int, float, float]:
    """The tier, how many rows were asked, how many answers differ, and the microseconds of ours and of theirs."""
    train = rows.prepared(files.TRAIN, schema)
    inputs = data.features(train, schema)
    named = files.params().train.naming(Estimator(path=path))
    built = model.build(schema, named, model.categories(inputs, schema))
    fitted = model.fit(built, inputs, data.labels(train, schema), 1)
    scorer = compiled(fitted, schema)
    asked = _plain(rows.prepared(files.TEST, schema, list(schema.features)).head(most))
    ours = _microseconds(scorer.one, asked)
    theirs = _microseconds(lambda row: by_pipeline(fitted, schema, [row]), asked)
    return scorer.tier, len(asked), unequal(scorer, asked), ours, theirs


def _plain(table: pd.DataFrame) -> list[list[Any]]:
    """Rows as the service's validation gives them."""
    objects = [table[name].astype(object).where(table[name].notna(), None) for name in table]
    return [list(row) for row in zip(*objects, strict=True)]


def _microseconds(answer: Callable[[Values], object], asked: Sequence[Values]) -> float:
    start = time.process_time()
    for row in asked[:TIMED]:
        answer(row)
    return (time.process_time() - start) / len(asked[:TIMED]) * 1e6
