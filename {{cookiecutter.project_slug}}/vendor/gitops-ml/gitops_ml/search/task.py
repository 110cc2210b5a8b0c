"""One task of a search: an estimator is fitted to a fold and scores the rest. Run wherever the engine is."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml
from pipeline import compare, data, model
from pipeline.compare import Fold
from pipeline.params import Split, Train
from pipeline.schema import Schema
from pipeline.tasks import MEASURES
from pipeline.validation import cast

# What the tasks read, in their working directory.
ROWS, SCHEMA, SETTINGS = "search/rows.parquet", "search/schema.yaml", "search/settings.json"


class Task(NamedTuple):
    """The block `train` with one estimator, as JSON, and the number of the fold."""

    train: str
    fold: int


class Scored(NamedTuple):
    """What the rule's metric is on the rows of a fold, or why there is none."""

    value: float | None
    failed: str = ""


class Rows(NamedTuple):
    """What every task has in common."""

    table: pd.DataFrame
    schema: Schema
    metric: str
    folds: list[Fold]


def score(task: Task) -> Scored:
    """Fit and score; a combination of arguments that cannot be fitted is a result, too."""
    rows = _rows()
    part = rows.folds[task.fold]
    try:
        found = compare.scores(rows.table, [part], rows.schema, Train.model_validate_json(task.train))
    except (model.EstimatorError, ValueError, TypeError) as error:
        return Scored(None, " ".join(str(error).split())[:300])
    labels = data.labels(rows.table.iloc[part[1]], rows.schema).to_numpy()
    value = float(MEASURES[rows.schema.task].measure(labels, found)[rows.metric])
    # As where the rows of a fold are all of one class.
    return Scored(value) if math.isfinite(value) else Scored(None, f"fold {task.fold} has no {rows.metric}")


@functools.cache
def _rows() -> Rows:
    schema = Schema.model_validate(yaml.safe_load(Path(SCHEMA).read_text()))
    settings = json.loads(Path(SETTINGS).read_text())
    table = cast(pd.read_parquet(ROWS), schema.columns)
    folds = compare.folds(table, schema, Split.model_validate(settings["split"]), settings["seed"])
    return Rows(table, schema, settings["metric"], list(folds))
