"""scikit-learn's boosting by histograms for many rows: the same sums in the same order, in a quarter of the time.

Walking a tree costs a guess at each node. After C. Lucchese et al., "QuickScorer: a Fast Algorithm to Rank Documents
with Additive Ensembles of Regression Trees" (SIGIR 2015), no tree is walked: each value of a feature leaves some leaves
of a tree possible, one bit a leaf, and the one bit that all features of a row leave is the row's leaf. Histograms make
the values few: which masks a value has is looked up, those of many trees at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from gitops_serving.fast.known import require

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Masks = npt.NDArray[np.unsignedinteger[Any]]
KINDS = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
WORDS = {32: np.uint32, 64: np.uint64}
# Trees whose masks lie beside each other, so that one look finds all of them; rows that are looked at before the next
# trees are; values of several features together that have a number of their own. What fits a core's own memory.
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


def raw_predict(fitted: Any, most_bytes: int = MOST_BYTES) -> Callable[[Sequence[Encoded]], Floats]:
    """What says the same as `fitted._raw_predict`, shape (rows, classes), of which there is one if there are two.

    Its masks take no more memory than `most_bytes`.

    Raises:
        UnknownError: it is another estimator, or its trees decide by categories, are larger than a mask, or too many.
    """
    require(type(fitted) in KINDS, type(fitted).__name__)
    require(fitted._preprocessor is None and fitted.is_categorical_ is None, "boosting with categories of its own")
    trees = [each.nodes for step in fitted._predictors for each in step]
    require(not any(nodes["is_categorical"].any() for nodes in trees), "trees that decide by categories")
    most = max(int(nodes["is_leaf"].sum()) for nodes in trees)
    word = next((word for bits, word in WORDS.items() if most <= bits), None)
    require(word is not None, f"a tree of {most} leaves")
    first = np.ravel(fitted._baseline_prediction)
    features = _Features(trees, fitted.n_features_in_)
    blocks, size = list[_Block](), 0
    for start in range(0, len(trees), TREES):
        blocks.append(_Block(trees[start : start + TREES], features, word))
        size += blocks[-1].bytes
        require(size <= most_bytes, "a model of so many trees")

    def predict(parts: Sequence[Encoded]) -> Floats:
        numbers = features.numbered(parts)
        sums = np.repeat(first[:, None], numbers.shape[1], axis=1)
        for start in range(0, numbers.shape[1], ROWS):
            some, target = numbers[:, start : start + ROWS], 0
            for block in blocks:
                for values in block.values(some):
                    sums[target, start : start + ROWS] += values
                    target = (target + 1) % len(first)
        return np.ascontiguousarray(sums.T)

    return predict


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
    """Trees whose masks are looked up together."""

    def __init__(self, trees: Sequence[Any], features: _Features, word: Any) -> None:
        self._word = word
        # Of each group, the masks of each of its numbers, shape (numbers, trees).
        every = np.iinfo(word).max
        self._masks = {group: np.full((size, len(trees)), every, word) for group, size in enumerate(features.sizes)}
        self._leaves = list[Floats]()
        self._every = np.empty(len(trees), word)
        for place, nodes in enumerate(trees):
            values = list[float]()
            self._every[place] = self._fill(place, nodes, 0, features, values)
            self._leaves.append(np.array(values))
        # What these trees do not ask for.
        self._masks = {group: masks for group, masks in self._masks.items() if (~masks).any()}

    @property
    def bytes(self) -> int:
        """How much memory the masks take."""
        return sum(masks.nbytes for masks in self._masks.values())

    def _fill(self, place: int, nodes: Any, node: int, features: _Features, values: list[float]) -> int:
        """Enter what a node and those below it decide; the bits of their leaves."""
        here = nodes[node]
        if here["is_leaf"]:
            values.append(float(here["value"]))
            return 1 << (len(values) - 1)
        left, right = (self._fill(place, nodes, int(here[side]), features, values) for side in ("left", "right"))
        mask = ~np.where(features.left(here), self._word(right), self._word(left))
        self._masks[features.group[int(here["feature_idx"])]][:, place] &= mask
        return left | right

    def values(self, numbers: Places) -> Iterator[Floats]:
        """The values of the leaves of rows, tree by tree; `numbers` has shape (groups, rows)."""
        left = np.tile(self._every, (numbers.shape[1], 1))
        found = np.empty_like(left)
        for group, masks in self._masks.items():
            # Every number is one of the masks': `clip` saves asking that.
            masks.take(numbers[group], axis=0, out=found, mode="clip")
            left &= found
        # The zeros before the one bit that is left.
        leaf = np.bitwise_count(left - self._word(1))
        for place, values in enumerate(self._leaves):
            yield values.take(leaf[:, place], mode="clip")
