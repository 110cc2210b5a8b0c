"""From what an estimator adds up to what it says, as scikit-learn's links do it for one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn._loss.link import HalfLogitLink, IdentityLink, LogitLink, LogLink, MultinomialLogit

from gitops_serving.fast.known import require

Floats = npt.NDArray[np.float64]
Answer = float | list[float]
Says = Callable[[Floats], Answer]


def identity(raw: Floats) -> float:
    """The sum is the value."""
    return float(raw[0])


def exponential(raw: Floats) -> float:
    """The sum is the value's logarithm."""
    return float(np.exp(raw)[0])


def logistic(raw: Floats) -> float:
    """The sum is the logarithm of the odds."""
    return float(expit(raw[0]))


def half_logistic(raw: Floats) -> float:
    """The sum is half the logarithm of the odds."""
    return float(expit(2 * raw[0]))


def softmax(raw: Floats) -> list[float]:
    """The probability of each class."""
    powers = np.exp(raw - raw.max())
    found: list[float] = (powers / powers.sum()).tolist()
    return found


KNOWN: dict[type, Says] = {
    IdentityLink: identity,
    LogLink: exponential,
    LogitLink: logistic,
    HalfLogitLink: half_logistic,
    MultinomialLogit: softmax,
}


def says(link: Any) -> Says:
    """What makes an answer of the sums, shape (sums,), for one of scikit-learn's links; UnknownError for another."""
    require(type(link) in KNOWN, f"the link {type(link).__name__}")
    return KNOWN[type(link)]
