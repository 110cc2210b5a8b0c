"""What is looked at in a window, each thing with its value, its limit, and what the two say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pipeline import data, metrics
from pipeline.tasks import MEASURES
from pipeline.tasks.scores import Floats
from pydantic import BaseModel

from gitops_ml.core import project
from gitops_ml.gate import worth
from gitops_ml.gate.result import Worth
from gitops_ml.monitor import bins, drift
from gitops_ml.monitor.reference import Reference
from gitops_ml.pages import words

RESAMPLES = 200
# The most harmful first, where nothing else tells two of them apart.
Kind = Literal[
    "performance",
    "worth",
    "expected",
    "expected worth",
    "errors",
    "refused",
    "silence",
    "schema",
    "unseen",
    "calibration",
    "drift",
    "latency",
    "age",
]
# What is wrong with certainty needs no second window.
AT_ONCE: tuple[Kind, ...] = ("schema", "refused", "silence", "age", "unseen")
State = Literal["proven", "beyond", "within", "not tested"]
Bound = Literal["at most", "at least", "below"]


class Signal(BaseModel):
    """One thing that was looked at.

    `state`: beyond its limit, by more than chance would be (`proven`) or not (`beyond`); `within` its limit; or `not
    tested`, and then the sentence says why not. `value` and `limit` have one unit: shares of rows or requests, the
    gate's metric, milliseconds, hours, days, or what 1,000 decisions are worth; `bound` says on which side of the limit
    all is well. `low` and `high` are the value's interval, `p` is what the test found, and
    `column` is the input that it is about.
    """

    kind: Kind
    name: str
    state: State
    sentence: str
    value: float | None = None
    limit: float | None = None
    bound: Bound = "at most"
    low: float | None = None
    high: float | None = None
    p: float | None = None
    column: str | None = None

    @property
    def raised(self) -> bool:
        """Whether it counts for an alarm."""
        return self.state == "proven"

    @property
    def is_beyond(self) -> bool:
        """Whether it is on the wrong side of its limit, proven or not."""
        return self.state in ("proven", "beyond")


def of_drift(moved: drift.Moved, monitor: project.Monitor, column: str | None = None) -> Signal:
    """Whether a column, or what of it is missing, has moved: by enough, and significantly."""
    beyond = moved.effect >= monitor.effect
    if column not in (None, moved.name):
        said = f"{column!r} {bins.gaps(moved.distribution, moved.before, moved.now)}"
    else:
        said = f"{moved.name!r} has moved in {words.share(moved.effect)} of the rows"
        said += f": {bins.whither(moved.distribution, moved.before, moved.now)}" if beyond else ""
    return Signal(
        kind="drift",
        name=moved.name,
        state=state_of(beyond, proven=beyond and moved.p < monitor.level),
        sentence=said,
        value=moved.effect,
        limit=monitor.effect,
        bound="below",
        p=moved.p,
        column=column,
    )


def of_unseen(found: drift.Unseen, column: str | None = None) -> Signal:
    """What looks as it never did in the rows that trained."""
    said = {"missing": "is missing", "other": "is rare or unknown", "value": "is one single value"}
    then = f"and in at most {words.share(found.most)} of those that trained"
    return Signal(
        kind="unseen",
        name=found.name,
        state="proven",
        sentence=f"{found.name!r} {said[found.what]} in {words.share(found.now)} of the rows, {then}",
        value=found.now,
        limit=found.limit,
        bound="below",
        column=column,
    )


def of_schema(name: str, problem: str) -> Signal:
    """A column with values that the schema does not allow, none of which should have been answered."""
    return Signal(kind="schema", name=name, state="proven", sentence=f"column {name!r} {problem}", column=name)


def of_requests(requests: pd.DataFrame, monitor: project.Monitor) -> list[Signal]:
    """What became of the requests: refused ones do not fit the schema, failed ones are the service's fault."""
    if requests.empty:
        return []
    status = requests["status"]
    failed, refused = float((status >= 500).mean()), float(status.between(400, 499).mean())
    slow, asked = float(np.quantile(requests["ms"], 0.95)), "of the requests"
    return [
        limited("refused", "requests", refused, monitor.refused_rate, f"{words.share(refused)} {asked} were refused"),
        limited("errors", "requests", failed, monitor.error_rate, f"{words.share(failed)} {asked} failed"),
        limited("latency", "requests", slow, monitor.latency_ms, f"95 % {asked} took up to {slow:,.0f} ms"),
    ]


def of_labels(joined: pd.DataFrame, reference: Reference, settings: project.Project) -> list[Signal]:
    """Performance and calibration on rows with labels, `joined`, against what the evaluation promised."""
    schema, measures, name = reference.schema, MEASURES[reference.schema.task], settings.gate.metric
    labels, scored = data.labels(joined, schema).to_numpy(), scores(joined)
    if labels.min() == labels.max():
        return []
    value = measures.measure(labels, scored)[name]
    params = reference.evaluate.model_copy(update={"resamples": RESAMPLES})
    low, high = metrics.intervals(measures, labels, scored, by_day(joined), params)[name]
    promised, margin = reference.metrics[name], settings.monitor.metric_margin
    sign = 1 if name in measures.LOWER_IS_BETTER else -1
    worse = (value - promised["value"]) * sign
    # Both values are estimates from rows of their own, so their uncertainties add up as squares do.
    unsure = float(np.hypot(high - low, promised["high"] - promised["low"]) / 2)
    said = f"{words.metric(name)} is {words.number(value)}"
    found = [
        Signal(
            kind="performance",
            name=name,
            state=state_of(not worse <= margin, proven=not worse - unsure <= margin),
            sentence=f"{said} ({words.interval(low, high)}), and {words.number(promised['value'])} was promised",
            value=value,
            limit=promised["value"] + sign * margin,
            bound="at most" if sign > 0 else "at least",
            low=low,
            high=high,
        )
    ]
    facts = measures.facts(labels, scored, reference.evaluate.calibration_bins)
    if "calibration_error" in facts:
        error = facts["calibration_error"]
        said = f"the calibration error is {words.number(error)}"
        found.append(limited("calibration", "calibration error", error, settings.gate.calibration_error, said))
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
    draws = metrics.draws(labels, by_day(rows), RESAMPLES, reference.evaluate.seed)
    return worth.estimate(policy, labels, chosen, draws, reference.evaluate.confidence)


def of_worth(found: Worth) -> Signal:
    """Whether the decisions are worth less, beyond chance, than what would be done without any model."""
    gain = found.gain
    return Signal(
        kind="worth",
        name="decisions",
        state=state_of(not gain.value >= 0, proven=not gain.high >= 0),
        sentence=found.sentence,
        value=gain.value,
        limit=0,
        bound="at least",
        low=gain.low,
        high=gain.high,
    )


def of_silence(
    answers: pd.DataFrame, requests: pd.DataFrame, reference: Reference, moment: datetime, monitor: project.Monitor
) -> list[Signal]:
    """How long nobody has asked, and how old the model is."""
    times = [table["time"].max() for table in (answers, requests) if not table.empty]
    whole = monitor.window_days * monitor.windows * 24
    quiet = (moment - max(times)).total_seconds() / 3600 if times else whole
    said = f"nobody has asked for {words.age(timedelta(hours=quiet))}{'' if times else ' or more'}"
    found = [limited("silence", "requests", quiet, monitor.silent_hours, said)]
    if reference.created:
        days = (moment - reference.created).total_seconds() / 86400
        found.append(
            limited("age", "model", days, monitor.model_days, f"the release is {words.age(timedelta(days=days))} old")
        )
    return found


def scores(answers: pd.DataFrame) -> Floats:
    """The scores that were written down: shape (rows,), of more classes (rows, classes)."""
    return np.array(answers["score"].tolist(), dtype="float64")


def state_of(beyond: bool, *, proven: bool) -> State:
    """What is proven is beyond its limit in any case."""
    if proven:
        return "proven"
    return "beyond" if beyond else "within"


def limited(kind: Kind, name: str, value: float, limit: float, sentence: str) -> Signal:
    """What is counted, and needs no test to be known."""
    beyond = not value <= limit
    state = state_of(beyond, proven=beyond)
    return Signal(kind=kind, name=name, state=state, sentence=sentence, value=value, limit=limit)


def by_day(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The day of each row, as a number from 0; of a single day, each row by itself."""
    days = rows["time"].dt.floor("D").factorize()[0].astype(np.int64)
    return days if days.max() else np.arange(len(rows), dtype=np.int64)
