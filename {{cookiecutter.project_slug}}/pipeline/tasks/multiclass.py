"""Three classes or more: labels are their numbers, shape (rows,), scores probabilities, shape (rows, classes)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve

from pipeline.tasks.scores import EPSILON, Floats, Labels, calibration_error, confusion, one_thread, probabilities

NAMES: tuple[str, ...] = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc_ovr")
LOWER_IS_BETTER = frozenset({"log_loss"})
DECISIVE = "log_loss"
IMPORTANCE = "rise of log loss"


def measure(labels: Labels, scores: Floats) -> dict[str, float]:
    """Each metric on all rows."""
    return {name: float(values[0]) for name, values in resampled(labels, scores, [np.ones(len(labels))]).items()}


def resampled(labels: Labels, scores: Floats, draws: Iterable[Floats]) -> dict[str, Floats]:
    """Each metric on each draw, shape (draws,): what scikit-learn computes with the draw as weights.

    Averages over classes are over those that the draw holds. `roc_auc_ovr` is the mean of each class against the rest.

    Args:
        labels: shape (rows,).
        scores: shape (rows, classes).
        draws: for each draw the rows' weights, shape (rows,), with some weight on two classes or more.
    """
    codes = labels.astype("int64")
    count = scores.shape[1]
    chosen = scores.argmax(axis=1)
    losses = -np.log(scores[np.arange(len(codes)), codes].clip(EPSILON, 1))
    rankings = [_Ranking(scores[:, code], codes == code) for code in range(count)]
    values = []
    with one_thread():
        for weights in draws:
            confusion = np.bincount(codes * count + chosen, weights=weights, minlength=count**2).reshape(count, count)
            actual, predicted, right = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
            present, named = actual > 0, actual + predicted > 0
            recall = right[present] / actual[present]
            f1 = 2 * right[named] / (actual + predicted)[named]
            areas = [ranking.area(weights) for ranking, held in zip(rankings, present, strict=True) if held]
            total = weights.sum()
            values.append([right.sum() / total, recall.mean(), f1.mean(), weights @ losses / total, np.mean(areas)])
    return dict(zip(NAMES, np.array(values).T, strict=True))


class _Ranking:
    """One class against the rest: sorts once, and gives the area under the ROC curve for any weights."""

    def __init__(self, scores: Floats, inside: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.positive = inside[self.order]
        # A threshold lies between two scores, never inside a tie.
        self.thresholds = np.flatnonzero(np.append(np.diff(scores[self.order]), 1))

    def area(self, weights: Floats) -> float:
        ordered = weights[self.order]
        true = np.append(0, np.cumsum(ordered * self.positive)[self.thresholds])
        false = np.append(0, np.cumsum(ordered * ~self.positive)[self.thresholds])
        return float(np.trapezoid(true, false) / (true[-1] * false[-1]))


def facts(labels: Labels, scores: Floats, bins: int) -> dict[str, float]:
    """What describes labels and scores beside the metrics."""
    sure = scores.max(axis=1)
    return {
        "mean_confidence": float(sure.mean()),
        "calibration_error": calibration_error(_right(labels, scores), sure, bins),
    }


def valid(scores: Floats) -> bool:
    """Whether the scores are probabilities that add up to 1."""
    return probabilities(scores) and bool(np.allclose(scores.sum(axis=1), 1, atol=1e-4))


def curves(labels: Labels, scores: Floats, bins: int) -> dict[str, pd.DataFrame]:
    """The data of the plots, by name.

    `calibration` holds the highest score against the rate at which it is right (Guo et al. 2017), `coverage` the
    accuracy among the rows of which the model is surest, `confusion` the rows of each pair of classes.
    """
    right, sure = _right(labels, scores), scores.max(axis=1)
    rate, mean = calibration_curve(right, sure, n_bins=bins, strategy="quantile")
    surest = right[np.argsort(-sure, kind="stable")]
    shares = np.linspace(0.05, 1, 20)
    taken = np.maximum(1, (shares * len(surest)).astype(int))
    return {
        "confusion": confusion(labels, scores.argmax(axis=1)),
        "calibration": pd.DataFrame({"score": mean, "accuracy": rate}),
        "coverage": pd.DataFrame({"share": shares, "accuracy": np.cumsum(surest)[taken - 1] / taken}),
    }


def neg_log_loss(model: Any, rows: pd.DataFrame, labels: Labels) -> float:
    """A scorer, which scikit-learn's own is not where a class has no row among those that are scored."""
    return -measure(labels, model.predict_proba(rows))["log_loss"]


SCORING: Any = neg_log_loss


def _right(labels: Labels, scores: Floats) -> Labels:
    return np.asarray(scores.argmax(axis=1) == labels, dtype="int64")
