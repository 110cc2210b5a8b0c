"""Watches what serves: looks at what the service wrote down, window by window, and says whether to raise an alarm."""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pipeline import profile
from pipeline.decision import Policy
from pipeline.params import Params
from pipeline.persistence import ModelFacts
from pipeline.schema import Schema, cast, problems
from pydantic import BaseModel

from gitops_ml.core import environment, progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.core.git import REMOTE, Git
from gitops_ml.core.revision import Revision, resolve
from gitops_ml.gate import rules
from gitops_ml.gate.result import Worth
from gitops_ml.monitor import drift, labels, predictions, signals
from gitops_ml.monitor.signals import AT_ONCE, Kind, Reference, Signal

ALARM = 3
PROFILE, METRICS, FACTS = "reports/profile.json", "reports/metrics.json", "models/model.json"
INPUT = "input."
DAY = timedelta(days=1)


class Window(BaseModel):
    """A stretch of time, its end not included. One with too few rows says nothing of drift."""

    since: datetime
    until: datetime
    rows: int
    labelled: int
    requests: int
    enough: bool
    signals: list[Signal]
    worth: Worth | None = None


class Alarm(BaseModel):
    """What is wrong, and in how many of the windows."""

    kind: Kind
    name: str
    windows: int
    sentence: str


class Bins(BaseModel):
    """The shares of a column's bins that moved most in the newest window."""

    name: str
    labels: list[str]
    before: list[float]
    now: list[float]


class Monitoring(BaseModel):
    """What was found; the JSON that other programs read. The oldest window comes first."""

    version: Literal[1] = 1
    title: str
    environment: str
    release: str
    model: str
    moment: datetime
    alarms: list[Alarm]
    windows: list[Window]
    unwatched: list[str]
    promised: dict[str, float]
    pictures: list[Bins]
    settings: project.Monitor

    @property
    def exit_code(self) -> int:
        """0 if all is well, 3 if there is an alarm."""
        return ALARM if self.alarms else 0


@progress.doing("looking at what was served")
def watch(root: Path, name: str, moment: datetime) -> Monitoring:
    """Look at the windows that end at a moment.

    Raises:
        UserError: something that is needed cannot be read, or the service never wrote anything down.
    """
    settings = project.read(root)
    git = Git(root)
    if REMOTE in git.said("remote").split():
        # What serves is what origin says now; a branch that was not fetched must not look like one that is not there.
        git.fetch()
    reference = _reference(root, name)
    rules.require_metrics(reference.schema.task, settings.gate)
    monitor = settings.monitor
    length = timedelta(days=monitor.window_days)
    start = moment - length * monitor.windows
    store = place(root, monitor.store, name)
    answers = predictions.read(store, predictions.ANSWERS, start, moment)
    requests = predictions.read(store, predictions.REQUESTS, start, moment)
    if answers.empty and requests.empty and predictions.is_empty(store):
        raise UserError(
            f"nothing is in {store}; `gitops-ml watch predictions {name}` brings what the service wrote down"
        )
    arrived = labels.read(place(root, monitor.labels), reference.schema) if monitor.labels else pd.DataFrame()
    labelled = labels.joined(answers, requests, arrived, reference.schema.target)
    windows, newest = [], list[drift.Moved]()
    for number in range(monitor.windows):
        since = start + length * number
        span = (since, since + length)
        inside = (_between(answers, span), _between(requests, span), _between(labelled, span))
        window, newest = _window(span, *inside, (reference, settings))
        windows.append(window)
    windows[-1].signals += signals.of_silence(answers, requests, reference, moment, monitor)
    logged = {str(column).removeprefix(INPUT) for column in answers if str(column).startswith(INPUT)}
    return Monitoring(
        title=settings.title,
        environment=name,
        release=reference.release,
        model=reference.model,
        moment=moment,
        alarms=alarms(windows, monitor.alarms),
        windows=windows,
        unwatched=[column for column in reference.schema.features if column not in logged],
        promised={settings.gate.metric: reference.metrics[settings.gate.metric]["value"]},
        pictures=_pictures(newest, reference.profile),
        settings=monitor,
    )


def alarms(windows: list[Window], needed: int) -> list[Alarm]:
    """What is wrong in the newest window and, unless it is certain, in as many of all windows as are needed."""
    found = []
    for signal in windows[-1].signals:
        if not signal.raised:
            continue
        times = sum(
            each.raised and (each.kind, each.name) == (signal.kind, signal.name)
            for window in windows
            for each in window.signals
        )
        if signal.kind in AT_ONCE or times >= needed:
            found.append(Alarm(kind=signal.kind, name=signal.name, windows=times, sentence=signal.sentence))
    return found


def place(root: Path, setting: str, *below: str) -> str:
    """A folder or URL of project.yaml; a relative folder is one of the project."""
    whole = "/".join((setting.rstrip("/"), *below))
    return whole if "://" in whole else str(root / whole)


def _reference(root: Path, name: str) -> Reference:
    """What the branch of the environment serves; of a project without that branch, the working tree's model."""
    tip = resolve(root, environment.branch(name))
    release = environment.serving(Git(root), tip) if tip else None
    if tip and release is None:
        raise UserError(f"nothing was promoted to {name} yet, so there is nothing to watch")
    revision = Revision(root, release.commit if release else None)
    schema = revision.settings("schema.yaml", Schema)
    return Reference(
        release=release.release if release else "the working tree",
        created=release.created if release else None,
        model=revision.facts(FACTS, ModelFacts).sha256,
        schema=schema,
        policy=_policy(revision, schema),
        evaluate=revision.settings("params.yaml", Params).evaluate,
        profile=revision.facts(PROFILE, profile.Profile),
        metrics=json.loads(revision.output(METRICS)),
    )


def _policy(revision: Revision, schema: Schema) -> Policy | None:
    """What the release decides by, whatever else the project.yaml of that time has."""
    return project.policy(revision.settings("project.yaml", project.Decided).decision, schema)


def _between(table: pd.DataFrame, span: tuple[datetime, datetime]) -> pd.DataFrame:
    if table.empty:
        return table
    return table[(table["time"] >= span[0]) & (table["time"] < span[1])].reset_index(drop=True)


def _window(
    span: tuple[datetime, datetime],
    answers: pd.DataFrame,
    requests: pd.DataFrame,
    labelled: pd.DataFrame,
    rules: tuple[Reference, project.Project],
) -> tuple[Window, list[drift.Moved]]:
    reference, settings = rules
    monitor, moved, worth = settings.monitor, list[drift.Moved](), None
    found = signals.of_requests(requests, monitor)
    enough = len(answers) >= monitor.least_rows
    if not answers.empty:
        inputs, wrong = _inputs(answers, reference.schema)
        found += [
            Signal(kind="schema", name=name, value=1, limit=0, raised=True, sentence=f"column {name!r} {problem}")
            for name, problem in wrong.items()
        ]
    if enough:
        watched = _watched(answers, inputs, reference)
        moved = drift.compare(watched, answers["time"].dt.floor("D"))
        found += [signals.of_drift(each, monitor) for each in moved]
        found += [signals.of_unseen(each) for each in _unseen(answers, watched, reference, (span[1], monitor))]
    if not labelled.empty:
        labelled = labelled[labelled["model"] == reference.model]
    if len(labelled) >= monitor.least_rows:
        found += signals.of_labels(labelled, reference, settings)
        if worth := signals.worth_of(labelled, reference, monitor.least_rows):
            found.append(signals.of_worth(worth))
    window = Window(
        since=span[0],
        until=span[1],
        rows=len(answers),
        labelled=len(labelled),
        requests=len(requests),
        enough=enough,
        signals=found,
        worth=worth,
    )
    return window, moved


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
        found.append((scored.rename(columns=_answer), _renamed(reference.profile.answers)))
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


def _answer(name: str) -> str:
    return f"answer: {name}"


def _renamed(answers: profile.Sample) -> profile.Sample:
    return answers.model_copy(update={"columns": {_answer(name): each for name, each in answers.columns.items()}})


def _pictures(moved: list[drift.Moved], reference: profile.Profile, most: int = 6) -> list[Bins]:
    """The columns that moved most, by bin."""
    whole = reference.inputs.columns | _renamed(reference.answers).columns
    chosen = sorted(moved, key=lambda each: -each.effect)[:most]
    return [Bins(name=each.name, labels=_labels(whole[each.name]), before=each.before, now=each.now) for each in chosen]


def _labels(distribution: profile.Distribution) -> list[str]:
    if distribution.kind == "category":
        return [*distribution.values, "other", "missing"]
    edges = [f"{edge:.6g}" for edge in distribution.edges]
    if not edges:
        return ["any", "missing"]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    return [f"below {edges[0]}", *between, f"from {edges[-1]}", "missing"]
