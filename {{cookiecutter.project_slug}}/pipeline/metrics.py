"""How good a model is, whatever its task: intervals, slices, importance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from pipeline.params import Evaluate
from pipeline.tasks import Measures
from pipeline.tasks.scores import Floats, Labels


def intervals(
    measures: Measures, labels: Labels, scores: Floats, clusters: npt.NDArray[np.int64], params: Evaluate
) -> dict[str, tuple[float, ...]]:
    """Percentile bootstrap interval of each metric (Efron and Tibshirani 1993, chapter 13).

    Whole clusters are drawn with replacement (Field and Welsh 2007), since rows of one cluster, such as the flights of
    one day, share their luck: drawing single rows would claim too much certainty.

    Args:
        measures: those of the task, which also says what shapes labels and scores have.
        labels: the truth.
        scores: the model's.
        clusters: shape (rows,), the number of each row's cluster, from 0.
        params: the number of draws, the confidence and the seed.
    """
    values = measures.resampled(labels, scores, draws(labels, clusters, params.resamples, params.seed))
    tail = (1 - params.confidence) / 2
    return {name: tuple(np.quantile(drawn, [tail, 1 - tail]).tolist()) for name, drawn in values.items()}


def draws(labels: Labels, clusters: npt.NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
    """The weight of each row in each resample of whole clusters; the same arguments give the same draws.

    A draw whose labels are all the same is drawn again: not every metric could be computed.

    Raises:
        ValueError: the labels of all rows are the same, so those of any draw would be.
    """
    if labels.min() == labels.max():
        raise ValueError("all labels are the same")
    random = np.random.default_rng(seed)
    count = int(clusters.max()) + 1
    made = 0
    while made < resamples:
        weights = random.multinomial(count, np.full(count, 1 / count))[clusters].astype("float64")
        held = labels[weights > 0]
        if held.min() < held.max():
            made += 1
            yield weights


def slices(
    measures: Measures, table: pd.DataFrame, labels: Labels, scores: Floats, params: Evaluate
) -> list[dict[str, Any]]:
    """One record per value of each slicing column: rows, what describes them and the metrics.

    A slice with fewer than `slice_minimum` rows, or with a single label, has no metrics (None): they would be noise.
    """
    records = []
    for column in params.slices:
        groups = table[column].astype(object).where(table[column].notna(), "(missing)")
        for value in sorted(groups.unique(), key=str):
            inside = (groups == value).to_numpy()
            y, s = labels[inside], scores[inside]
            measurable = len(y) >= params.slice_minimum and y.min() < y.max()
            metrics = measures.measure(y, s) if measurable else dict.fromkeys(measures.NAMES)
            facts = {name: fact for name, fact in measures.facts(y, s, 1).items() if name != "calibration_error"}
            records.append({"column": column, "value": str(value), "rows": len(y)} | facts | metrics)
    return records


def shuffled(count: int, params: Evaluate) -> npt.NDArray[np.int64]:
    """Of so many rows the places of those whose columns are shuffled for their importance: all, or some by chance."""
    if count <= params.importance.rows:
        return np.arange(count)
    return np.random.default_rng(params.seed).choice(count, params.importance.rows, replace=False)


def importance(
    measures: Measures, model: Pipeline, rows: pd.DataFrame, labels: Labels, params: Evaluate
) -> pd.DataFrame:
    """What shuffling a column costs (Breiman 2001): columns `feature`, `importance`, `deviation`.

    On one thread, as in model.score. The rows are those that `shuffled` chooses.
    """
    repeats = {"n_repeats": params.importance.repeats, "random_state": params.seed}
    with threadpool_limits(limits=1):
        found = permutation_importance(model, rows, labels, scoring=measures.SCORING, **repeats)
    table = pd.DataFrame(
        {"feature": list(rows.columns), "importance": found.importances_mean, "deviation": found.importances_std}
    )
    return table.sort_values(["importance", "feature"], ascending=[False, True], ignore_index=True)
