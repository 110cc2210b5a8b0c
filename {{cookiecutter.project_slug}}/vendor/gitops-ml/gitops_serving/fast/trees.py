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
from gitops_serving.fast.known import UnknownError, require
from gitops_serving.fast.links import Floats
from gitops_serving.fast.masks import Masks
from gitops_serving.fast.sums import Boosting, Mean, Rounded, Sum
from gitops_serving.fast.walk import Nodes, Walk, nodes

TREES = (DecisionTreeClassifier, DecisionTreeRegressor)
FORESTS = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)


def histogram_boosting(fitted: Any) -> Sum:
    """HistGradientBoosting of any loss."""
    trees = histogram_trees(fitted)
    first, link = np.ravel(fitted._baseline_prediction).astype(np.float64), links.link(fitted._loss.link)
    try:
        return Boosting(Masks(trees, fitted.n_features_in_), first, link)
    except UnknownError:
        return Sum(Walk(trees), first, link)


def histogram_trees(fitted: Any) -> list[Nodes]:
    """The nodes of its trees, as `Masks` takes them, in the order in which they are added.

    Raises:
        UnknownError: it is another estimator, or has encoded categories itself.
    """
    require(type(fitted) in (HistGradientBoostingClassifier, HistGradientBoostingRegressor), "another kind of boosting")
    require(fitted._preprocessor is None and fitted.is_categorical_ is None, "boosting with categories of its own")
    return [tree.nodes for each in fitted._predictors for tree in each]


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
    link = links.link(fitted._loss.link) if classes else links.IDENTITY
    return Rounded(Sum(Walk(trees), first, link))


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
