"""Intervals that may be looked at after each request: confidence sequences.

An interval of a fixed number of rows, looked at again and again, is wrong sooner or later. A confidence sequence of
level `alpha` leaves out the truth at any time, ever, with a probability of at most `alpha` (Howard et al. 2021), so
looking costs nothing, and to stop by what was seen is allowed.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from pipeline.decision import Integers
from pipeline.tasks.scores import Floats
from scipy.special import betaln, xlog1py, xlogy

# Of the mixture over shares (Jeffreys' prior): narrow for shares near 0, which failures are.
PRIOR = 0.5
HALVINGS = 40
# The largest bet of the empirical Bernstein sequence, as its authors advise.
LARGEST_BET = 0.5


class Interval(NamedTuple):
    """An estimate, and between which bounds the truth is."""

    value: float
    low: float
    high: float


def share(successes: int, trials: int, alpha: float) -> Interval:
    """The probability of independent successes.

    The beta-binomial mixture of Robbins (1970), as in Howard and Ramdas (2022): what is left out are the
    probabilities against which a gambler whose bets are mixed by a beta distribution has won 1 / alpha.
    """
    if not trials:
        return Interval(0.0, 0.0, 1.0)
    value = successes / trials
    low, high = (_bound(successes, trials, alpha, value, end) for end in (0.0, 1.0))
    return Interval(value, low, high)


def quantile(values: Floats, probability: float, alpha: float) -> Interval:
    """A quantile of independent values, shape (values,), of any distribution (Howard and Ramdas 2022).

    How many values are below the true quantile is a number of successes of known probability, so those order statistics
    are between the bounds whose ranks are no surprise. A bound is infinite while there are too few.
    """
    if not len(values):
        return Interval(float("nan"), float("-inf"), float("inf"))
    ordered = np.concatenate([[-np.inf], np.sort(values), [np.inf]])
    first, last = _ranks(len(values), probability, alpha)
    return Interval(float(np.quantile(values, probability)), float(ordered[first]), float(ordered[last + 1]))


def mean(values: Floats, alpha: float) -> Interval:
    """The mean of values between 0 and 1, shape (values,), in the order in which they came.

    The predictable plug-in empirical Bernstein sequence of Waudby-Smith and Ramdas (2024), theorem 2: each value is bet
    on with what those before it say of mean and variance. It asks only that all have the same conditional mean.
    """
    if not len(values):
        return Interval(0.5, 0.0, 1.0)
    many = np.arange(1, len(values) + 1)
    means = (0.5 + np.cumsum(values)) / (many + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (many + 1)
    before, spread = np.append(0.5, means[:-1]), np.append(0.25, variances[:-1])
    odds = np.log(2 / alpha)
    bets = np.minimum(np.sqrt(2 * odds / (spread * many * np.log(1 + many))), LARGEST_BET)
    cost = (values - before) ** 2 * (-np.log1p(-bets) - bets)
    middle, half = (bets @ values) / bets.sum(), (odds + cost.sum()) / bets.sum()
    return Interval(float(values.mean()), max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def less(one: Interval, other: Interval) -> Interval:
    """One less the other: as wide as both, so it errs at most as often as both together."""
    return Interval(one.value - other.value, one.low - other.high, one.high - other.low)


def _won(successes: Integers | int, trials: int, probability: float) -> Floats:
    """The logarithm of what a mixture of bets has won against a probability."""
    mixed = betaln(PRIOR + successes, PRIOR + trials - successes) - betaln(PRIOR, PRIOR)
    fair = xlogy(successes, probability) + xlog1py(trials - successes, -probability)
    return np.asarray(mixed - fair)


def _bound(successes: int, trials: int, alpha: float, value: float, end: float) -> float:
    """The probability between the observed share and one end from which on it is left out."""
    inside, outside, limit = value, end, -np.log(alpha)
    if value == end:
        return end
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if _won(successes, trials, middle) < limit else (inside, middle)
    return float(outside)


@functools.lru_cache(maxsize=4096)
def _ranks(trials: int, probability: float, alpha: float) -> tuple[int, int]:
    """The least and the largest number of values below a quantile that is no surprise."""
    plausible = np.flatnonzero(_won(np.arange(trials + 1), trials, probability) < -np.log(alpha))
    return int(plausible[0]), int(plausible[-1])
