"""The form of the report: what is shown, in the order in which it is shown; the JSON that other programs read."""

from __future__ import annotations

from pydantic import BaseModel

from gitops_ml.core.requirements import PackageChange
from gitops_ml.gate.result import Measured, Result


class Change(BaseModel):
    """A setting that differs; None where one side has none."""

    name: str
    before: str | None
    after: str | None


class Metric(BaseModel):
    """One metric of the base, of this change and of the champion."""

    name: str
    base: Measured | None
    here: Measured | None
    champion: Measured | None


class Shift(BaseModel):
    """A column whose training data moved: by standard deviations, or by the share of rows that changed their value."""

    column: str
    measure: str
    size: float


class Table(BaseModel):
    """A raw file that came, went or changed."""

    file: str
    rows_before: int | None
    rows_after: int | None
    new_values: dict[str, dict[str, int]]


class Stage(BaseModel):
    """What became of a stage's result."""

    name: str
    fate: str


class Curve(BaseModel):
    """A curve, by series: `base` and `this change`, each a list of points."""

    name: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float]]]


class Report(BaseModel):
    """Everything that is shown, in the order in which it is shown."""

    title: str
    branch: str
    base: str
    commit: str
    changed: bool
    gate: Result | None = None
    metrics: list[Metric] = []
    params: list[Change] = []
    schema_changes: list[Change] = []
    packages: list[PackageChange] = []
    tables: list[Table] = []
    shifts: list[Shift] = []
    stages: list[Stage] = []
    curves: list[Curve] = []
    confusion: list[tuple[str, str, int]] = []
    importance: list[tuple[str, float]] = []
    importance_is: str = ""
    lineage: dict[str, str] = {}
