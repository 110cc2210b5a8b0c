"""From a column that is neither number nor category to numbers: moments and texts. Fitted and served with the model."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

DAY = pd.Timedelta(days=1)
# The points of each cycle at its steps (day, weekday, minute), from a rounded table, so that one row and many, and one
# processor and another, have the same bits. The last one stands for what is missing.
CIRCLES = {
    name: np.array([*(np.round([math.sin(at), math.cos(at)], 12) for at in angles), [math.nan, math.nan]])
    for name, angles in (
        ("year", [math.tau * day / 365.25 for day in range(367)]),
        ("week", [math.tau * day / 7 for day in range(7)]),
        ("day", [math.tau * minute / 1440 for minute in range(1440)]),
    )
}
PARTS = ("days since 1970", "month", "day", "weekday", "hour")


class Calendar(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Moments as numbers: how long ago, and where in the year, the month, the week and the day; NaN where missing."""

    def fit(self, moments: pd.DataFrame, labels: Any = None) -> Self:
        """Learn nothing but the number of columns."""
        self.n_features_in_ = moments.shape[1]
        return self

    def transform(self, moments: pd.DataFrame) -> npt.NDArray[np.float64]:
        """The parts of each column, shape (rows, 5 * columns)."""
        parts = [part for name in moments for part in self._parts(moments[name])]
        return np.column_stack(parts).astype("float64")

    def get_feature_names_out(self, names: Any = None) -> npt.NDArray[np.object_]:
        """The name of each part."""
        columns = [f"x{number}" for number in range(self.n_features_in_)] if names is None else names
        return np.array([f"{name}: {part}" for name in columns for part in PARTS], dtype=object)

    def _parts(self, moment: pd.Series) -> list[pd.Series]:
        epoch = pd.Timestamp(0, tz=moment.dt.tz).as_unit("us")
        time = moment.dt
        hour = time.hour + time.minute / 60
        return [(moment - epoch) / DAY, time.month, time.day, time.day_of_week, hour]


class Cycles(Calendar):
    """A calendar with points on a circle, too: the end of a year, a week or a day lies beside its beginning.

    Trees find that out by themselves; what adds columns up cannot.
    """

    def transform(self, moments: pd.DataFrame) -> npt.NDArray[np.float64]:
        """The parts of each column, then the points, shape (rows, 11 * columns)."""
        points = [point for name in moments for point in self._points(moments[name])]
        return np.column_stack([super().transform(moments), *points])

    def get_feature_names_out(self, names: Any = None) -> npt.NDArray[np.object_]:
        """The name of each part, then those of the points."""
        columns = [f"x{number}" for number in range(self.n_features_in_)] if names is None else names
        points = [
            f"{name}: {axis} of the {cycle}" for name in columns for cycle in CIRCLES for axis in ("sine", "cosine")
        ]
        return np.append(super().get_feature_names_out(names), np.array(points, dtype=object))

    def _points(self, moment: pd.Series) -> list[npt.NDArray[np.float64]]:
        time, missing = moment.dt, moment.isna().to_numpy()
        at = {"year": time.day_of_year, "week": time.day_of_week, "day": time.hour * 60 + time.minute}
        return [CIRCLES[cycle][np.where(missing, -1, place.fillna(-1)).astype("int64")] for cycle, place in at.items()]


def plain(text: object) -> str:
    """A text in lower case; a missing one is empty."""
    return text.lower() if isinstance(text, str) else ""
