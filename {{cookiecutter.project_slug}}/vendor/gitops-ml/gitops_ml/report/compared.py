"""What `train` compared before it took an estimator, as report and card show it."""

from __future__ import annotations

from pipeline.compare import Comparison
from pipeline.schema import Task
from pipeline.tasks import MEASURES
from pydantic import BaseModel

from gitops_ml.gate.result import Measured
from gitops_ml.versions import lock
from gitops_ml.versions.revision import Revision

CANDIDATES = "reports/candidates.json"


class Compared(BaseModel):
    """A candidate or a trivial model: its metric, and how that differs from the best candidate's, with bounds."""

    name: str
    value: float | None
    difference: Measured | None = None
    says: str = ""


class Choice(BaseModel):
    """All that were compared, the simplest first, by which metric, what was taken and why, and what that cost."""

    metric: str
    lower_is_better: bool
    margin: float
    taken: str
    reason: str
    cost: str
    compared: list[Compared]


def read(here: Revision, task: Task) -> Choice | None:
    """What was compared; None where params.yaml names one estimator, or dvc.lock is older than comparisons.

    Raises:
        UserError: the file cannot be had, or is damaged.
    """
    if CANDIDATES not in lock.locked(here.root):
        return None
    found = here.facts(CANDIDATES, Comparison)
    if found.rule is None or not found.candidates:
        return None
    metric, lower = found.rule.metric, found.rule.metric in MEASURES[task].LOWER_IS_BETTER
    candidates = [
        Compared(
            name=_name(each.estimator.path),
            value=each.metrics.get(metric),
            difference=_change(each.difference, each.low, each.high, lower=lower),
            says=each.failed or ("taken" if each.estimator == found.taken else ""),
        )
        for each in found.candidates
    ]
    trivial = [Compared(name=name, value=reached[metric], says="trivial") for name, reached in found.trivial.items()]
    return Choice(
        metric=metric,
        lower_is_better=lower,
        margin=found.rule.margin,
        taken=_name(found.taken.path),
        reason=found.reason,
        cost=f"{found.fits} fits to two thirds or less of {found.rows:,} rows",
        compared=[*trivial, *candidates],
    )


def _change(better: float | None, low: float | None, high: float | None, *, lower: bool) -> Measured | None:
    """How the metric itself differs, of how much better a candidate is."""
    if better is None or low is None or high is None:
        return None
    return Measured(value=-better, low=-high, high=-low) if lower else Measured(value=better, low=low, high=high)


def _name(path: str) -> str:
    return path.rpartition(".")[2]
