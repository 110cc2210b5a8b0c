"""Which of several estimators to train: cross-validation within the rows that train, and one rule.

The simplest candidate is taken whose paired difference to the best one lies within the gate's margin. The difference
counts, not its lower bound as at the gate: nothing serves yet that could get worse, and on a small table no bound lies
within the margin, so that the less simple would be taken by chance.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from pipeline import copies, data, metrics, model, trivial
from pipeline.params import Estimator, Rule, Split, Train
from pipeline.schema import Schema
from pipeline.tasks import MEASURES
from pipeline.tasks.scores import Floats

FOLDS = 3
MOST_ROWS = 100_000
RESAMPLES = 200

Integers = npt.NDArray[np.int64]
# The places of the rows that are fitted, and of those that are scored.
Fold = tuple[Integers, Integers]


class Tried(BaseModel):
    """A candidate and what it reached on rows that it was not fitted to, or why it could not be fitted.

    `difference` says by how much it is better than the best one by the rule's metric, negative or 0, with one-sided
    bounds.
    """

    estimator: Estimator
    metrics: dict[str, float] = {}
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    failed: str = ""


class Comparison(BaseModel):
    """reports/candidates.json: what was compared, what each reached, and which estimator is taken and why.

    Where params.yaml names one estimator nothing is compared, and there are no candidates. `fits` is the cost: so many
    models were fitted, each to a part of `rows`.
    """

    taken: Estimator
    reason: str
    rule: Rule | None = None
    rows: int = 0
    fits: int = 0
    trivial: dict[str, dict[str, float]] = {}
    candidates: list[Tried] = []


def compare(rows: pd.DataFrame, schema: Schema, split: Split, train: Train, rule: Rule) -> Comparison:
    """Try each candidate on the same folds of some rows, and take one.

    Args:
        rows: of those that train, the ones at `places`, in the schema's types.
        schema: says what is predicted from what.
        split: how the rows that judge were set apart; the folds are made alike.
        train: the candidates, the simplest first.
        rule: what decides.

    Raises:
        EstimatorError: no candidate can be fitted.
    """
    parts = list(folds(rows, schema, split, train.seed))
    held = rows.iloc[[place for _, scored in parts for place in scored]]
    labels = data.labels(held, schema).to_numpy()
    if len(np.unique(labels)) < 2:
        return Comparison(taken=train.candidates[0], reason="the simplest: too few rows of different labels to compare")
    tried, told = _try_all(rows, parts, schema, train)
    measures = MEASURES[schema.task]
    for each, found in zip(tried, told, strict=True):
        each.metrics = {} if found is None else measures.measure(labels, found)
    able = [each for each in tried if each.metrics]
    sign = -1 if rule.metric in measures.LOWER_IS_BETTER else 1
    best = max(able, key=lambda each: sign * each.metrics[rule.metric])
    clusters = data.clusters(held, split.columns)
    drawn = [
        sign * measures.resampled(labels, found, metrics.draws(labels, clusters, RESAMPLES, train.seed))[rule.metric]
        for found in told
        if found is not None
    ]
    of_best = drawn[able.index(best)]
    for each, values in zip(able, drawn, strict=True):
        each.difference = sign * (each.metrics[rule.metric] - best.metrics[rule.metric])
        each.low, each.high = np.quantile(values - of_best, [1 - rule.confidence, rule.confidence]).tolist()
    taken = next(each for each in able if each.difference is not None and each.difference >= -rule.margin)
    return Comparison(
        taken=taken.estimator,
        reason=_reason(taken, best, rule, simplest=taken is able[0]),
        rule=rule,
        rows=len(rows),
        fits=len(parts) * len(tried),
        trivial={name: measures.measure(labels, found) for name, found in _trivial(rows, parts, schema, split).items()},
        candidates=tried,
    )


def places(count: int, seed: int) -> Integers:
    """The places of the rows to compare on, of so many: all, or MOST_ROWS drawn by chance, in ascending order."""
    if count <= MOST_ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MOST_ROWS, replace=False))


def folds(table: pd.DataFrame, schema: Schema, split: Split, seed: int) -> Iterator[Fold]:
    """FOLDS divisions of the rows like that into rows that train and rows that judge: by time, by group or at random.

    By time each fold is scored by what was fitted to all rows before it. Fewer are given where there are too few
    moments or groups; a fold whose rows to fit have all the same label is passed over.
    """
    labels = data.labels(table, schema).to_numpy()
    for fitted, scored in _folds(table, labels, schema, split, seed):
        if len(np.unique(labels[fitted])) > 1:
            yield fitted, scored


def _folds(
    table: pd.DataFrame, labels: npt.NDArray[np.generic], schema: Schema, split: Split, seed: int
) -> Iterator[Fold]:
    originals = copies.originals(data.whole(table), schema) if split.by == "random" else np.arange(len(table))
    groups = data.clusters(table, split.columns) if split.columns else originals
    distinct = len(np.unique(groups))
    if split.by == "time":
        if count := min(FOLDS, distinct - 1):
            for before, after in TimeSeriesSplit(count).split(np.arange(distinct)):
                yield np.flatnonzero(np.isin(groups, before)), np.flatnonzero(np.isin(groups, after))
        return
    count = min(FOLDS, distinct)
    if count < 2:
        return
    whole = split.by == "group" or (originals != np.arange(len(table))).any()
    of_classes, of_numbers = (StratifiedGroupKFold, GroupKFold) if whole else (StratifiedKFold, KFold)
    kind = of_numbers if schema.task == "regression" else of_classes
    with warnings.catch_warnings():
        # Of a class with fewer rows than folds.
        warnings.simplefilter("ignore", UserWarning)
        yield from kind(count, shuffle=True, random_state=seed).split(table, labels, groups)


def _try_all(
    table: pd.DataFrame, parts: list[Fold], schema: Schema, train: Train
) -> tuple[list[Tried], list[Floats | None]]:
    """Each candidate, and its scores of the rows of all folds, one fold after another; None if it cannot be fitted."""
    tried: list[Tried] = []
    found: list[Floats | None] = []
    for estimator in train.candidates:
        try:
            found.append(scores(table, parts, schema, train.naming(estimator)))
            tried.append(Tried(estimator=estimator))
        except model.EstimatorError as error:
            found.append(None)
            tried.append(Tried(estimator=estimator, failed=str(error)))
    if all(each.failed for each in tried):
        raise model.EstimatorError(f"no candidate can be fitted; {tried[0].estimator.path}: {tried[0].failed}")
    return tried, found


def scores(table: pd.DataFrame, parts: list[Fold], schema: Schema, train: Train) -> Floats:
    """What an estimator says of the rows of some folds, one fold after another, each time fitted to the fold's others.

    Raises:
        EstimatorError: it cannot be fitted.
    """
    rows, labels = data.features(table, schema), data.labels(table, schema)
    found = []
    for fitted, scored in parts:
        pipeline = model.build(schema, train, model.categories(rows.iloc[fitted], schema))
        model.fit(pipeline, rows.iloc[fitted], labels.iloc[fitted], train.threads)
        found.append(_of_all_classes(model.score(pipeline, rows.iloc[scored]), pipeline, schema))
    said = np.concatenate(found)
    if not MEASURES[schema.task].valid(said):
        raise model.EstimatorError("its scores are no numbers")
    return said


def _of_all_classes(scores: Floats, fitted: Pipeline, schema: Schema) -> Floats:
    """Scores with a column for each class of the schema, 0 for those of which the fitted rows had none."""
    if schema.task != "multiclass":
        return scores
    known = np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores
    found = np.zeros((len(scores), len(schema.classes)))
    found[:, np.asarray(fitted.classes_, dtype="int64")] = known
    return found


def _trivial(table: pd.DataFrame, parts: list[Fold], schema: Schema, split: Split) -> dict[str, Floats]:
    """The same of the trivial models, of those that every fold has."""
    found = [trivial.answers(table.iloc[fitted], table.iloc[scored], schema, split) for fitted, scored in parts]
    common = [name for name in found[0] if all(name in each for each in found)]
    return {name: np.concatenate([each[name] for each in found]) for name in common}


def _reason(taken: Tried, best: Tried, rule: Rule, *, simplest: bool) -> str:
    if taken is not best:
        return (
            f"the simplest whose difference to the best, {_name(best)}, lies within the margin of {rule.margin:g}: "
            f"{rule.metric} {taken.difference:+.4f} ({taken.low:+.4f} to {taken.high:+.4f})"
        )
    if simplest:
        return f"the simplest is the best by {rule.metric}"
    return f"the best by {rule.metric}, and no simpler one lies within the margin of {rule.margin:g}"


def _name(tried: Tried) -> str:
    return tried.estimator.path.rpartition(".")[2]
