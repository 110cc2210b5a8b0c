"""What makes boosting the same to the bit, however the rows are divided: bins that stand fixed, gradients on a grid.

Sums of doubles differ in their last bits with the order in which they are added, and which rows a worker has decides
that order. Sums of whole multiples of one unit do not, as long as they fit into a double's 53 bits; so each gradient is
rounded to such a multiple. Quantiles of parts differ from those of the whole, so the bins are those of all rows.

A Dask worker gets this module by value and need not have the automation: it imports what trains alone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xgboost
from scipy import special

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint16]

MISSING = 2**16 - 1
MOST_BINS = 2**15
# Gradients may become so many times as large as what bounds them at first.
ROOM_BITS = 2
LOG2E = 1 / math.log(2)
# As xgboost's own: no row weighs nothing.
LEAST_HESSIAN = 1e-16


class Binned(NamedTuple):
    """A matrix known by its bins: a code of each value, and what each code of a column stands for."""

    codes: Codes
    values: list[Singles]

    def part(self, start: int, stop: int) -> Binned:
        """Some of the rows."""
        return Binned(self.codes[start:stop], self.values)


def binned(matrix: npt.NDArray[Any], max_bin: int) -> Binned:
    """The bins that xgboost makes of all rows, two bytes a value.

    Each value is replaced by the least one of its bin, the greatest of all staying what it is. Of what comes out
    xgboost makes the same bins again, and, since they are few, so it does of any division of the rows.
    """
    bounds, cuts = xgboost.QuantileDMatrix(matrix, max_bin=max_bin, nthread=1).get_quantile_cut()
    codes = np.empty(matrix.shape, np.uint16)
    values = []
    for number, column in enumerate(np.asarray(matrix).T):
        found = column.astype(np.float32)
        missing = np.isnan(found)
        # The first cut lies below all values, the last one above.
        inner = cuts[bounds[number] + 1 : bounds[number + 1] - 1].astype(np.float32)
        ends = [found[~missing].min(), found[~missing].max()] if not missing.all() else [0, 0]
        places = np.searchsorted(inner, found, side="right")
        places[(places == len(inner)) & (found > (inner[-1] if len(inner) else ends[0]))] += 1
        codes[:, number] = np.where(missing, MISSING, places)
        values.append(np.array([ends[0], *inner, ends[1]], np.float32))
    return Binned(codes, values)


def matrix(part: Binned) -> Singles:
    """The values that codes stand for."""
    found = np.full(part.codes.shape, np.nan, np.float32)
    for number, values in enumerate(part.values):
        there = part.codes[:, number] != MISSING
        found[there, number] = values[part.codes[there, number]]
    return found


class Objective(NamedTuple):
    """Gradients of xgboost's `reg:squarederror`, `binary:logistic` or `multi:softprob`, as multiples of a unit."""

    name: str
    unit: float
    most: float
    positive_weight: float = 1.0

    def __call__(self, margins: Singles, rows: xgboost.DMatrix) -> tuple[Singles, Singles]:
        """First and second derivative of the loss of each row, and of each class where there are many."""
        labels = rows.get_label().astype(np.float64)
        said = margins.astype(np.float64)
        if self.name == "reg:squarederror":
            return self._rounded(said - labels), np.ones(len(said), np.float32)
        # Unlike numpy's exp, that of cephes is the same on processors with other vector units.
        if self.name == "binary:logistic":
            share = 1 / (1 + special.exp2(-LOG2E * said))
            weight = np.where(labels == 1, self.positive_weight, 1.0)
            return self._rounded(weight * (share - labels)), self._positive(weight * share * (1 - share))
        powers = special.exp2(LOG2E * (said - said.max(axis=1, keepdims=True)))
        share = powers / powers.sum(axis=1, keepdims=True)
        is_class = labels[:, None] == np.arange(share.shape[1])
        return self._rounded(share - is_class), self._positive(2 * share * (1 - share))

    def _positive(self, values: Floats) -> Singles:
        return np.maximum(self._rounded(values), np.float32(self.unit))

    def _rounded(self, values: Floats) -> Singles:
        # A single keeps a multiple of the unit one: it drops lower bits of its 24, if any.
        return (np.rint(np.clip(values, -self.most, self.most) / self.unit) * self.unit).astype(np.float32)


def objective(name: str, labels: npt.NDArray[Any], start: Any, positive_weight: float = 1.0) -> Objective:
    """The gradients for all the labels there are.

    Args:
        name: one of xgboost's.
        labels: of all rows; the unit becomes as small as their number and size allow.
        start: what is said of each row before the first tree, of a regression.
        positive_weight: how much the rows of class 1 of two weigh.
    """
    bound = float(np.abs(labels - start).max()) if name == "reg:squarederror" else max(1.0, positive_weight)
    # Two bits to spare: what hundreds of rounds leave of a label may grow, and n is rounded up.
    bits = math.ceil(math.log2(bound or 1.0)) + ROOM_BITS
    unit = 2.0 ** (bits + math.ceil(math.log2(max(2, len(labels)))) - 52)
    return Objective(name, unit, 2.0**bits, positive_weight)
