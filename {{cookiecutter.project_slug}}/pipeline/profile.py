"""The reference profile: how the training data and the model's answers are distributed, in a few kilobytes.

Each column is divided into bins, and its profile is the share of the rows in each. `gitops-ml watch monitor` compares
production with it, so it also says how much alike rows of one cluster are: a week of flights is not thousands of draws
of weather.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel

from pipeline.schema import Schema

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BINS = 10
# The most frequent values of a category; the others are one more bin.
VALUES = 30
DIGITS = 6
# Fewer rows than that look like anything.
STRETCH = 20


class Most(BaseModel):
    """Shares of one single value, of `other` values than those that have a bin, and of what is missing: the largest of
    any stretch of time, where clusters are such and not too small, else those of all rows.

    Stretches of less than half the usual size do not count.
    """

    value: float
    other: float
    missing: float


class Distribution(BaseModel):
    """One column: `shares` of its bins, then of what is missing; for a category the last but one is for other values.

    A number's bins lie between `edges`, an inner edge belonging to the bin above it. `alike` has the intraclass
    correlations that are not 0, the largest first: 0 where rows of one cluster are as different as any, 1 where they
    are all the same.
    """

    kind: Literal["number", "category"]
    edges: list[float] = []
    values: list[str] = []
    shares: list[float]
    alike: list[float]
    most: Most | None = None


class Sample(BaseModel):
    """Distributions of the same rows. `together` is how many rows share a cluster with an average one, itself included.

    `by_time` says that the clusters are stretches of time, so that production's rows of one day are one.
    """

    rows: int
    together: float
    by_time: bool
    columns: dict[str, Distribution]


class Profile(BaseModel):
    """reports/profile.json: the inputs of the rows that trained, and the answers to the rows that judge.

    The model knows the rows that trained it, so it answers them more surely than any others.
    """

    version: Literal[1] = 1
    inputs: Sample
    answers: Sample


def sample(tables: Iterable[pd.DataFrame], clusters: Integers, by_time: bool) -> Sample:
    """Profile what is watched of some rows.

    Args:
        tables: some columns of all the rows each, as `watched_inputs` or `watched_answers` gives them.
        clusters: shape (rows,), the number of each row's cluster, from 0.
        by_time: whether the clusters are stretches of time.
    """
    sizes = np.bincount(clusters).astype("float64")
    stretches = clusters if by_time and sizes.mean() >= STRETCH else np.zeros_like(clusters)
    return Sample(
        rows=len(clusters),
        together=round(float((sizes**2).sum() / sizes.sum()), DIGITS),
        by_time=by_time,
        columns={str(name): _distribution(table[name], clusters, stretches) for table in tables for name in table},
    )


def watched_inputs(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """What is compared of the inputs that the table has: of a text the number of words, of a moment the weekday.

    The log holds no texts, and that time goes on is no drift. Whether a value is missing is a question of its own: rows
    of a day may have their weather in common, and their gaps not.
    """
    columns = {}
    for name, column in schema.features.items():
        if name not in table:
            continue
        values = table[name]
        match column.type:
            case "text":
                columns[name] = values.astype("float64") if pd.api.types.is_numeric_dtype(values) else words(values)
            case "datetime":
                columns[name] = values.dt.day_name().astype(object)
            case "category" | "boolean":
                columns[name] = values.astype(object).map(str, na_action="ignore")
            case _:
                columns[name] = values.astype("float64")
        if column.nullable:
            columns[gaps(name)] = values.isna().map({True: "yes", False: "no"}).astype(object)
    return pd.DataFrame(columns, index=table.index)


def watched_answers(scores: Floats, schema: Schema) -> pd.DataFrame:
    """What is compared of the answers: the score, of more classes the one that is chosen and how surely."""
    if schema.task != "multiclass":
        return pd.DataFrame({"score": scores})
    names = np.array([str(name) for name in schema.classes], dtype=object)
    return pd.DataFrame({"label": names[scores.argmax(axis=1)], "confidence": scores.max(axis=1)})


def gaps(name: str) -> str:
    """What is watched of a column beside its values: whether there is one."""
    return f"{name} is missing"


def words(texts: pd.Series) -> pd.Series:
    """The number of words of each text; NaN where it is missing."""
    return texts.map(lambda text: float(len(text.split())), na_action="ignore").astype("float64")


def counts(values: pd.Series, distribution: Distribution) -> Floats:
    """The number of rows in each bin of a distribution, shape (bins,)."""
    return np.bincount(_binned(values, distribution), minlength=len(distribution.shares)).astype("float64")


def _distribution(values: pd.Series, clusters: Integers, stretches: Integers) -> Distribution:
    present = values.dropna()
    if not pd.api.types.is_numeric_dtype(values):
        frequent = present.value_counts().sort_index().sort_values(ascending=False, kind="stable")
        empty = Distribution(kind="category", values=sorted(frequent.index[:VALUES]), shares=[], alike=[])
        bins = len(empty.values) + 2
    else:
        inner = np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1]) if len(present) else np.array([])
        # A value that is frequent gets a bin of its own: what is equal to an edge is divided from what is above it.
        edges = np.unique(np.append(inner, [np.nextafter(edge, np.inf) for edge in _repeated(inner)]))
        empty = Distribution(kind="number", edges=edges.tolist(), shares=[], alike=[])
        bins = len(edges) + 2
    places = _binned(values, empty.model_copy(update={"shares": [0.0] * bins}))
    shares = np.bincount(places, minlength=bins) / len(values)
    found = {"alike": _alike(places, clusters, bins), "most": _most(values, places, stretches, bins)}
    return empty.model_copy(update={"shares": [round(share, DIGITS) for share in shares.tolist()]} | found)


def _most(values: pd.Series, places: Integers, stretches: Integers, bins: int) -> Most:
    sizes = np.bincount(stretches)
    usual = sizes >= sizes.mean() / 2
    codes = pd.factorize(values)[0].astype("int64")
    missing = codes < 0
    pairs, repeats = np.unique(stretches[~missing] * (len(values) + 1) + codes[~missing], return_counts=True)
    of_one_value = np.zeros(len(sizes), dtype="int64")
    np.maximum.at(of_one_value, pairs // (len(values) + 1), repeats)
    is_other = places == (bins - 1 if pd.api.types.is_numeric_dtype(values) else bins - 2)
    rows = {
        "value": of_one_value,
        "other": np.bincount(stretches[is_other & ~missing], minlength=len(sizes)),
        "missing": np.bincount(stretches[missing], minlength=len(sizes)),
    }
    return Most(**{name: round(float((count / sizes)[usual].max()), DIGITS) for name, count in rows.items()})


def _repeated(edges: Floats) -> list[float]:
    found, times = np.unique(edges, return_counts=True)
    return [float(edge) for edge, count in zip(found, times, strict=True) if count > 1]


def _binned(values: pd.Series, distribution: Distribution) -> Integers:
    """The number of each row's bin, shape (rows,)."""
    missing = len(distribution.shares) - 1
    if distribution.kind == "category":
        codes = pd.Index(distribution.values, dtype=object).get_indexer(pd.Index(values, dtype=object))
        return np.asarray(np.where(values.isna(), missing, np.where(codes < 0, missing - 1, codes)), dtype=np.int64)
    numbers = values.to_numpy(dtype="float64")
    inside = np.searchsorted(np.array(distribution.edges), numbers, side="right")
    return np.asarray(np.where(np.isnan(numbers), missing, inside), dtype=np.int64)


def _alike(places: Integers, clusters: Integers, bins: int) -> list[float]:
    """The intraclass correlations of the bins' indicators, by analysis of variance: one for each independent direction.

    They are the eigenvalues of the part that the clusters have in the covariance of the indicators. Rows may share much
    in one direction, as the flights of a warm day do, and little in all others.
    """
    sizes = np.bincount(clusters).astype("float64")
    rows, groups = sizes.sum(), len(sizes)
    present = np.flatnonzero(np.bincount(places, minlength=bins))[:-1]
    if groups in (1, rows) or not len(present):
        return []
    table = np.bincount(clusters * bins + places, minlength=groups * bins).reshape(groups, bins)[:, present]
    means, overall = table / sizes[:, None], table.sum(axis=0) / rows
    apart = means - overall
    between = (sizes[:, None] * apart).T @ apart / (groups - 1)
    within = (np.diag(table.sum(axis=0)) - (sizes[:, None] * means).T @ means) / (rows - groups)
    shared = (between - within) / ((rows - (sizes**2).sum() / rows) / (groups - 1))
    found = np.linalg.eigvals(np.linalg.pinv(shared + within) @ shared).real
    rounded = [round(min(1.0, max(0.0, value)), 4) for value in sorted(found.tolist(), reverse=True)]
    return [value for value in rounded if value > 0]
