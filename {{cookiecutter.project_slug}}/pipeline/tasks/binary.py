"""Two classes: labels are 0 or 1, scores are probabilities of 1, both of shape (rows,)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from pipeline.tasks.scores import Floats, Labels, calibration_error, confusion, one_thread, probabilities, thin

# From here on the positive class is the likelier one.
LIKELIER = 0.5


def macro_f1(labels: Labels, scores: Floats, sample_weight: Floats | None = None) -> float:
    """The mean of both classes' F1, where each row gets the likelier one."""
    found = f1_score(labels, scores >= LIKELIER, average="macro", sample_weight=sample_weight, zero_division=0)
    return float(found)


METRICS: dict[str, Callable[[Labels, Floats], float]] = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "log_loss": log_loss,
    "brier": brier_score_loss,
    "macro_f1": macro_f1,
}
NAMES: tuple[str, ...] = tuple(METRICS)
LOWER_IS_BETTER = frozenset({"log_loss", "brier"})
# The metric by which a model must be better than the trivial one.
DECISIVE = "log_loss"
IMPORTANCE = "loss of ROC AUC"
SCORING: Any = "roc_auc"


def measure(labels: Labels, scores: Floats) -> dict[str, float]:
    """Each metric on all rows."""
    return {name: float(metric(labels, scores)) for name, metric in METRICS.items()}


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
    chosen, codes = scores >= LIKELIER, labels == 1
    right, wrong = np.column_stack([codes & chosen, ~codes & ~chosen]), codes != chosen
    values = []
    with one_thread():
        for weights in draws:
            true = np.append(0, np.cumsum(weights[order] * positive)[thresholds])
            false = np.append(0, np.cumsum(weights[order] * ~positive)[thresholds])
            area = np.trapezoid(true, false) / (true[-1] * false[-1])
            steps = np.diff(true) > 0
            precision = true[1:][steps] / (true[1:] + false[1:])[steps]
            average_precision = np.diff(true)[steps] @ precision / true[-1]
            hits = weights @ right
            f1 = (2 * hits / (2 * hits + weights @ wrong)).mean()
            values.append([area, average_precision, *(weights @ losses / weights.sum()), f1])
    return dict(zip(METRICS, np.array(values).T, strict=True))


def facts(labels: Labels, scores: Floats, bins: int) -> dict[str, float]:
    """What describes labels and scores beside the metrics."""
    return {
        "positive_rate": float(labels.mean()),
        "mean_score": float(scores.mean()),
        "calibration_error": calibration_error(labels, scores, bins),
    }


def valid(scores: Floats) -> bool:
    """Whether the scores are probabilities."""
    return probabilities(scores)


def curves(labels: Labels, scores: Floats, bins: int) -> dict[str, pd.DataFrame]:
    """The data of the plots, by name."""
    return {
        "roc": roc(labels, scores),
        "precision_recall": precision_recall(labels, scores),
        "calibration": calibration(labels, scores, bins),
        "confusion": confusion(labels, (scores >= LIKELIER).astype("int64")),
    }


def calibration(labels: Labels, scores: Floats, bins: int) -> pd.DataFrame:
    """Mean score and rate of positives in equally filled bins: columns `score`, `positive_rate`."""
    rate, mean = calibration_curve(labels, scores, n_bins=bins, strategy="quantile")
    return pd.DataFrame({"score": mean, "positive_rate": rate})


def roc(labels: Labels, scores: Floats) -> pd.DataFrame:
    """The ROC curve: columns `false_positive_rate`, `true_positive_rate`."""
    false, true, _ = roc_curve(labels, scores)
    return thin(pd.DataFrame({"false_positive_rate": false, "true_positive_rate": true}))


def precision_recall(labels: Labels, scores: Floats) -> pd.DataFrame:
    """The precision-recall curve: columns `recall`, `precision`."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    return thin(pd.DataFrame({"recall": recall, "precision": precision}))
