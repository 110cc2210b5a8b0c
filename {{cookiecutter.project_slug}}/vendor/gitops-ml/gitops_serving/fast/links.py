"""From what an estimator adds up to what it says, as scikit-learn's links do it for one row, and for many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from gitops_serving.fast.known import require

Floats = npt.NDArray[np.float64]
Answer = float | list[float]


@dataclass(frozen=True)
class Link:
    """What makes an answer of the sums of one row, shape (sums,); and answers of those of many, shape (rows, sums)."""

    one: Callable[[Floats], Answer]
    many: Callable[[Floats], Floats]


def _identity(raw: Floats) -> float:
    return float(raw[0])


def _exponential(raw: Floats) -> float:
    return float(np.exp(raw)[0])


def _logistic(raw: Floats) -> float:
    return float(expit(raw[0]))


def _half_logistic(raw: Floats) -> float:
    return float(expit(2 * raw[0]))


def _softmax(raw: Floats) -> list[float]:
    powers = np.exp(raw - raw.max())
    found: list[float] = (powers / powers.sum()).tolist()
    return found


def _identities(raw: Floats) -> Floats:
    return raw.ravel()


def _exponentials(raw: Floats) -> Floats:
    return np.asarray(np.exp(raw.ravel()))


def _logistics(raw: Floats) -> Floats:
    return np.asarray(expit(raw.ravel()))


def _half_logistics(raw: Floats) -> Floats:
    return np.asarray(expit(2 * raw.ravel()))


def _softmaxes(raw: Floats) -> Floats:
    powers = np.exp(raw - raw.max(axis=1)[:, None])
    return np.asarray(powers / powers.sum(axis=1)[:, None])


# The sum is the value, its logarithm, the logarithm of the odds, or half of that; or there is a sum for each class.
IDENTITY = Link(_identity, _identities)
EXPONENTIAL = Link(_exponential, _exponentials)
LOGISTIC = Link(_logistic, _logistics)
HALF_LOGISTIC = Link(_half_logistic, _half_logistics)
SOFTMAX = Link(_softmax, _softmaxes)


def link(fitted: Any) -> Link:
    """What makes answers of sums, for one of scikit-learn's links; UnknownError for another."""
    # What only serves does without scikit-learn.
    from sklearn._loss import link as known  # noqa: PLC0415

    found = {
        known.IdentityLink: IDENTITY,
        known.LogLink: EXPONENTIAL,
        known.LogitLink: LOGISTIC,
        known.HalfLogitLink: HALF_LOGISTIC,
        known.MultinomialLogit: SOFTMAX,
    }
    require(type(fitted) in found, f"the link {type(fitted).__name__}")
    return found[type(fitted)]
