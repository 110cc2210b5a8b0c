"""What can be said without a model: the answers that a model must beat, learnt from some rows and given of others.

Without a split by time that is the mean label, or the share of each class. By time it is also what came last, what came
at the same season before, and a straight line; each within its key, where the schema names one (Hyndman and
Athanasopoulos 2021, section 5.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline import data
from pipeline.params import Split
from pipeline.schema import Schema
from pipeline.tasks.scores import Floats, Labels

# In days: the seasons that labels may repeat after, the longest that the training rows span counts.
SEASONS = (365.25, 7.0, 1.0)
DAY = pd.Timedelta(days=1)


def answers(train: pd.DataFrame, test: pd.DataFrame, schema: Schema, split: Split) -> dict[str, Floats]:
    """The scores of the rows of `test` by each trivial model, by its name; in the form of `model.score`.

    Args:
        train: the `columns` of the rows that the trivial models know, in the schema's types.
        test: those that they are asked of.
        schema: names target, task and key.
        split: says whether the rows are ordered by time, and by which columns.
    """
    labels = data.labels(train, schema).to_numpy()
    rates = _rates(labels, schema)
    same = "mean of the labels" if schema.task == "regression" else "share of each class"
    found = {same: np.tile(rates, (len(test), 1))}
    if split.by == "time":
        past, future = _along_time(train, labels, test, schema, split)
        season = _season(train, split, past)
        found |= _values(past, future, season) if schema.task == "regression" else _shares(past, future, season, rates)
    return {name: _as_scores(scores, schema) for name, scores in found.items()}


def columns(schema: Schema, split: Split) -> list[str]:
    """What of the rows the trivial models need."""
    keys = [name for name, column in schema.columns.items() if column.role == "key"]
    return [schema.target, *(split.columns + keys if split.by == "time" else [])]


def best(measures: Any, labels: Labels, found: dict[str, Floats]) -> str:
    """The name of the trivial model that is best by the metric that a model must beat it by."""
    sign = -1 if measures.DECISIVE in measures.LOWER_IS_BETTER else 1
    return max(found, key=lambda name: sign * measures.measure(labels, found[name])[measures.DECISIVE])


def _rates(labels: Labels, schema: Schema) -> Floats:
    """The mean label, shape (1,), or the share of each class, shape (classes,)."""
    if schema.task == "regression":
        return np.array([labels.mean()])
    return np.bincount(labels.astype("int64"), minlength=len(schema.classes)) / len(labels)


def _as_scores(found: Floats, schema: Schema) -> Floats:
    return found[:, -1] if schema.task != "multiclass" else found


def _along_time(
    train: pd.DataFrame, labels: Labels, test: pd.DataFrame, schema: Schema, split: Split
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Columns `key`, `moment` and, of the rows that train, `label`, sorted by moment; the others keep their order."""
    both = pd.concat([train, test], ignore_index=True)
    keys = [name for name, column in schema.columns.items() if column.role == "key"]
    key = data.clusters(both, keys) if keys else np.zeros(len(both), dtype="int64")
    first = both[split.columns[0]]
    if len(split.columns) > 1:
        moment = data.clusters(both, split.columns).astype("float64")
    elif pd.api.types.is_datetime64_any_dtype(first):
        moment = ((first - first.min()) / DAY).to_numpy()
    else:
        moment = first.to_numpy(dtype="float64")
    frame = pd.DataFrame({"key": key, "moment": moment})
    past = frame[: len(train)].assign(label=labels).sort_values("moment", kind="stable", ignore_index=True)
    return past, frame[len(train) :].reset_index(drop=True)


def _season(train: pd.DataFrame, split: Split, past: pd.DataFrame) -> float | None:
    """The length of a season in days; None where time is no date, or too short."""
    if len(split.columns) > 1 or not pd.api.types.is_datetime64_any_dtype(train[split.columns[0]]):
        return None
    span = past["moment"].iloc[-1] - past["moment"].iloc[0]
    return next((season for season in SEASONS if season <= span), None)


def _values(past: pd.DataFrame, future: pd.DataFrame, season: float | None) -> dict[str, Floats]:
    """Trivial answers to a regression along time, each of shape (rows, 1)."""
    keyed = past["key"].nunique() > 1
    within = " of each key" if keyed else ""
    found = {f"last label{within}": _last(past, future), f"straight line{within}": _line(past, future)}
    if season:
        ends = past["moment"].iloc[-1]
        seasons = np.ceil((future["moment"] - ends) / season).clip(lower=1)
        found[f"same season before{within}"] = _near(past, future.assign(moment=future["moment"] - seasons * season))
    return {name: values.to_numpy(dtype="float64")[:, None] for name, values in found.items()}


def _last(past: pd.DataFrame, future: pd.DataFrame) -> pd.Series:
    """The mean label of the last moment, of the key where it is known."""
    means = past.groupby(["key", "moment"])["label"].mean()
    overall = past.loc[past["moment"] == past["moment"].iloc[-1], "label"].mean()
    return future["key"].map(means.groupby("key").last()).fillna(overall)


def _line(past: pd.DataFrame, future: pd.DataFrame) -> pd.Series:
    """Least squares of the label over time, of the key where it is known."""
    lines = _lines(past)
    overall = _lines(past.assign(key=0)).iloc[0]
    of_row = lines.reindex(future["key"]).reset_index(drop=True).fillna(overall)
    return of_row["label"] + of_row["slope"] * (future["moment"] - of_row["moment"])


def _lines(past: pd.DataFrame) -> pd.DataFrame:
    """Of each key: mean `moment`, mean `label`, and the `slope` through them."""
    means = past.groupby("key")[["moment", "label"]].mean()
    away = past[["moment", "label"]] - means.loc[past["key"]].set_axis(past.index)
    products = pd.DataFrame({"both": away["moment"] * away["label"], "squares": away["moment"] ** 2})
    sums = products.groupby(past["key"]).sum()
    return means.assign(slope=(sums["both"] / sums["squares"].where(sums["squares"] > 0)).fillna(0.0))


def _near(past: pd.DataFrame, future: pd.DataFrame) -> pd.Series:
    """The mean label of the moment that is nearest to each row's, of the key where it is known."""
    means = past.groupby(["key", "moment"])["label"].mean().reset_index().sort_values("moment", kind="stable")
    asked = future.rename_axis("row").reset_index().sort_values("moment", kind="stable")
    found = pd.merge_asof(asked, means, on="moment", by="key", direction="nearest").set_index("row")["label"]
    return found.sort_index().fillna(past["label"].mean())


def _shares(past: pd.DataFrame, future: pd.DataFrame, season: float | None, rates: Floats) -> dict[str, Floats]:
    """Trivial answers to a question of classes along time, each of shape (rows, classes)."""
    found = {}
    if past["key"].nunique() > 1:
        found["share of each class in each key"] = _share(past["key"], future["key"], past["label"], rates)
        found["last label of each key"] = _persisting(past, future, rates)
    if season == SEASONS[0]:
        months = [(frame["moment"] % season // (season / 12)).astype("int64") for frame in (past, future)]
        found["share of each class in the same month before"] = _share(months[0], months[1], past["label"], rates)
    return found


def _share(known: pd.Series, asked: pd.Series, labels: pd.Series, rates: Floats) -> Floats:
    """The share of each class among the rows of the same group, drawn to that of all rows as if by one row more."""
    counts = pd.crosstab(known, labels.astype("int64")).reindex(columns=range(len(rates)), fill_value=0)
    of_row = counts.reindex(asked, fill_value=0).to_numpy(dtype="float64")
    return np.asarray((of_row + rates) / (of_row.sum(axis=1, keepdims=True) + 1))


def _persisting(past: pd.DataFrame, future: pd.DataFrame, rates: Floats) -> Floats:
    """The last class of the row's key, as surely as one followed upon itself in the rows that train."""
    before = past.groupby("key")["label"].shift()
    stays = float((past["label"] == before)[before.notna()].mean()) if before.notna().any() else 0.0
    last = future["key"].map(past.groupby("key")["label"].last())
    again = np.eye(len(rates))[last.fillna(0).astype("int64")] * last.notna().to_numpy()[:, None]
    weight = stays * again.sum(axis=1, keepdims=True)
    return np.asarray(weight * again + (1 - weight) * rates)
