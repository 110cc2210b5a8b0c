"""The form of the report; the JSON that other programs read."""

from __future__ import annotations

from pydantic import BaseModel

from gitops_ml.core.requirements import PackageChange
from gitops_ml.gate.result import Measured, Result


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
    """Everything that is shown.

    `same_rows` says whether the base was measured on the rows of this change. If not, its figures are left out.
    """

    title: str
    branch: str
    base: str
    commit: str
    gate: Result | None = None
    metrics: list[Metric] = []
    same_rows: bool = True
    tables: list[Table] = []
    shifts: list[Shift] = []
    curves: list[Curve] = []
    confusion: list[tuple[str, str, int]] = []
    importance: list[tuple[str, float]] = []
    importance_is: str = ""
    lineage: dict[str, str] = {}

    @property
    def heading(self) -> str:
        """What changed, in a few words."""
        settings = len(self.params) + len(self.schema_changes)
        said = [
            f"`make repro` is missing after a change of {', '.join(self.stale)}" if self.stale else "",
            self.verdict,
            f"{_counted(len(self.decisive), 'change')} of what decides about trust or quality" if self.decisive else "",
            _counted(settings, "setting") if settings else "",
            _counted(len(self.packages), "package") if self.packages else "",
        ]
        return "; ".join(filter(None, said))

    @property
    def verdict(self) -> str:
        """What the gate says, and whether that blocks."""
        if self.gate is None:
            return "new results that nothing judged" if self.changed else "the same model"
        return f"{self.gate.verdict}{'' if self.gate.passes else ', blocked'}"

    @property
    def asked(self) -> list[str]:
        """Whom main's CODEOWNERS names for what decides."""
        return list(dict.fromkeys(name for each in self.decisive for name in each.owners))


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
