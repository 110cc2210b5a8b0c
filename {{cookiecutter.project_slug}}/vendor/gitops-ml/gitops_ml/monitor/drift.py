"""Whether rows are distributed as the reference profile says: a test and an effect size for each column."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pipeline.profile import Distribution, Floats, Sample, counts
from scipy import stats

# What must be expected in each bin, in rows that count (Cochran 1954 asks for 1 to 5). With 5, the few days of a window
# would leave so few bins that a summer is hardly told from a winter; with 2, the study finds the level held as well.
EXPECTED = 2.0


@dataclass(frozen=True)
class Moved:
    """How far one column is from its reference.

    `p` is corrected for the number of columns; `effect` is the share of the rows that would have to change their value
    for the two to be the same (total variation); `before` and `now` are the shares of the bins of `distribution`.
    """

    name: str
    distribution: Distribution
    p: float
    effect: float
    before: list[float]
    now: list[float]


@dataclass(frozen=True)
class Unseen:
    """More rows of a column are alike than the reference ever had, by their shares: now, and at most then."""

    name: str
    what: str
    now: float
    most: float
    limit: float


def unseen(watched: list[tuple[pd.DataFrame, Sample]]) -> list[Unseen]:
    """Columns in which far more rows are missing, of other values or of a single one than on any day of the reference.

    Where rows of a day are as alike as in its weather, a day is little more than one row to `compare`, which then
    cannot tell it from any other. But what never was in more than half of the rows of any day, and is now past the
    middle between that and all rows, was never seen.
    """
    found = []
    for table, reference in watched:
        for name, distribution in reference.columns.items():
            if distribution.most is None or name not in table or table.empty:
                continue
            for what, now in _alike(table[name], distribution).items():
                most = getattr(distribution.most, what)
                if most <= 0.5 and now >= (limit := (1 + most) / 2):
                    found.append(Unseen(name, what, now, most, limit))
    return found


def _alike(values: pd.Series, distribution: Distribution) -> dict[str, float]:
    """The shares of the rows by the names of the profile's `Most`."""
    repeats = values.value_counts()
    found = {"missing": values.isna().mean(), "value": repeats.max() / len(values) if len(repeats) else 0.0}
    if distribution.kind == "category":
        found["other"] = counts(values, distribution)[-2] / len(values)
    return {what: float(share) for what, share in found.items()}


def compare(watched: list[tuple[pd.DataFrame, Sample]], days: pd.Series) -> list[Moved]:
    """Compare tables of the same rows, each with its reference, column by column.

    Args:
        watched: tables as the profile's `watched_...` give them, with the reference of each.
        days: shape (rows,), the day of each row: what stands for its cluster where clusters are stretches of time.
    """
    found = list[Moved]()
    for table, reference in watched:
        together = _together(days) if reference.by_time else reference.together
        for name, distribution in reference.columns.items():
            if name in table:
                found.append(_compared(name, table[name], distribution, reference, together))
    if not found:
        return []
    # Where nothing has moved, one alarm is as bad as many: then the false discovery rate is the rate of any.
    corrected = stats.false_discovery_control([each.p for each in found], method="bh")
    return [replace(each, p=float(p)) for each, p in zip(found, corrected, strict=True)]


def _compared(name: str, values: pd.Series, distribution: Distribution, reference: Sample, together: float) -> Moved:
    """A test of homogeneity that heeds how much alike rows of one cluster are (Rao and Scott 1981).

    In a direction in which they are alike by r, rows tell as much as their number divided by 1 + (m - 1) r, with m rows
    in a cluster (Kish 1965). The statistic is held against a chi-squared distribution of the same mean and variance
    (Satterthwaite 1946).
    """
    before = np.array(distribution.shares)
    now = counts(values, distribution) / max(len(values), 1)
    effect = float(np.abs(now - before).sum() / 2)
    sizes = [(reference.rows, reference.together), (max(len(values), 1), together)]

    def variances(directions: int) -> Floats:
        """Of one row's worth, by sample and direction."""
        alike = np.resize(np.append(distribution.alike, np.zeros(directions)), directions)
        return np.asarray([(1 + (max(m, 1) - 1) * alike) / rows for rows, m in sizes])

    each = variances(max(len(before) - 1, 1)).mean(axis=1)
    # Thousands of rows of one day say less of what is usual than the reference's many days.
    pooled = np.average([before, now], axis=0, weights=1 / each)
    groups = _groups(pooled / each.sum())
    old, new, both = (np.bincount(groups, weights=shares) for shares in (before, now, pooled))
    if len(both) < 2:
        return Moved(name, distribution, 1.0, effect, before.tolist(), now.tolist())
    variance = variances(len(both) - 1).sum(axis=0)
    spread = float((variance**2).mean() / variance.mean() ** 2)
    statistic = float(((new - old) ** 2 / both).sum() / (variance.mean() * spread))
    p = float(stats.chi2.sf(statistic, (len(both) - 1) / spread))
    return Moved(name, distribution, p, effect, before.tolist(), now.tolist())


def _groups(expected: Floats) -> list[int]:
    """The group of each bin: neighbours together, as many as it takes for enough to be expected in each."""
    groups, group, held = [], 0, 0.0
    for value in expected:
        groups.append(group)
        held += value
        if held >= EXPECTED:
            group, held = group + 1, 0.0
    # What is left over at the end is too little for a group of its own.
    return [min(each, max(group - 1, 0)) for each in groups]


def _together(days: pd.Series) -> float:
    """How many rows share a day with an average row, itself included."""
    sizes = days.value_counts().to_numpy(dtype="float64")
    return float((sizes**2).sum() / sizes.sum()) if len(sizes) else 1.0
