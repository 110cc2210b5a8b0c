"""scikit-learn's ensembles of trees: boosting by histograms or not, forests, extra trees, and a tree alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from gitops_serving.fast import links
from gitops_serving.fast.known import BeyondError, require
from gitops_serving.fast.links import Answer, Floats, Says
from gitops_serving.fast.walk import Nodes, Walk, nodes

LARGEST = float(np.finfo(np.float32).max)
TREES = (DecisionTreeClassifier, DecisionTreeRegressor)
FORESTS = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)


class Sum:
    """Trees that are added up, one after the other as scikit-learn does; `first` is what is there before any tree.

    Sums in other orders, such as those of np.sum, have other last bits.
    """

    def __init__(self, walk: Walk, first: Floats, says: Says) -> None:
        self.walk, self.first, self.says = walk, first, says
        self.alone = len(first) == 1

    def one(self, row: Floats) -> Answer:
        """What is said of an encoded row, shape (columns,)."""
        leaves = self.walk.leaves(row)
        if self.alone:
            leaves[0] += self.first[0]
            return self.says(np.add.accumulate(leaves)[-1:])
        by_class = leaves.reshape(-1, len(self.first))
        by_class[0] += self.first
        return self.says(np.add.accumulate(by_class)[-1])


class Mean:
    """Trees of which the mean counts. Of `values`, shape (nodes of all trees, classes), a leaf names its row."""

    def __init__(self, walk: Walk, values: Floats | None, trees: int) -> None:
        self.walk, self.values, self.trees = walk, values, trees

    def one(self, row: Floats) -> Answer:
        """What is said of an encoded row, shape (columns,)."""
        leaves = self.walk.leaves(row)
        if self.values is None:
            return float(np.add.accumulate(leaves)[-1] / self.trees)
        found: list[float] = (np.add.accumulate(self.values[leaves.astype(np.intp)])[-1] / self.trees).tolist()
        return found


class Rounded:
    """Trees that see numbers in single precision."""

    def __init__(self, trees: Sum | Mean) -> None:
        self.trees, self.walk = trees, trees.walk

    def one(self, row: Floats) -> Answer:
        """What is said of an encoded row, shape (columns,).

        Raises:
            BeyondError: a number is too large for single precision.
        """
        if np.fmax.reduce(np.abs(row)) > LARGEST:
            raise BeyondError("too large for single precision")
        return self.trees.one(row.astype(np.float32))


def histogram_boosting(fitted: Any) -> Sum:
    """HistGradientBoosting of any loss."""
    require(type(fitted) in (HistGradientBoostingClassifier, HistGradientBoostingRegressor), "another kind of boosting")
    require(fitted._preprocessor is None and fitted.is_categorical_ is None, "boosting with categories of its own")
    trees = [tree.nodes for each in fitted._predictors for tree in each]
    return Sum(Walk(trees), np.ravel(fitted._baseline_prediction).astype(np.float64), links.says(fitted._loss.link))


def gradient_boosting(fitted: Any) -> Rounded:
    """GradientBoosting that starts from a constant, or from nothing."""
    classes = type(fitted) is GradientBoostingClassifier
    require(classes or type(fitted) is GradientBoostingRegressor, "another kind of boosting")
    start = fitted.init_
    require(type(start) in (DummyClassifier, DummyRegressor) or start == "zero", "boosting of another model")
    nowhere = np.zeros((1, fitted.n_features_in_), dtype=np.float32)
    first = fitted._raw_predict_init(nowhere)[0]
    trees = [
        _nodes(tree, tree.tree_.value[:, 0, 0] * fitted.learning_rate) for each in fitted.estimators_ for tree in each
    ]
    says = links.says(fitted._loss.link) if classes else links.identity
    return Rounded(Sum(Walk(trees), first, says))


def forest(fitted: Any) -> Rounded:
    """A forest that adds its trees in their order, or a tree alone."""
    require(type(fitted) in FORESTS + TREES, "another kind of forest")
    alone = type(fitted) in TREES
    # With more than one thread the order of the trees is a matter of chance.
    require(alone or fitted.n_jobs in (None, 1), "a forest that is walked by many threads")
    trees = [fitted] if alone else list(fitted.estimators_)
    values = [tree.tree_.value[:, 0, :] for tree in trees]
    classes = values[0].shape[1]
    if classes <= 2:
        # Of two classes the second one counts.
        single = [_nodes(tree, each[:, -1]) for tree, each in zip(trees, values, strict=True)]
        require(classes == 2 or type(fitted).__name__.endswith("Regressor"), "a forest of one class")
        return Rounded(Mean(Walk(single), None, len(trees)))
    starts = np.cumsum([0, *map(len, values[:-1])])
    numbered = [
        _nodes(tree, start + np.arange(len(each), dtype=np.float64))
        for tree, each, start in zip(trees, values, starts, strict=True)
    ]
    return Rounded(Mean(Walk(numbered), np.concatenate(values), len(trees)))


def _nodes(tree: Any, value: Floats) -> Nodes:
    require(tree.tree_.n_outputs == 1, "trees of several outputs")
    return nodes(tree.tree_, value)
