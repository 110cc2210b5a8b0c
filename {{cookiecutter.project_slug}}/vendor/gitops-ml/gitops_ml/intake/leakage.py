"""Columns that may hold the answer: equal to the target, one to one with it, or too good alone to be true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pipeline.schema import Task
from pipeline.tasks.scores import Labels
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

# A small tree on one column that explains this much of the target, in rows that it has not seen, is suspicious.
TOO_GOOD = 0.98
ROWS = 5000


@dataclass(frozen=True)
class Suspect:
    """Why a column is suspicious; `certain` if it is the target under another name."""

    reason: str
    certain: bool


def suspects(sample: pd.DataFrame, features: list[str], target: str, task: Task) -> dict[str, Suspect]:
    """The suspicious ones among the features.

    Args:
        sample: rows of the table in their types.
        features: the columns that the model would see.
        target: the column of the label.
        task: says whether labels are classes or numbers.
    """
    rows = sample[sample[target].notna()]
    rows = rows.iloc[:: max(1, len(rows) // ROWS)]
    labels = pd.Series(pd.factorize(rows[target])[0]) if task != "regression" else rows[target].astype("float64")
    found = {}
    for name in features:
        if suspect := _suspect(rows[name], rows[target], np.asarray(labels), task):
            found[name] = suspect
    return found


def _suspect(values: pd.Series, target: pd.Series, labels: Labels, task: Task) -> Suspect | None:
    text = [column.astype(object).astype(str) for column in (values, target)]
    if (text[0] == text[1]).all():
        return Suspect("equals the target", certain=True)
    pairs = pd.DataFrame({"value": text[0], "label": text[1]}).drop_duplicates()
    if task != "regression" and values.notna().all() and values.nunique() == target.nunique() == len(pairs):
        return Suspect("is one to one with the target", certain=True)
    quality = _alone(values, labels, task)
    if quality > TOO_GOOD:
        what = "R²" if task == "regression" else "balanced accuracy"
        return Suspect(f"alone predicts the target with {what} {quality:.3f}", certain=False)
    return None


def _alone(values: pd.Series, labels: Labels, task: Task) -> float:
    """How well a small tree does on this column alone, fitted on one half of the rows and judged on the other."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        numbers = values.astype("Float64").to_numpy(dtype="float64", na_value=np.nan)
    elif pd.api.types.is_datetime64_any_dtype(values):
        numbers = np.where(values.isna(), np.nan, values.astype("int64").to_numpy(dtype="float64"))
    else:
        numbers = pd.factorize(values)[0].astype("float64")
    numbers = numbers.clip(-1e30, 1e30)
    places = np.random.default_rng(0).permutation(len(labels))
    learnt, held = places[::2], places[1::2]
    tree = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    rows = numbers.reshape(-1, 1)
    fitted = tree(min_samples_leaf=max(5, len(labels) // 200), random_state=0).fit(rows[learnt], labels[learnt])
    found, truth = fitted.predict(rows[held]), labels[held]
    if task != "regression":
        return float(np.mean([(found[truth == code] == code).mean() for code in np.unique(truth)]))
    spread = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((truth - found) ** 2).sum() / spread) if spread else 0.0
