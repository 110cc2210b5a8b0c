"""The model card: facts read from Git and DVC, and what project.yaml states; what is not stated shows as missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.params import Params
from pipeline.persistence import ModelFacts
from pipeline.schema import Column, Schema
from pipeline.tasks import MEASURES
from pydantic import BaseModel

from gitops_ml.core import project
from gitops_ml.core.record import Proof
from gitops_ml.gate import judge
from gitops_ml.gate.result import Fairness, Measured
from gitops_ml.report import compare, compared, figures, forms, rows
from gitops_ml.report.compared import Choice
from gitops_ml.versions.revision import Revision

SHOWN_CATEGORIES = 8
SHOWN_METRICS = 2


class ColumnFacts(BaseModel):
    """What the schema says of a feature."""

    name: str
    type: str
    values: str
    nullable: bool
    personal: bool


class MetricFacts(BaseModel):
    """A metric beside that of the trivial baseline."""

    name: str
    value: Measured
    baseline: float
    lower_is_better: bool


class TableFacts(BaseModel):
    """A raw file."""

    file: str
    rows: int
    unlabelled: int
    labels: str


class Card(BaseModel):
    """The content of MODEL_CARD.md."""

    title: str
    description: str
    statements: dict[str, str]
    model: dict[str, str]
    tables: list[TableFacts]
    rows: int
    period: str
    columns: list[ColumnFacts]
    metrics: list[MetricFacts]
    shown_metrics: list[str]
    choice: Choice | None
    confusion: list[tuple[str, str, int]]
    calibration: list[tuple[float, float]]
    slices: list[dict[str, Any]]
    params: dict[str, str]
    confidence: float
    slice_minimum: int
    fairness: Fairness | None = None


def build(root: Path, proof: Proof | None = None) -> Card:
    """The card of the model in the working tree; what was proven of its answers is known when it is released.

    Raises:
        UserError: an output of the pipeline is missing; `make repro` makes it.
    """
    here, settings = Revision(root, None), project.read(root)
    schema, params = here.settings("schema.yaml", Schema), here.settings("params.yaml", Params)
    facts = here.facts(judge.FACTS, ModelFacts)
    metrics = json.loads(here.output(compare.METRICS))
    data = json.loads(here.output(compare.DATA))
    lower = MEASURES[schema.task].LOWER_IS_BETTER
    return Card(
        title=settings.title,
        description=settings.description,
        statements={name.replace("_", " "): text for name, text in settings.card.model_dump().items()},
        model={
            "owner": settings.owner,
            "estimator": facts.estimator,
            "sha256": facts.sha256,
            "scikit-learn": facts.scikit_learn,
            "rows that trained it": f"{facts.rows:,}",
            "label": schema.target,
            "how rows are scored": _served(proof),
        },
        tables=[
            TableFacts(file=name, rows=each["rows"], unlabelled=each["unlabelled"], labels=_labels(each))
            for name, each in data.items()
        ],
        rows=metrics["rows"],
        period=rows.evaluated(here, params.prepare.split),
        columns=[_column(name, column) for name, column in schema.features.items()],
        metrics=[
            MetricFacts(
                name=name, value=metrics[name], baseline=metrics["baseline"][name], lower_is_better=name in lower
            )
            for name in metrics["baseline"]
        ],
        shown_metrics=list(metrics["baseline"])[:SHOWN_METRICS],
        choice=compared.read(here, schema.task),
        confusion=figures.outcomes(here, schema.task)[0],
        calibration=figures.calibration(here) if schema.task == "regression" else [],
        slices=json.loads(here.output("reports/slices.json")),
        params=forms.flat(params.model_dump()),
        confidence=params.evaluate.confidence,
        slice_minimum=params.evaluate.slice_minimum,
        fairness=judge.treated(root),
    )


def _served(proof: Proof | None) -> str:
    """By which way the service scores rows, and how that was tried."""
    if proof is None:
        return "not known before a release, which tries what gives the Pipeline's own answers"
    return (
        f"by way of {proof.tier}, which gave the Pipeline's own answers to the bit on {proof.processor}: for "
        f"{proof.rows:,} evaluation rows in batches, {proof.alone:,} of them alone, and {proof.random:,} random rows "
        f"(seed {proof.seed})"
    )


def _labels(facts: dict[str, Any]) -> str:
    """What the labels of a file look like, in the words of its task."""
    if "positive_rate" in facts:
        return f"{facts['positive_rate']:.1%} positive".replace("%", " %")
    if "classes" in facts:
        return ", ".join(f"{name}: {rows}" for name, rows in facts["classes"].items())
    return f"mean {facts['mean_label']:.4g}"


def _column(name: str, column: Column) -> ColumnFacts:
    if column.categories:
        more = len(column.categories) - SHOWN_CATEGORIES
        values = ", ".join(map(str, column.categories[:SHOWN_CATEGORIES])) + (f" and {more} more" if more > 0 else "")
        values += ", new ones may come" if column.open else ""
    else:
        bounds = [f"{bound:g}" if bound is not None else "any" for bound in (column.minimum, column.maximum)]
        values = " to ".join(bounds) if column.type in ("integer", "number") else "any"
    return ColumnFacts(name=name, type=column.type, values=values, nullable=column.nullable, personal=column.personal)
