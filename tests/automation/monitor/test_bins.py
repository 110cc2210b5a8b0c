"""Where rows moved is said as a person would: in which stretch or value they are now, and how many were there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from gitops_ml.monitor import bins
from pipeline import profile

RANDOM = np.random.default_rng(0)
HALF_ZERO = np.append(np.zeros(500), RANDOM.exponential(2, 500))
COUNTS = np.resize([0.0, 1.0, 2.0, 3.0], 1000)
TENS = np.resize(np.arange(100.0), 1000)
HALF_MISSING = np.where(np.arange(1000) % 2, np.nan, TENS)


def of(values: Any) -> profile.Distribution:
    """How a column was distributed when a model was trained."""
    table = pd.DataFrame({"x": values})
    return profile.sample([table], np.arange(len(table)), by_time=False).columns["x"]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (TENS, np.full(100, 95.0), "100 % are 89.1 or more, 10 % were in training"),
        (TENS, np.full(100, -5.0), "100 % are below 9.9, 10 % were in training"),
        (TENS, np.resize([40.0, 50.0], 100), "100 % are 39.6 to 59.4, 20 % were in training"),
        (TENS + 1000, np.resize([1040.0], 100), "100 % are 1,040 to 1,050, 10 % were in training"),
        (-TENS, np.full(100, -45.0), "100 % are -49.5 to -39.6, 10 % were in training"),
        (HALF_ZERO, np.zeros(100), "100 % are 0, 50 % were in training"),
        (COUNTS, np.full(100, 3.0), "100 % are 3, 25 % were in training"),
        (TENS, np.full(100, np.nan), "100 % are missing, 0 % were in training"),
        (HALF_MISSING, TENS, "100 % are not missing, 50 % were in training"),
        (np.full(100, np.nan), TENS, "100 % are not missing, 0 % were in training"),
        (np.resize(np.array(["a", "b"], dtype=object), 100), np.full(9, "b", dtype=object),
         "100 % are 'b', 50 % were in training"),
        (np.resize(np.array(["a", "b"], dtype=object), 100), np.full(9, "new", dtype=object),
         "100 % are rare or unknown values, 0 % were in training"),
    ],
)  # fmt: skip
def test_where_the_rows_are_is_said_in_words(before: Any, now: Any, said: str) -> None:
    """Numbers lie in the stretch that gained most, with as few digits as tell its ends apart; one with an open end is
    said so; values, gaps, and values that were rare or unknown by their names.
    """
    distribution = of(before)
    values = pd.Series(now)
    assert (
        bins.whither(distribution, distribution.shares, (profile.counts(values, distribution) / len(now)).tolist())
        == said
    )


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (["yes", "no", "no", "no"], ["yes", "yes", "no", "no"], "50 % of the rows, 25 % were in training"),
        (["yes", "no"], ["no"], "0 % of the rows, 50 % were in training"),
        (["no"], ["yes"], "100 % of the rows, 0 % were in training"),
        (["yes"], ["yes", "no"], "50 % of the rows, 100 % were in training"),
    ],
)
def test_gaps_are_said_as_gaps(before: list[str], now: list[str], said: str) -> None:
    """Of what is missing a person reads how much is and was, whatever the training had of it."""
    distribution = of(np.array(before * 25, dtype=object))
    shares = profile.counts(pd.Series(now, dtype=object), distribution) / len(now)
    assert bins.gaps(distribution, distribution.shares, shares.tolist()) == f"is missing in {said}"


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (TENS, ["below 9.9", "9.9 to 19.8", "19.8 to 29.7"]),
        (COUNTS, ["below 0", "0", "above 0 to 1"]),
        (np.full(9, np.nan), ["not missing", "missing"]),
        (np.array(["b", "a"] * 9, dtype=object), ["a", "b", "other values", "missing"]),
    ],
)
def test_each_bin_has_a_name(values: Any, labels: list[str]) -> None:
    """There is a name for each share; a frequent value is one by itself, and no name has digits without need."""
    distribution = of(values)
    found = bins.labels(distribution)
    assert found[: len(labels)] == labels
    assert len(found) == len(set(found)) == len(distribution.shares)
