"""A model that goes on where the training data ends: trees alone repeat the last level that they saw."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge


class BoostedLine(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regularised line, and gradient boosting of what it leaves: one follows a trend, the other finds the rest.

    Args:
        alpha: how strongly the line is regularised.
        max_iter: the number of trees.
        learning_rate: what each tree adds.
        random_state: the seed.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        max_iter: int = 100,
        learning_rate: float = 0.05,
        random_state: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, rows: npt.NDArray[np.float64], labels: npt.NDArray[np.float64]) -> Self:
        """Fit the line, then the trees to its residuals; rows have shape (rows, columns), without NaN."""
        self.line_ = Ridge(alpha=self.alpha).fit(rows, labels)
        self.trees_ = HistGradientBoostingRegressor(
            max_iter=self.max_iter,
            learning_rate=self.learning_rate,
            early_stopping=False,
            random_state=self.random_state,
        ).fit(rows, labels - self.line_.predict(rows))
        self.n_features_in_ = self.line_.n_features_in_
        return self

    def predict(self, rows: npt.NDArray[np.float64]) -> Any:
        """The value of each row, shape (rows,)."""
        return self.line_.predict(rows) + self.trees_.predict(rows)
