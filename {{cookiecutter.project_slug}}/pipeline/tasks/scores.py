"""Labels and scores: their types, and what holds for probabilities and curves in every task."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import ThreadpoolController

Floats = npt.NDArray[np.float64]
# Numbers of classes, or the values of a regression.
Labels = npt.NDArray[np.int64] | npt.NDArray[np.float64]

CURVE_POINTS = 200
# From here on a probability is as good as its bound.
EPSILON = float(np.finfo("float64").eps)
# For sums over many rows: threads wait longer for each other than they add, and their number shows in the last bit.
one_thread = partial(ThreadpoolController().limit, limits=1)


def calibration_error(labels: Labels, scores: Floats, bins: int) -> float:
    """Expected calibration error (Naeini et al. 2015) over bins that are equally filled as far as ties allow."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    inside = np.searchsorted(edges, scores)
    gaps = np.abs(np.bincount(inside, weights=scores - labels))
    return float(gaps.sum() / len(labels))


def confusion(labels: Labels, chosen: npt.NDArray[np.int64]) -> pd.DataFrame:
    """The rows of each pair of classes that occurs: columns `actual`, `predicted`, `rows`."""
    pairs = pd.DataFrame({"actual": labels, "predicted": chosen})
    return pairs.value_counts().rename("rows").sort_index().reset_index()


def probabilities(scores: Floats) -> bool:
    """Whether all are between 0 and 1; NaN is not."""
    return bool(((scores >= 0) & (scores <= 1)).all())


def thin(curve: pd.DataFrame) -> pd.DataFrame:
    """At most CURVE_POINTS points of a curve, both ends included."""
    chosen = np.unique(np.linspace(0, len(curve) - 1, CURVE_POINTS).round().astype(int))
    return curve.iloc[chosen].reset_index(drop=True)
