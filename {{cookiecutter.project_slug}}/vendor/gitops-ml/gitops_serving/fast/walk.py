"""All trees of an ensemble walked in one call.

scikit-learn's compiled walk through one tree takes many rows. So the trees are hung below a router, which is a tree too
and decides by one more feature, the tree's number; and a row is given once for each tree.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from gitops_serving.fast.known import require

Floats = npt.NDArray[np.float64]
Nodes = npt.NDArray[Any]
FIELDS = {
    "value", "count", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right", "gain", "depth", "is_leaf",
    "bin_threshold", "is_categorical", "bitset_idx",
}  # fmt: skip
# A node takes 62 bytes, beside those that the estimator keeps itself.
MOST_NODES = 1_000_000
NO_BITS = np.zeros((0, 8), dtype=np.uint32)
NO_PLACES = np.zeros(0, dtype=np.uint32)


def nodes(within: Tree, value: Floats) -> Nodes:
    """A tree of scikit-learn's other ensembles in that form; `value` of each node, shape (nodes,)."""
    found = np.zeros(within.node_count, dtype=PREDICTOR_RECORD_DTYPE)
    # A leaf has no child.
    inner = within.children_left >= 0
    columns = {
        "left": within.children_left, "right": within.children_right, "feature_idx": within.feature,
        "num_threshold": within.threshold,
    }  # fmt: skip
    for name, column in columns.items():
        found[name][inner] = column[inner]
    found["missing_go_to_left"], found["value"], found["is_leaf"] = within.missing_go_to_left, value, ~inner
    return found


class _Table(threading.local):
    """The rows to walk by, one for each tree; each thread has its own."""

    def __init__(self, trees: int, width: int) -> None:
        self.rows = np.zeros((trees, width + 1))
        self.rows[:, -1] = np.arange(trees)
        self.features = self.rows[:, :-1]


class Walk:
    """The leaves that a row reaches in all trees.

    Raises:
        UnknownError: the trees are too many for a worker's memory, or decide in a way that is not known here.
    """

    def __init__(self, trees: list[Nodes]) -> None:
        require(set(PREDICTOR_RECORD_DTYPE.names or ()) == FIELDS, "this scikit-learn's form of a tree")
        require(trees and sum(map(len, trees)) <= MOST_NODES, f"trees of more than {MOST_NODES:,} nodes")
        require(not any(tree["is_categorical"].any() for tree in trees), "trees that decide by categories")
        trees = [tree.copy() for tree in trees]
        inner = [tree["is_leaf"] == 0 for tree in trees]
        pairs = list(zip(trees, inner, strict=True))
        self.used = np.unique(np.concatenate([tree["feature_idx"][mask] for tree, mask in pairs]))
        self.edges = {
            int(feature): np.unique(
                np.concatenate([tree["num_threshold"][mask & (tree["feature_idx"] == feature)] for tree, mask in pairs])
            )
            for feature in self.used
        }
        for tree, mask in pairs:
            tree["feature_idx"][mask] = np.searchsorted(self.used, tree["feature_idx"][mask])
        self._tree = TreePredictor(_routed(trees, len(self.used)), NO_BITS, NO_BITS)
        self._table = _Table(len(trees), len(self.used))

    def leaves(self, row: Sequence[float] | Floats) -> Floats:
        """The value of the leaf in each tree, shape (trees,), for a row of shape (columns,)."""
        table = self._table
        table.features[:] = np.array(row)[self.used]
        found: Floats = self._tree.predict(table.rows, NO_BITS, NO_PLACES, 1)
        return found


def _routed(trees: list[Nodes], feature: int) -> Nodes:
    """The trees as one, below a balanced tree that decides by `feature`, the tree's number."""
    routers = len(trees) - 1
    starts = routers + np.cumsum([0, *map(len, trees[:-1])])
    whole = np.zeros(routers + sum(map(len, trees)), dtype=PREDICTOR_RECORD_DTYPE)
    for start, tree in zip(starts, trees, strict=True):
        part = whole[start : start + len(tree)]
        part[:] = tree
        for side in ("left", "right"):
            part[side][part["is_leaf"] == 0] += np.uint32(start)
    free = iter(range(routers))

    def below(first: int, end: int) -> int:
        if end - first == 1:
            return int(starts[first])
        here, middle = next(free), (first + end) // 2
        whole[here]["feature_idx"], whole[here]["num_threshold"] = feature, middle - 0.5
        whole[here]["left"], whole[here]["right"] = below(first, middle), below(middle, end)
        return here

    below(0, len(trees))
    return whole
