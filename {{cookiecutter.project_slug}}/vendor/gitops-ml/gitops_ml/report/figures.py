"""The figures of a report: metrics beside those of the champion and of the base, and curves over the same rows."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
from pipeline.schema import Task

from gitops_ml.gate.candidates import Candidate, Evaluation
from gitops_ml.gate.result import Measured, Result
from gitops_ml.pages import charts
from gitops_ml.report.content import Curve, Metric
from gitops_ml.versions.revision import Revision

PLOTS = "reports/plots"
CURVES = {
    "binary": [
        ("ROC", "roc", "false_positive_rate", "true_positive_rate"),
        ("Precision and recall", "precision_recall", "recall", "precision"),
        ("Calibration", "calibration", "score", "positive_rate"),
    ],
    "multiclass": [
        ("Accuracy where it is surest", "coverage", "share", "accuracy"),
        ("Calibration of the highest score", "calibration", "score", "accuracy"),
    ],
    "regression": [
        ("Share of rows with at most this error", "errors", "error", "share"),
        ("Mean label at each prediction", "calibration", "score", "label"),
    ],
}


def metrics(evaluation: Evaluation, found: Result, base: dict[str, Any]) -> list[Metric]:
    """Each metric of this change, of the champion, and of the base: its metrics.json, if that is of the same rows."""
    champion = found.champion_metrics or {}
    differences = {each.metric: each for each in found.differences}
    return [
        Metric(
            name=name,
            lower_is_better=name in evaluation.measures.LOWER_IS_BETTER,
            base=Measured.model_validate(base[name]) if name in base else None,
            here=here,
            champion=champion.get(name),
            difference=differences.get(name),
        )
        for name, here in sorted(found.challenger_metrics.items(), key=lambda each: each[0] != found.settings.metric)
    ]


def curves(evaluation: Evaluation, candidates: dict[str, Candidate | None]) -> list[Curve]:
    """The curves of all candidates, by what they are called."""
    drawn = {
        label: evaluation.measures.curves(evaluation.labels, candidate.scores, evaluation.calibration_bins)
        for label, candidate in candidates.items()
        if candidate is not None
    }
    return [
        Curve(
            name=name,
            x=x.replace("_", " "),
            y=y.replace("_", " "),
            series=_series({label: _points(tables[plot], x, y) for label, tables in drawn.items()}, plot),
        )
        for name, plot, x, y in CURVES[evaluation.task]
    ]


def _series(series: dict[str, list[tuple[float, float]]], plot: str) -> dict[str, list[tuple[float, float]]]:
    """With the line on which a calibration would be perfect, as far as there are predictions."""
    places = [x for points in series.values() for x, _ in points]
    if plot != "calibration" or not places:
        return series
    return series | {charts.PERFECT: [(place, place) for place in (min(places), max(places))]}


def outcomes(revision: Revision, task: Task) -> tuple[list[tuple[str, str, int]], list[tuple[float, float]]]:
    """The rows of each actual and predicted class; in a regression, prediction and true value of some rows."""
    if task == "regression":
        return [], _points(_plot(revision, "predicted"), "score", "label")
    table = _plot(revision, "confusion")
    columns = (table["actual"].astype(str), table["predicted"].astype(str), table["rows"].astype(int))
    return list(zip(*columns, strict=True)), []


def calibration(revision: Revision) -> list[tuple[float, float]]:
    """Of a regression: mean prediction and mean true value of equally many rows, from the lowest to the highest."""
    return _points(_plot(revision, "calibration"), "score", "label")


def reliability(revision: Revision) -> list[tuple[float, float]]:
    """Of two classes: mean score and rate of positives of equally many rows, from the lowest to the highest."""
    return _points(_plot(revision, "calibration"), "score", "positive_rate")


def importance(revision: Revision) -> list[tuple[str, float]]:
    """What shuffling each column costs, the most important one first."""
    table = _plot(revision, "importance")
    return list(zip(table["feature"].astype(str), table["importance"].astype(float), strict=True))


def needless(revision: Revision, repeats: int) -> list[str]:
    """The columns whose shuffling costs nothing beyond chance: two standard errors of so many repetitions."""
    table = _plot(revision, "importance")
    chance = 2 * table["deviation"] / repeats**0.5
    return list(table.loc[table["importance"] <= chance, "feature"].astype(str))


def _plot(revision: Revision, name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(revision.output(f"{PLOTS}/{name}.csv")), keep_default_na=False)


def _points(table: pd.DataFrame, x: str, y: str) -> list[tuple[float, float]]:
    return list(zip(table[x].tolist(), table[y].tolist(), strict=True))
