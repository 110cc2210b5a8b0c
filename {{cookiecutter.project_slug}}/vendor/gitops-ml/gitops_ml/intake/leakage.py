"""Columns that may hold the answer: equal to the target, one to one with it, parts of it, or too good to be true."""

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
# Columns that explain this much of a number by a sum, or by a product, are its parts.
EXACTLY = 0.99999
MOST_PARTS = 100


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


def tells(sample: pd.DataFrame, name: str, target: str, task: Task) -> bool:
    """Whether a column of numbers alone tells more about the target than chance would."""
    rows = sample[sample[target].notna()]
    rows = rows.iloc[:: max(1, len(rows) // ROWS)]
    labels = rows[target].astype("float64") if task == "regression" else pd.Series(pd.factorize(rows[target])[0])
    chance = 0.0 if task == "regression" else 1 / labels.nunique()
    return bool(_alone(rows[name], np.asarray(labels), task) > chance + max(0.05, 2 / len(rows) ** 0.5))


def parts(sample: pd.DataFrame, numbers: list[str], target: str, task: Task) -> list[str]:
    """The fewest columns, two or more, of which the target is a sum or a product; none if it is neither.

    Args:
        sample: rows of the table in their types.
        numbers: the features that are numbers.
        target: the column of the label.
        task: classes are no sums.
    """
    if task != "regression":
        return []
    rows = sample[sample[target].notna()]
    rows = rows.iloc[:: max(1, len(rows) // ROWS)]
    labels = rows[target].to_numpy(dtype="float64")
    values = rows[numbers].astype("float64").fillna(0.0)
    found = _terms(values, labels)
    positive = values.loc[:, (values > 0).all()]
    if not found and (labels > 0).all():
        found = _terms(positive.apply(np.log), np.log(labels))
    return found


def _terms(values: pd.DataFrame, labels: Labels) -> list[str]:
    """The columns of an exact sum with weights, without those that it does not need."""
    if not 2 <= values.shape[1] <= MOST_PARTS or len(values) < 4 * values.shape[1] or labels.std() == 0:
        return []
    scaled = (values - values.mean()) / values.std().replace(0.0, 1.0)
    places = np.random.default_rng(0).permutation(len(labels))
    learnt, held = places[::2], places[1::2]

    def fitted(names: list[str]) -> tuple[float, Labels]:
        design = np.column_stack([np.ones(len(scaled)), scaled[names].to_numpy()])
        weights = np.linalg.lstsq(design[learnt], labels[learnt], rcond=None)[0]
        wrong = labels[held] - design[held] @ weights
        return float(1 - (wrong**2).sum() / ((labels[held] - labels[held].mean()) ** 2).sum()), np.abs(weights[1:])

    names = [str(name) for name in values]
    quality, weights = fitted(names)
    if quality < EXACTLY:
        return []
    for name in [names[place] for place in np.argsort(weights)]:
        fewer = [other for other in names if other != name]
        if len(fewer) > 1 and fitted(fewer)[0] >= EXACTLY:
            names = fewer
    return names


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
