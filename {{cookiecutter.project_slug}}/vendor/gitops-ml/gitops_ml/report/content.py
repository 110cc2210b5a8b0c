"""The form of the report; the JSON that other programs read."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from gitops_ml.gate.result import Difference, Measured, Result
from gitops_ml.pages import words
from gitops_ml.pages.verdicts import Says
from gitops_ml.report.compared import Choice
from gitops_ml.report.cost import Cost
from gitops_ml.search.trials import Trials
from gitops_ml.versions.requirements import PackageChange


class Change(BaseModel):
    """A setting that differs; None where one side has none."""

    name: str
    before: str | None
    after: str | None


class Decisive(BaseModel):
    """Something that decides about trust or quality and differs; None where one side has none.

    `what` is in words what it decides, `name` what of the file, `owners` whom main's CODEOWNERS names for that file.
    """

    path: str
    name: str
    what: str
    before: str | None
    after: str | None
    readable: bool = True
    owners: list[str] = []


class Metric(BaseModel):
    """One metric of the base, of this change and of the champion, and what lies between the last two."""

    name: str
    lower_is_better: bool = False
    base: Measured | None
    here: Measured | None
    champion: Measured | None
    difference: Difference | None = None


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
    """A curve, by series: `this change`, `champion` and the line of what would be perfect, each a list of points."""

    name: str
    x: str
    y: str
    series: dict[str, list[tuple[float, float]]]


class Facts(BaseModel):
    """What Git alone says of a change; `stale` names the inputs that were changed after dvc.lock was made."""

    changed: bool
    decisive: list[Decisive] = []
    stale: list[str] = []
    params: list[Change] = []
    schema_changes: list[Change] = []
    packages: list[PackageChange] = []
    stages: list[Stage] = []


class Report(Facts):
    """Everything that is shown; the JSON that other programs read.

    `same_rows` says whether the base was measured on the rows of this change. If not, its figures are left out.
    `rows_are` says which rows those are, as far as the split tells.
    """

    version: Literal[2] = 2
    title: str
    branch: str
    base: str
    commit: str
    gate: Result | None = None
    metrics: list[Metric] = []
    same_rows: bool = True
    rows_are: str = ""
    tables: list[Table] = []
    shifts: list[Shift] = []
    curves: list[Curve] = []
    choice: Choice | None = None
    searched: Trials | None = None
    confusion: list[tuple[str, str, int]] = []
    predicted: list[tuple[float, float]] = []
    importance: list[tuple[str, float]] = []
    importance_is: str = ""
    needless: list[str] = []
    lineage: dict[str, str] = {}
    cost: Cost | None = None

    @property
    def says(self) -> Says:
        """What follows, in words."""
        if self.stale:
            return Says(text="Not known yet, since make repro is missing", tone="wait")
        if self.gate:
            return self.gate.says
        if self.changed:
            return Says(text="Not known yet, since nothing judged the new results", tone="wait")
        if self.decisive:
            return Says(text="The same model, under other rules", tone="wait")
        return Says(text="The same model", tone="plain")

    @property
    def is_free(self) -> bool:
        """Whether the gate lets the change be merged."""
        return not self.stale and (self.gate.passes if self.gate else not self.changed)

    @property
    def merging(self) -> str:
        """What the gate says to merging the change, and what that takes besides."""
        besides = "; what is new in rules or trust needs its owners" if self.decisive else ""
        return f"The gate {'does not block' if self.is_free else 'blocks'} the merge{besides}."

    @property
    def detail(self) -> str:
        """What decided, if the model was judged, and what else changed."""
        judged = self.gate if self.gate and not self.stale and not self.gate.same else None
        broken = sum(not rule.holds for rule in judged.rules) if judged else 0
        settings = len(self.params) + len(self.schema_changes)
        changed = [
            f"{words.counted(broken, 'rule')} {'fails' if broken == 1 else 'fail'}" if broken else "",
            judged.difference.sentence if judged and judged.difference else "",
            words.counted(len(self.decisive), "change") + " of rules or trust" if self.decisive else "",
            words.counted(settings, "setting") if settings and not self.gate else "",
            words.counted(len(self.packages), "package") if self.packages and not self.gate else "",
        ]
        return ", ".join(filter(None, changed))

    @property
    def heading(self) -> str:
        """What follows, and why."""
        return f"{self.says.text}: {self.detail}" if self.detail else self.says.text

    @property
    def asked(self) -> list[str]:
        """Whom main's CODEOWNERS names for what decides."""
        return list(dict.fromkeys(name for each in self.decisive for name in each.owners))
