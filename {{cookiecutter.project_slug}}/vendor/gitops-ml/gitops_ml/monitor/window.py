"""One window: what was answered in a stretch of time, signal by signal, and what could not be tested in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from pipeline import profile
from pipeline.schema import Schema
from pipeline.validation import cast, problems

from gitops_ml.core import project
from gitops_ml.monitor import drift, estimate, findings, signals
from gitops_ml.monitor.content import Window
from gitops_ml.monitor.estimate import Estimate
from gitops_ml.monitor.reference import Reference
from gitops_ml.monitor.signals import Kind, Signal
from gitops_ml.predictions.stored import INPUT

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Log:
    """What was written down in a stretch of time, and which of the rows have labels; `columns` the inputs that the log
    has.
    """

    answers: pd.DataFrame
    requests: pd.DataFrame
    labelled: pd.DataFrame
    columns: frozenset[str]

    def between(self, since: datetime, until: datetime) -> Log:
        """What lies in a shorter stretch, its end not included."""
        answers, requests, labelled = (
            _between(table, since, until) for table in (self.answers, self.requests, self.labelled)
        )
        return Log(answers, requests, labelled, self.columns)


def look(
    log: Log, span: tuple[datetime, datetime], reference: Reference, settings: project.Project
) -> tuple[Window, list[drift.Moved]]:
    """Look at what lies in a window, and how far each column has moved in it."""
    monitor, moved, worth, wrong = settings.monitor, list[drift.Moved](), None, dict[str, str]()
    here, column = log.between(*span), _columns(reference)
    found = signals.of_requests(here.requests, monitor)
    enough = len(here.answers) >= monitor.least_rows
    if not here.answers.empty:
        inputs, wrong = _inputs(here.answers, reference.schema)
        found += [signals.of_schema(name, problem) for name, problem in wrong.items()]
    if enough:
        watched = _watched(here.answers, inputs, reference)
        moved = drift.compare(watched, here.answers["time"].dt.floor("D"))
        found += [signals.of_drift(each, monitor, column.get(each.name)) for each in moved]
        unseen = _unseen(here.answers, watched, reference, (span[1], monitor))
        found += [signals.of_unseen(each, column.get(each.name)) for each in unseen]
    labelled = here.labelled
    if not labelled.empty:
        labelled = labelled[labelled["model"] == reference.model]
    if len(labelled) >= monitor.least_rows:
        found += signals.of_labels(labelled, reference, settings)
        if worth := signals.worth_of(labelled, reference, monitor.least_rows):
            found.append(signals.of_worth(worth))
    estimates = _estimates(here.answers, labelled, found, (reference, settings)) if enough else []
    window = Window(
        since=span[0],
        until=span[1],
        rows=len(here.answers),
        labelled=len(labelled),
        requests=len(here.requests),
        enough=enough,
        signals=found,
        worth=worth,
        estimates=estimates,
    )
    return with_untested(window, frozenset(wrong), log.columns, reference, settings), moved


def _estimates(
    answers: pd.DataFrame, labelled: pd.DataFrame, found: list[Signal], known: tuple[Reference, project.Project]
) -> list[Estimate]:
    """What labels will probably say of a window, beside what they said."""
    reference, settings = known
    own = answers[answers["model"] == reference.model]
    if len(own) < settings.monitor.least_rows:
        return []
    names = {"performance": settings.gate.metric, "worth": estimate.WORTH}
    measured = {names[each.kind]: each.value for each in found if each.kind in names and each.value is not None}
    return estimate.of_window(
        own, labelled if measured else labelled.iloc[:0], reference, settings.gate.metric, measured
    )


def aligned(windows: list[Window]) -> list[Window]:
    """The windows, each with every signal that any of them has."""
    every = {findings.key(signal): signal for window in windows for signal in window.signals}
    found = []
    for window in windows:
        known = findings.keys(window.signals)
        others = [_as_it_was(window, signal) for key, signal in every.items() if key not in known]
        found.append(window.model_copy(update={"signals": window.signals + others}))
    return found


def answer(name: str) -> str:
    """What of the answers is watched, beside inputs that may have the same name."""
    return f"answer: {name}"


def _as_it_was(window: Window, signal: Signal) -> Signal:
    """What another window found, in one that found nothing of it."""
    name, facts = signal.name, signal.model_dump(include={"kind", "name", "column"})
    if signal.kind == "schema" and window.rows:
        return Signal(**facts, state="within", sentence=f"column {name!r} fits the schema")
    if signal.kind == "unseen" and window.enough:
        return Signal(**facts, state="within", sentence=f"{name!r} is not alike in more rows than it was before")
    reason = "too few rows" if signal.kind in ("schema", "unseen") else "it is known of now alone"
    return Signal(**facts, state="not tested", sentence=reason)


def with_untested(
    window: Window, wrong: frozenset[str], logged: frozenset[str], reference: Reference, settings: project.Project
) -> Window:
    """The window with what should have been looked at in it and was not, each with the reason."""
    monitor, known = settings.monitor, findings.keys(window.signals)
    few = f"too few rows, {window.rows:,} of at least {monitor.least_rows:,}"
    labels = _lack_of_labels(window, monitor)
    wanted: list[tuple[Kind, str, str | None, str]] = []
    for name, column in _columns(reference).items():
        if column not in logged and window.rows:
            reason = "the log does not have it"
        elif column in wrong:
            reason = "its values do not fit the schema"
        else:
            reason = "the release's profile does not have it" if window.enough else few
        wanted.append(("drift", name, column, reason))
    others = "another model answered some of the rows" if window.enough else few
    wanted += [("drift", answer(name), None, others) for name in reference.profile.answers.columns]
    wanted.append(("performance", settings.gate.metric, None, labels or "all labels are the same"))
    if "calibration_error" in reference.metrics:
        wanted.append(("calibration", "calibration error", None, labels or "all labels are the same"))
    if reference.policy:
        wanted.append(("worth", "decisions", None, labels or "too few of the rows were decided by this release"))
    wanted += [(kind, "requests", None, "no requests") for kind in ("refused", "errors", "latency")]
    missing = [
        Signal(kind=kind, name=name, state="not tested", sentence=reason, column=column)
        for kind, name, column, reason in wanted
        if (kind, name) not in known
    ]
    return window.model_copy(update={"signals": window.signals + missing})


def _lack_of_labels(window: Window, monitor: project.Monitor) -> str:
    if not monitor.labels:
        return "no labels, since `monitor.labels` of project.yaml names no place"
    if not window.labelled:
        return "no labels of these rows came"
    few = window.labelled < monitor.least_rows
    return f"too few labels, {window.labelled:,} of at least {monitor.least_rows:,}" if few else ""


def _columns(reference: Reference) -> dict[str, str]:
    """What is to be watched of the inputs, each with the column that it is about."""
    features, known = reference.schema.features, reference.profile.inputs.columns
    # Profiles of older releases do not tell whether values are missing.
    gaps = {profile.gaps(name): name for name in features if profile.gaps(name) in known}
    return {name: name for name in features} | gaps


def _between(table: pd.DataFrame, since: datetime, until: datetime) -> pd.DataFrame:
    if table.empty:
        return table
    return table[(table["time"] >= since) & (table["time"] < until)].reset_index(drop=True)


def _inputs(answers: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, dict[str, str]]:
    """The inputs that were written down and fit the schema, and what is wrong with the others."""
    table = answers.filter(regex=f"^{INPUT}").rename(columns=lambda name: name.removeprefix(INPUT))
    columns = {name: column for name, column in schema.features.items() if name in table}
    moments = {name: column for name, column in columns.items() if column.type == "datetime"}
    for name, column in moments.items():
        table[name] = pd.to_datetime(table[name], utc=column.zoned, format="ISO8601")
    # Of texts only the number of words is known.
    checked = {name: column for name, column in columns.items() if column.type != "text"}
    wrong = problems(table, checked)
    right = {name: column for name, column in checked.items() if name not in wrong}
    texts = {name: table[name].astype("float64") for name, column in columns.items() if column.type == "text"}
    return cast(table, right).assign(**texts), wrong


def _watched(
    answers: pd.DataFrame, inputs: pd.DataFrame, reference: Reference
) -> list[tuple[pd.DataFrame, profile.Sample]]:
    """What is watched of the inputs and of the answers, each with its reference."""
    watched = profile.watched_inputs(inputs, reference.schema)
    own = answers["model"] == reference.model
    found = [(watched, reference.profile.inputs)]
    if own.all():
        # Another model's scores are no drift.
        scored = profile.watched_answers(signals.scores(answers), reference.schema)
        found.append((scored.rename(columns=answer), _renamed(reference.profile.answers)))
    return found


def _unseen(
    answers: pd.DataFrame,
    watched: list[tuple[pd.DataFrame, profile.Sample]],
    reference: Reference,
    rules: tuple[datetime, project.Monitor],
) -> list[drift.Unseen]:
    """What was never seen, in the window's last day if it has enough rows, else in all of it."""
    until, monitor = rules
    newest = (answers["time"] >= until - DAY).to_numpy()
    newest = newest if newest.sum() >= monitor.least_rows else np.ones_like(newest)
    # A day has one weekday, whatever the days were that trained.
    moments = [name for name, column in reference.schema.features.items() if column.type == "datetime"]
    return drift.unseen([(rows[newest].drop(columns=moments, errors="ignore"), sample) for rows, sample in watched])


def _renamed(answers: profile.Sample) -> profile.Sample:
    return answers.model_copy(update={"columns": {answer(name): each for name, each in answers.columns.items()}})
