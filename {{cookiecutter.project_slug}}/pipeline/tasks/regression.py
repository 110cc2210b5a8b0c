"""A number: labels and scores are values of the target, both of shape (rows,)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from pipeline.tasks.scores import Floats, Labels, one_thread, thin

NAMES: tuple[str, ...] = ("mae", "rmse", "r2")
LOWER_IS_BETTER = frozenset({"mae", "rmse"})
DECISIVE = "rmse"
IMPORTANCE = "rise of RMSE"
SCORING: Any = "neg_root_mean_squared_error"


def measure(labels: Labels, scores: Floats) -> dict[str, float]:
    """Each metric on all rows."""
    return {name: float(values[0]) for name, values in resampled(labels, scores, [np.ones(len(labels))]).items()}


def resampled(labels: Labels, scores: Floats, draws: Iterable[Floats]) -> dict[str, Floats]:
    """Each metric on each draw, shape (draws,): what scikit-learn computes with the draw as weights.

    Args:
        labels: shape (rows,).
        scores: shape (rows,).
        draws: for each draw the rows' weights, shape (rows,), with some weight on labels that differ.
    """
    errors = np.abs(labels - scores)
    values = []
    with one_thread():
        for weights in draws:
            total = weights.sum()
            squared = weights @ errors**2
            spread = weights @ (labels - weights @ labels / total) ** 2
            values.append([weights @ errors / total, np.sqrt(squared / total), 1 - squared / spread])
    return dict(zip(NAMES, np.array(values).T, strict=True))


def facts(labels: Labels, scores: Floats, bins: int) -> dict[str, float]:
    """What describes labels and scores beside the metrics."""
    return {"mean_label": float(labels.mean()), "mean_score": float(scores.mean())}


def valid(scores: Floats) -> bool:
    """Whether the scores are numbers."""
    return bool(np.isfinite(scores).all())


def curves(labels: Labels, scores: Floats, bins: int) -> dict[str, pd.DataFrame]:
    """The data of the plots, by name.

    `predicted` holds score and label of some rows, `calibration` the mean score against the mean label in equally
    filled bins, `errors` the share of rows whose error is at most so large (the REC curve, Bi and Bennett 2003).
    """
    place = pd.Series(scores).rank(method="first", pct=True)
    inside = np.ceil(place * min(bins, len(scores)))
    means = pd.DataFrame({"score": scores, "label": labels}).groupby(inside).mean().reset_index(drop=True)
    errors = np.sort(np.abs(labels - scores))
    shares = np.arange(1, len(errors) + 1) / len(errors)
    rows = pd.DataFrame({"score": scores, "label": labels}).sort_values(["score", "label"], ignore_index=True)
    return {
        "predicted": thin(rows),
        "calibration": means,
        "errors": thin(pd.DataFrame({"error": errors, "share": shares})),
    }
