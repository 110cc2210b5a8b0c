"""What trees say together: their sum, or their mean, added in the order in which scikit-learn adds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gitops_serving.fast.known import BeyondError
from gitops_serving.fast.links import Answer, Floats, Link
from gitops_serving.fast.masks import Encoded, Masks

LARGEST = float(np.finfo(np.float32).max)
Row = Sequence[float] | Floats


class Leaves(Protocol):
    """All trees of an ensemble."""

    def leaves(self, row: Row) -> Floats:
        """The value of the leaf in each tree, shape (trees,), for a row of shape (columns,)."""

    @property
    def edges(self) -> dict[int, Floats]:
        """The values of each feature at which a tree decides."""


class Sum:
    """Trees that are added up, one after the other as scikit-learn does; `first` is what is there before any tree.

    Sums in other orders, such as those of np.sum, have other last bits.
    """

    def __init__(self, walk: Leaves, first: Floats, link: Link) -> None:
        self.walk, self.first, self.link = walk, first, link
        self.alone = len(first) == 1

    def one(self, row: Row) -> Answer:
        """What is said of an encoded row, shape (columns,)."""
        leaves = self.walk.leaves(row)
        if self.alone:
            leaves[0] += self.first[0]
            return self.link.one(np.add.accumulate(leaves)[-1:])
        by_class = leaves.reshape(-1, len(self.first))
        by_class[0] += self.first
        return self.link.one(np.add.accumulate(by_class)[-1])


class Mean:
    """Trees of which the mean counts. Of `values`, shape (nodes of all trees, classes), a leaf names its row."""

    def __init__(self, walk: Leaves, values: Floats | None, trees: int) -> None:
        self.walk, self.values, self.trees = walk, values, trees

    def one(self, row: Row) -> Answer:
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

    def one(self, row: Row) -> Answer:
        """What is said of an encoded row, shape (columns,).

        Raises:
            BeyondError: a number is too large for single precision.
        """
        numbers = np.array(row)
        if np.fmax.reduce(np.abs(numbers)) > LARGEST:
            raise BeyondError("too large for single precision")
        return self.trees.one(numbers.astype(np.float32))


class Boosting(Sum):
    """Trees of masks, which answer many rows, too, as scikit-learn's boosting by histograms does."""

    def __init__(self, walk: Masks, first: Floats, link: Link) -> None:
        super().__init__(walk, first, link)
        self.masks = walk

    def many(self, rows: Floats) -> Floats:
        """What is said of encoded rows, shape (rows, columns)."""
        return self.of_parts([Encoded(rows)])

    def of_parts(self, parts: Sequence[Encoded]) -> Floats:
        """The same, of rows whose columns are in pieces."""
        return self.link.many(self.masks.sums(parts, self.first))
