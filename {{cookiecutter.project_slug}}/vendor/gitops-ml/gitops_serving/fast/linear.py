"""scikit-learn's linear models, and the line with boosting of what it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from pipeline.trend import BoostedLine
from sklearn.linear_model import (
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    Ridge,
    RidgeCV,
    TweedieRegressor,
)

from gitops_serving.fast import links
from gitops_serving.fast.known import BeyondError, require
from gitops_serving.fast.links import Answer, Floats, Link
from gitops_serving.fast.sums import Row, Sum
from gitops_serving.fast.trees import histogram_boosting

LINES = (LinearRegression, Ridge, RidgeCV, Lasso, LassoCV, ElasticNet, ElasticNetCV, HuberRegressor)
CLASSES = (LogisticRegression, LogisticRegressionCV)
GENERALISED = (PoissonRegressor, GammaRegressor, TweedieRegressor)
# With more products, OpenBLAS may divide them between threads, and their sum depends on how many there are.
MOST_PRODUCTS = 8_000


class Product:
    """The product of a row and the coefficients, of shape (columns,) or (columns, classes), and the intercept."""

    def __init__(self, coefficients: Floats, intercept: Any, link: Link) -> None:
        require(coefficients.dtype == np.float64 and coefficients.size <= MOST_PRODUCTS, "so many coefficients")
        self.coefficients, self.intercept, self.link = coefficients, intercept, link

    def one(self, row: Row) -> Answer:
        """What is said of an encoded row, shape (columns,).

        Raises:
            BeyondError: a number is too large.
        """
        raw = (np.array(row)[None] @ self.coefficients + self.intercept).reshape(-1)
        if not np.isfinite(raw).all():
            raise BeyondError("too large")
        return self.link.one(raw)


class LineAndTrees:
    """A line, and trees of what it leaves."""

    def __init__(self, line: Product, trees: Sum) -> None:
        self.line, self.trees, self.walk = line, trees, trees.walk

    def one(self, row: Row) -> Answer:
        """What is said of an encoded row, shape (columns,)."""
        return self.line.one(row) + self.trees.one(row)  # type: ignore[operator]


def linear(fitted: Any) -> Product:
    """A linear model of a number or of classes."""
    kind = type(fitted)
    require(kind in LINES + CLASSES + GENERALISED, "another kind of linear model")
    if kind in CLASSES:
        require(fitted.coef_.ndim == 2 and len(fitted.classes_) >= 2, "classes of another form")
        of_classes = links.LOGISTIC if len(fitted.classes_) == 2 else links.SOFTMAX
        return Product(fitted.coef_.T, fitted.intercept_, of_classes)
    require(fitted.coef_.ndim == 1, "several targets")
    link = links.link(fitted._base_loss.link) if kind in GENERALISED else links.IDENTITY
    return Product(fitted.coef_, fitted.intercept_, link)


def boosted_line(fitted: Any) -> LineAndTrees:
    """The project's own line with boosting."""
    require(type(fitted) is BoostedLine, "another kind of line")
    return LineAndTrees(linear(fitted.line_), histogram_boosting(fitted.trees_))
