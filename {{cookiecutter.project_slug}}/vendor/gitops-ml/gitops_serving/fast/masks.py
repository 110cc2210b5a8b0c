"""Trees of boosting by histograms, none of which is walked: one row at once, and many in a quarter of the time.

Walking a tree costs a guess at each node. After C. Lucchese et al., "QuickScorer: a Fast Algorithm to Rank Documents
with Additive Ensembles of Regression Trees" (SIGIR 2015): each value of a feature leaves some leaves of a tree
possible, one bit a leaf, and the one bit that all features of a row leave is the row's leaf. Histograms make the values
few: which masks a value has is looked up, those of many trees at once.

It needs NumPy alone, so that a process which serves such a model need not know scikit-learn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gitops_serving.fast.known import require

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Masked = npt.NDArray[Any]
WORDS: dict[int, Any] = {32: np.uint32, 64: np.uint64}
# Of many rows: trees whose masks lie beside each other, so that one look finds all of them; rows that are looked at
# before the next trees are; values of several features together that have a number of their own. What fits a core's
# own memory.
TREES, ROWS, NUMBERS = 16, 4096, 256
# The example's take 2 MB.
MOST_BYTES = 1 << 26


@dataclass(frozen=True)
class Encoded:
    """Columns of the estimator's matrix: distinct rows of numbers, and which of them each row is; None if all are."""

    numbers: Floats
    places: Places | None = None

    def whole(self) -> Floats:
        """The columns, shape (rows, columns)."""
        return self.numbers if self.places is None else self.numbers[self.places]


class Masks:
    """The leaves that rows reach in all trees.

    Its masks take no more memory than `most_bytes`, and as much again once many rows were asked for here.

    Raises:
        UnknownError: trees decide by categories, are larger than a mask, or too many.
    """

    def __init__(self, trees: Sequence[Any], features: int, most_bytes: int = MOST_BYTES) -> None:
        """Look up trees, whose nodes are those of scikit-learn's TreePredictor, of so many features."""
        require(not any(nodes["is_categorical"].any() for nodes in trees), "trees that decide by categories")
        most = max(int(nodes["is_leaf"].sum()) for nodes in trees)
        require(most <= max(WORDS), f"a tree of {most} leaves")
        bits = min(bits for bits in WORDS if most <= bits)
        self._features = _Features(trees, features)
        self._word = WORDS[bits]
        # Of each tree all leaves, then what each number of each group leaves of them.
        rows = 1 + sum(self._features.sizes)
        require(rows * len(trees) * (bits // 8) <= most_bytes, "a model of so many trees")
        self._starts = np.cumsum([1, *self._features.sizes])[:-1].tolist()
        self._table: Masked = np.full((rows, len(trees)), np.iinfo(self._word).max, self._word)
        self._leaves = np.zeros((len(trees), bits))
        self._first = np.arange(len(trees)) * bits
        for place, nodes in enumerate(trees):
            self._table[0, place] = self._fill(place, nodes, 0, iter(range(bits)))

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made again where many rows are asked for."""
        return {name: value for name, value in self.__dict__.items() if name != "_blocks"}

    @property
    def edges(self) -> dict[int, Floats]:
        """The values of each feature at which a tree decides."""
        return {place: found for place, found in enumerate(self._features.thresholds) if len(found)}

    def leaves(self, row: Sequence[float] | Floats) -> Floats:
        """The value of the leaf in each tree, shape (trees,), for a row of shape (columns,)."""
        masks = self._table.take(self._features.places(row, self._starts), axis=0)
        # The zeros before the one bit that is left.
        leaf = np.bitwise_count(np.bitwise_and.reduce(masks, axis=0) - self._word(1))
        found: Floats = self._leaves.take(leaf + self._first)
        return found

    def sums(self, parts: Sequence[Encoded], first: Floats) -> Floats:
        """What trees add to `first`, shape (sums,), in turn, for many rows: shape (rows, sums).

        They lie in memory sum by sum, as scikit-learn's do: a sum over classes depends on it from the ninth class on.
        """
        numbers = self._features.numbered(parts)
        sums = np.repeat(first[:, None], numbers.shape[1], axis=1)
        for start in range(0, numbers.shape[1], ROWS):
            some, target = numbers[:, start : start + ROWS], 0
            for block in self._blocks:
                for values in block.values(some):
                    sums[target, start : start + ROWS] += values
                    target = (target + 1) % len(first)
        return sums.T

    @cached_property
    def _blocks(self) -> list[_Block]:
        pieces = [slice(start, start + TREES) for start in range(0, len(self._leaves), TREES)]
        places = zip(self._starts, self._features.sizes, strict=True)
        groups = [slice(start, start + size) for start, size in places]
        return [_Block([self._table[group, piece] for group in groups], self._table[0, piece], self._leaves[piece])
                for piece in pieces]  # fmt: skip

    def _fill(self, place: int, nodes: Any, node: int, leaves: Iterator[int]) -> int:
        """Enter what a node and those below it decide; the bits of their leaves."""
        here = nodes[node]
        if here["is_leaf"]:
            leaf = next(leaves)
            self._leaves[place, leaf] = here["value"]
            return 1 << leaf
        left, right = (self._fill(place, nodes, int(here[side]), leaves) for side in ("left", "right"))
        mask: Any = ~np.where(self._features.left(here), self._word(right), self._word(left))
        group = self._features.group[int(here["feature_idx"])]
        start = self._starts[group]
        self._table[start : start + self._features.sizes[group], place] &= mask
        return left | right


class _Features:
    """Numbers of what trees tell apart: between which of its thresholds a feature's value lies, or that it is missing.

    Several features with few thresholds share a number, as the digits of a number do.
    """

    def __init__(self, trees: Sequence[Any], count: int) -> None:
        inner = [nodes[nodes["is_leaf"] == 0] for nodes in trees]
        asked = np.concatenate([nodes["feature_idx"] for nodes in inner])
        against = np.concatenate([nodes["num_threshold"] for nodes in inner])
        self.thresholds = [np.unique(against[asked == feature]) for feature in range(count)]
        # Of each feature the group that it is in, and what its own number is multiplied with there.
        self.group, self.unit = [-1] * count, [0] * count
        self.sizes = list[int]()
        for feature, thresholds in enumerate(self.thresholds):
            if not len(thresholds):
                continue
            own = len(thresholds) + 2
            group = next((place for place, size in enumerate(self.sizes) if size * own <= NUMBERS), len(self.sizes))
            if group == len(self.sizes):
                self.sizes.append(1)
            self.group[feature], self.unit[feature] = group, self.sizes[group]
            self.sizes[group] *= own
        # The same for one row: of each group, its features, their thresholds, the number of a gap, and their unit.
        self._alone = [
            [
                (feature, self.thresholds[feature].tolist(), len(self.thresholds[feature]) + 1, self.unit[feature])
                for feature in range(count)
                if self.group[feature] == group
            ]
            for group in range(len(self.sizes))
        ]

    def places(self, row: Sequence[float] | Floats, starts: list[int]) -> list[int]:
        """Where each group's number of a row stands in a table, whose groups begin at `starts`; the first is 0."""
        found = [0]
        for start, features in zip(starts, self._alone, strict=True):
            for feature, thresholds, gap, unit in features:
                value = row[feature]
                # Missing ones stand behind all others.
                start += unit * (bisect_left(thresholds, value) if value == value else gap)  # noqa: PLR0124, PLW2901
            found.append(start)
        return found

    def numbered(self, parts: Sequence[Encoded]) -> Places:
        """The number of each group, shape (groups, rows)."""
        rows = len(parts[0].numbers if parts[0].places is None else parts[0].places)
        found, feature = np.zeros((len(self.sizes), rows), dtype=np.intp), 0
        for part in parts:
            own = dict[int, Places]()
            for column in part.numbers.T:
                group, thresholds = self.group[feature], self.thresholds[feature]
                if group >= 0:
                    # Missing ones stand behind all others.
                    number = (thresholds.searchsorted(column) + np.isnan(column)) * self.unit[feature]
                    own[group] = own[group] + number if group in own else number
                feature += 1
            for group, number in own.items():
                found[group] += number if part.places is None else number.take(part.places)
        return found

    def left(self, node: Any) -> npt.NDArray[np.bool_]:
        """By which numbers of its feature's group an inner node goes to the left."""
        feature, threshold = int(node["feature_idx"]), float(node["num_threshold"])
        group, thresholds = self.group[feature], self.thresholds[feature]
        own = np.arange(self.sizes[group]) // self.unit[feature] % (len(thresholds) + 2)
        goes: npt.NDArray[np.bool_] = own <= thresholds.searchsorted(threshold)
        goes[own == len(thresholds) + 1] = bool(node["missing_go_to_left"])
        return goes


class _Block:
    """Trees whose masks are looked up together, in many rows."""

    def __init__(self, masks: Sequence[Any], every: Any, leaves: Floats) -> None:
        # Without what these trees do not ask for.
        self._masks = {group: np.ascontiguousarray(each) for group, each in enumerate(masks) if (~each).any()}
        self._every, self._leaves = every, np.ascontiguousarray(leaves)

    def values(self, numbers: Places) -> Iterator[Floats]:
        """The values of the leaves of rows, tree by tree; `numbers` has shape (groups, rows)."""
        left = np.tile(self._every, (numbers.shape[1], 1))
        found = np.empty_like(left)
        for group, masks in self._masks.items():
            # Every number is one of the masks': `clip` saves asking that.
            masks.take(numbers[group], axis=0, out=found, mode="clip")
            left &= found
        # The zeros before the one bit that is left.
        leaf = np.bitwise_count(left - left.dtype.type(1))
        for place, values in enumerate(self._leaves):
            yield values.take(leaf[:, place], mode="clip")
