"""The gate's rules: a value, a limit, and whether it holds. What cannot be measured does not hold."""

from __future__ import annotations

import math

from pipeline import trivial
from pipeline.schema import Task
from pipeline.tasks import MEASURES

from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Gate
from gitops_ml.gate.candidates import Candidate, Evaluation
from gitops_ml.gate.result import Rule, SliceDifference, Worth
from gitops_ml.pages import words

# How the names of those begin that pages tell apart.
OVERLAP = "share of the evaluation set that trained the"
SLICE = "slice "


def require_metrics(task: Task, gate: Gate) -> None:
    """Hold the gate's settings to the metrics of the task.

    Raises:
        UserError: one names a metric that the task does not have.
    """
    known = MEASURES[task].NAMES
    for setting, name in [("metric", gate.metric), *(("floors", name) for name in gate.floors)]:
        if name not in known:
            raise UserError(
                f"project.yaml: gate.{setting} names {name}, which is no metric of a {task} task: {', '.join(known)}"
            )


def absolute(evaluation: Evaluation, challenger: Candidate, gate: Gate) -> list[Rule]:
    """What any model must keep to, whatever serves: floors, the trivial baseline, calibration, leakage and budgets."""
    measures, labels, scores = evaluation.measures, evaluation.labels, challenger.scores
    found = measures.measure(labels, scores)
    decisive, simplest = measures.DECISIVE, trivial.best(measures, labels, evaluation.trivial)
    reached = measures.measure(labels, evaluation.trivial[simplest])[decisive]
    facts = measures.facts(labels, scores, evaluation.calibration_bins)
    return [
        *(
            _at_most(name, found[name], floor) if name in measures.LOWER_IS_BETTER else _floor(name, found[name], floor)
            for name, floor in gate.floors.items()
        ),
        _at_most(f"{decisive} against the trivial baseline ({simplest})", found[decisive], reached),
        *(
            _at_most("calibration error", value, gate.calibration_error)
            for name, value in facts.items()
            if name == "calibration_error"
        ),
        overlap("challenger", challenger, gate),
        _at_most("latency in ms, 95th percentile", challenger.latency_ms, gate.latency_ms),
        _at_most("model size in bytes", challenger.size, gate.model_bytes),
    ]


def _floor(name: str, value: float, floor: float) -> Rule:
    reached = "reaches" if value >= floor else "does not reach"
    # A comparison with NaN is false, so what cannot be measured does not hold.
    return Rule(
        name=name,
        holds=value >= floor,
        value=_finite(value),
        limit=floor,
        sentence=f"{words.metric(name)} {value:.4g} {reached} the floor {floor:g}",
    )


def of_worth(found: Worth) -> Rule:
    """Decisions must not be worth less, beyond chance, than what would be done without any model."""
    return Rule(
        name="worth of the decisions",
        holds=found.gain.high >= 0,
        value=_finite(found.gain.value),
        limit=0,
        sentence=found.sentence,
    )


def overlap(role: str, candidate: Candidate, gate: Gate) -> Rule:
    """A model that was trained on the rows that judge it would be judged too well."""
    return _at_most(f"{OVERLAP} {role}", candidate.overlap, gate.overlap)


def of_slice(found: SliceDifference, gate: Gate) -> Rule:
    """A slice fails if it is worse by more than the margin, and worse beyond chance."""
    worse = found.difference < -gate.slice_margin and found.high < 0
    change = f"{found.sentence} in {found.rows:,} rows"
    return Rule(
        name=f"{SLICE}{found.column} = {found.value}",
        holds=not worse,
        value=_finite(found.difference),
        limit=-gate.slice_margin,
        sentence=f"slice {found.column} = {found.value}: {change}",
    )


def _at_most(name: str, value: float, limit: float) -> Rule:
    kept = "is within" if value <= limit else "exceeds"
    return Rule(
        name=name,
        holds=value <= limit,
        value=_finite(value),
        limit=limit,
        sentence=f"{words.metric(name)}: {_shown(value)} {kept} {_shown(limit)}",
    )


def _shown(value: float) -> str:
    """Four digits, but no exponents: a size is read in whole bytes."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
