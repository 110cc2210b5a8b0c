"""What is looked at in a window, each thing with its value and its limit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pipeline import data, metrics, profile
from pipeline.decision import Policy
from pipeline.params import Evaluate
from pipeline.schema import Schema
from pipeline.tasks import MEASURES
from pipeline.tasks.scores import Floats
from pydantic import BaseModel

from gitops_ml.core import project
from gitops_ml.gate import worth
from gitops_ml.gate.result import Worth
from gitops_ml.monitor import drift

RESAMPLES = 200
Kind = Literal[
    "schema", "refused", "silence", "age", "unseen", "drift", "performance", "calibration", "worth", "latency", "errors"
]
# What is wrong with certainty needs no second window.
AT_ONCE: tuple[Kind, ...] = ("schema", "refused", "silence", "age", "unseen")


class Signal(BaseModel):
    """One thing that was looked at: its value, its limit, and whether it is beyond that."""

    kind: Kind
    name: str
    value: float
    limit: float
    raised: bool
    sentence: str
    p: float | None = None


@dataclass(frozen=True)
class Reference:
    """What serves, and what it was made for."""

    release: str
    created: datetime | None
    model: str
    schema: Schema
    policy: Policy | None
    evaluate: Evaluate
    profile: profile.Profile
    metrics: dict[str, Any]


def of_drift(moved: drift.Moved, monitor: project.Monitor) -> Signal:
    """Whether a column has moved: significantly, and by enough."""
    raised = moved.p < monitor.level and moved.effect >= monitor.effect
    return Signal(
        kind="drift",
        name=moved.name,
        value=moved.effect,
        limit=monitor.effect,
        raised=raised,
        sentence=f"{moved.name!r} has moved in {moved.effect:.0%} of the rows (p = {moved.p:.2g})",
        p=moved.p,
    )


def of_unseen(found: drift.Unseen) -> Signal:
    """What looks as it never did in the rows that trained."""
    words = {"missing": "is missing", "other": "is rare or unknown", "value": "is one single value"}
    said = f"{found.name!r} {words[found.what]} in {found.now:.0%} of the rows"
    return Signal(
        kind="unseen",
        name=found.name,
        value=found.now,
        limit=found.limit,
        raised=True,
        sentence=f"{said}, and was so in at most {found.most:.0%} of those that trained",
    )


def of_requests(requests: pd.DataFrame, monitor: project.Monitor) -> list[Signal]:
    """What became of the requests: refused ones do not fit the schema, failed ones are the service's fault."""
    if requests.empty:
        return []
    status = requests["status"]
    failed, refused = float((status >= 500).mean()), float(status.between(400, 499).mean())
    slow = float(np.quantile(requests["ms"], 0.95))
    return [
        _limited("refused", "requests", refused, monitor.refused_rate, f"{refused:.1%} of the requests were refused"),
        _limited("errors", "requests", failed, monitor.error_rate, f"{failed:.1%} of the requests failed"),
        _limited("latency", "requests", slow, monitor.latency_ms, f"95 % of the requests took up to {slow:.0f} ms"),
    ]


def _limited(kind: Kind, name: str, value: float, limit: float, sentence: str) -> Signal:
    return Signal(kind=kind, name=name, value=value, limit=limit, raised=not value <= limit, sentence=sentence)


def of_labels(joined: pd.DataFrame, reference: Reference, settings: project.Project) -> list[Signal]:
    """Performance and calibration on rows with labels, `joined`, against what the evaluation promised."""
    schema, measures, name = reference.schema, MEASURES[reference.schema.task], settings.gate.metric
    labels, scored = data.labels(joined, schema).to_numpy(), scores(joined)
    if labels.min() == labels.max():
        return []
    value = measures.measure(labels, scored)[name]
    params = reference.evaluate.model_copy(update={"resamples": RESAMPLES})
    low, high = metrics.intervals(measures, labels, scored, _days(joined), params)[name]
    promised = reference.metrics[name]
    worse = (value - promised["value"]) * (1 if name in measures.LOWER_IS_BETTER else -1)
    # Both values are estimates from rows of their own, so their uncertainties add up as squares do.
    unsure = float(np.hypot(high - low, promised["high"] - promised["low"]) / 2)
    said = f"{name} is {value:.4f} ({low:.4f} to {high:.4f}), and {promised['value']:.4f} was promised"
    limit = settings.monitor.metric_margin
    raised = not worse - unsure <= limit
    found = [Signal(kind="performance", name=name, value=value, limit=limit, raised=raised, sentence=said)]
    facts = measures.facts(labels, scored, reference.evaluate.calibration_bins)
    if "calibration_error" in facts:
        error = facts["calibration_error"]
        said = f"the calibration error is {error:.3f}"
        found.append(_limited("calibration", "calibration error", error, settings.gate.calibration_error, said))
    return found


def worth_of(joined: pd.DataFrame, reference: Reference, least_rows: int) -> Worth | None:
    """What was decided about rows with labels, `joined`, is worth; None if nothing was, or about too few rows.

    The same model may have served in an earlier release that decided by other payoffs; its rows are left out.
    """
    policy = reference.policy
    if policy is None or "decision" not in joined:
        return None
    own = True if reference.created is None else joined["release"] == reference.release
    rows = joined[joined["decision"].isin(policy.actions) & own]
    labels = data.labels(rows, reference.schema).to_numpy()
    if len(rows) < least_rows or labels.min() == labels.max():
        return None
    chosen = rows["decision"].map(policy.actions.index).to_numpy(dtype=np.int64)
    draws = metrics.draws(labels, _days(rows), RESAMPLES, reference.evaluate.seed)
    return worth.estimate(policy, labels, chosen, draws, reference.evaluate.confidence)


def of_worth(found: Worth) -> Signal:
    """Whether the decisions are worth less, beyond chance, than what would be done without any model."""
    raised = not found.gain.high >= 0
    return Signal(
        kind="worth", name="decisions", value=found.gain.value, limit=0, raised=raised, sentence=found.sentence
    )


def _days(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The day of each row, as a number from 0; of a single day, each row by itself."""
    days = rows["time"].dt.floor("D").factorize()[0].astype(np.int64)
    return days if days.max() else np.arange(len(rows), dtype=np.int64)


def of_silence(
    answers: pd.DataFrame, requests: pd.DataFrame, reference: Reference, moment: datetime, monitor: project.Monitor
) -> list[Signal]:
    """How long nobody has asked, and how old the model is."""
    times = [table["time"].max() for table in (answers, requests) if not table.empty]
    whole = monitor.window_days * monitor.windows * 24
    quiet = (moment - max(times)).total_seconds() / 3600 if times else whole
    said = f"nobody has asked for {quiet:.0f} hours{'' if times else ' or more'}"
    found = [_limited("silence", "requests", quiet, monitor.silent_hours, said)]
    if reference.created:
        days = (moment - reference.created).total_seconds() / 86400
        found.append(_limited("age", "model", days, monitor.model_days, f"the release is {days:.0f} days old"))
    return found


def scores(answers: pd.DataFrame) -> Floats:
    """The scores that were written down: shape (rows,), of more classes (rows, classes)."""
    return np.array(answers["score"].tolist(), dtype="float64")
