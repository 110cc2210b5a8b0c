"""How good the scores are: metrics with intervals, slices, calibration, curves, importance.

Every function takes labels (0 or 1) and scores (probabilities of 1), both of shape (rows,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from sklearn.pipeline import Pipeline

from pipeline.params import Evaluate, Importance

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

CURVE_POINTS = 200
METRICS: dict[str, Callable[[Labels, Floats], float]] = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "log_loss": log_loss,
    "brier": brier_score_loss,
}


def measure(labels: Labels, scores: Floats) -> dict[str, float]:
    """Each metric on all rows."""
    return {name: float(metric(labels, scores)) for name, metric in METRICS.items()}


def intervals(
    labels: Labels, scores: Floats, clusters: npt.NDArray[np.int64], params: Evaluate
) -> dict[str, tuple[float, ...]]:
    """Percentile bootstrap interval of each metric (Efron and Tibshirani 1993, chapter 13).

    Whole clusters are drawn with replacement (Field and Welsh 2007), since rows of one cluster, such as the flights of
    one day, share their luck: drawing single rows would claim too much certainty.

    Args:
        labels: shape (rows,).
        scores: shape (rows,).
        clusters: shape (rows,), the number of each row's cluster, from 0.
        params: the number of draws, the confidence and the seed.
    """
    values = resampled(labels, scores, draws(labels, clusters, params.resamples, params.seed))
    tail = (1 - params.confidence) / 2
    return {name: tuple(np.quantile(drawn, [tail, 1 - tail]).tolist()) for name, drawn in values.items()}


def resampled(labels: Labels, scores: Floats, draws: Iterable[Floats]) -> dict[str, Floats]:
    """Each metric on each draw, shape (draws,): what scikit-learn computes with the draw as weights, sorting once.

    Args:
        labels: shape (rows,).
        scores: shape (rows,).
        draws: for each draw the rows' weights, shape (rows,), with some weight on both classes.
    """
    order = np.argsort(-scores, kind="stable")
    positive = labels[order] == 1
    # A threshold lies between two scores, never inside a tie.
    thresholds = np.flatnonzero(np.append(np.diff(scores[order]), 1))
    epsilon = np.finfo("float64").eps
    likelihood = np.where(labels == 1, scores, 1 - scores).clip(epsilon, 1 - epsilon)
    losses = np.column_stack([-np.log(likelihood), (labels - scores) ** 2])
    values = []
    for weights in draws:
        true = np.append(0, np.cumsum(weights[order] * positive)[thresholds])
        false = np.append(0, np.cumsum(weights[order] * ~positive)[thresholds])
        area = np.trapezoid(true, false) / (true[-1] * false[-1])
        chosen = np.diff(true) > 0
        precision = true[1:][chosen] / (true[1:] + false[1:])[chosen]
        average_precision = np.diff(true)[chosen] @ precision / true[-1]
        values.append([area, average_precision, *(weights @ losses / weights.sum())])
    return dict(zip(METRICS, np.array(values).T, strict=True))


def draws(labels: Labels, clusters: npt.NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
    """The weight of each row in each resample of whole clusters; the same arguments give the same draws.

    A draw that holds a single class is drawn again.

    Raises:
        ValueError: there is a single class in all of the rows, so no draw could ever hold two.
    """
    if labels.min() == labels.max():
        raise ValueError("all labels are the same")
    random = np.random.default_rng(seed)
    count = int(clusters.max()) + 1
    made = 0
    while made < resamples:
        weights = random.multinomial(count, np.full(count, 1 / count))[clusters].astype("float64")
        if 0 < (weights * labels).sum() < weights.sum():
            made += 1
            yield weights


def baseline(labels: Labels, positive_rate: float) -> dict[str, float]:
    """What the metrics are for a model that gives every row the training data's rate of positives."""
    return measure(labels, np.full(len(labels), positive_rate))


def slices(table: pd.DataFrame, labels: Labels, scores: Floats, params: Evaluate) -> list[dict[str, Any]]:
    """One record per value of each slicing column: rows, rate of positives, mean score and the metrics.

    A slice with fewer than `slice_minimum` rows, or with a single class, has no metrics (None): they would be noise.
    """
    records = []
    for column in params.slices:
        groups = table[column].astype(object).where(table[column].notna(), "(missing)")
        for value in sorted(groups.unique(), key=str):
            inside = (groups == value).to_numpy()
            y, s = labels[inside], scores[inside]
            measurable = len(y) >= params.slice_minimum and 0 < y.mean() < 1
            metrics = measure(y, s) if measurable else dict.fromkeys(METRICS)
            facts = {"rows": len(y), "positive_rate": float(y.mean()), "mean_score": float(s.mean())}
            records.append({"column": column, "value": str(value)} | facts | metrics)
    return records


def calibration(labels: Labels, scores: Floats, bins: int) -> pd.DataFrame:
    """Mean score and rate of positives in equally filled bins: columns `score`, `positive_rate`."""
    rate, mean = calibration_curve(labels, scores, n_bins=bins, strategy="quantile")
    return pd.DataFrame({"score": mean, "positive_rate": rate})


def calibration_error(labels: Labels, scores: Floats, bins: int) -> float:
    """Expected calibration error (Naeini et al. 2015) over bins that are equally filled as far as ties allow."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    inside = np.searchsorted(edges, scores)
    gaps = np.abs(np.bincount(inside, weights=scores - labels))
    return float(gaps.sum() / len(labels))


def roc(labels: Labels, scores: Floats) -> pd.DataFrame:
    """The ROC curve: columns `false_positive_rate`, `true_positive_rate`."""
    false, true, _ = roc_curve(labels, scores)
    return _thin(pd.DataFrame({"false_positive_rate": false, "true_positive_rate": true}))


def precision_recall(labels: Labels, scores: Floats) -> pd.DataFrame:
    """The precision-recall curve: columns `recall`, `precision`."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    return _thin(pd.DataFrame({"recall": recall, "precision": precision}))


def importance(model: Pipeline, rows: pd.DataFrame, labels: Labels, params: Importance, seed: int) -> pd.DataFrame:
    """The loss of ROC AUC when a column is shuffled (Breiman 2001): columns `feature`, `importance`, `deviation`."""
    if len(rows) > params.rows:
        chosen = np.random.default_rng(seed).choice(len(rows), params.rows, replace=False)
        rows, labels = rows.iloc[chosen], labels[chosen]
    found = permutation_importance(model, rows, labels, scoring="roc_auc", n_repeats=params.repeats, random_state=seed)
    table = pd.DataFrame(
        {"feature": list(rows.columns), "importance": found.importances_mean, "deviation": found.importances_std}
    )
    return table.sort_values(["importance", "feature"], ascending=[False, True], ignore_index=True)


def _thin(curve: pd.DataFrame) -> pd.DataFrame:
    chosen = np.unique(np.linspace(0, len(curve) - 1, CURVE_POINTS).round().astype(int))
    return curve.iloc[chosen].reset_index(drop=True)
