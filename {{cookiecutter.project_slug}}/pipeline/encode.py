"""From a column that is neither number nor category to numbers: moments and texts. Fitted and served with the model."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

DAY = pd.Timedelta(days=1)
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


def plain(text: object) -> str:
    """A text in lower case; a missing one is empty."""
    return text.lower() if isinstance(text, str) else ""
