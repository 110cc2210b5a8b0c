"""Watches what serves: looks at what the service wrote down, window by window, and says what follows."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
from pipeline.tasks import MEASURES

from gitops_ml.core import progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.gate import rules
from gitops_ml.gate.result import Measured
from gitops_ml.monitor import bins, drift, estimate, figures, findings, reference, signals, window
from gitops_ml.monitor.content import Bins, Monitoring, Window
from gitops_ml.monitor.estimate import Record
from gitops_ml.monitor.reference import Reference
from gitops_ml.predictions import labels, stored
from gitops_ml.versions.git import Git
from gitops_ml.versions.objects import REMOTE

PICTURES = 4


@progress.doing("looking at what was served")
def watch(root: Path, name: str, moment: datetime, *, batches: bool = False) -> Monitoring:
    """Look at the windows that end at a moment: at what the service answered, or at what batches said.

    Raises:
        UserError: something that is needed cannot be read, or the service never wrote anything down.
    """
    settings = project.read(root)
    git = Git(root)
    if REMOTE in git.said("remote").split():
        # What serves is what origin says now; a branch that was not fetched must not look like one that is not there.
        git.fetch()
    serving = reference.read(root, name)
    rules.require_metrics(serving.schema.task, settings.gate)
    log = _log(root, name, moment, serving, settings.monitor, batches=batches)
    windows, newest = [], list[drift.Moved]()
    for span in _spans(moment, settings.monitor):
        found, newest = window.look(log, span, serving, settings)
        windows.append(found)
    windows[-1].signals += signals.of_silence(log.answers, log.requests, serving, moment, settings.monitor)
    return told(windows, newest, serving, (settings, name, moment))


def told(
    windows: list[Window],
    newest: list[drift.Moved],
    serving: Reference,
    asked: tuple[project.Project, str, datetime],
) -> Monitoring:
    """What follows from windows, the most harmful first.

    Args:
        windows: the oldest first.
        newest: how far each column has moved in the last one.
        serving: what they were compared with.
        asked: the settings, the environment, and when the last window ends.
    """
    settings, name, moment = asked
    monitor = settings.monitor
    records = _records(windows, serving, monitor)
    windows = window.aligned(windows)
    order = findings.ranked(windows, monitor.alarms, serving.importance)
    places = {key: place for place, key in enumerate(order)}
    for each in windows:
        each.signals.sort(key=lambda signal: places[findings.key(signal)])
    alarms = findings.alarms(windows, monitor.alarms)
    watched = findings.to_watch(windows, alarms)
    metric = settings.gate.metric
    return Monitoring(
        title=settings.title,
        environment=name,
        release=serving.release,
        created=serving.created,
        model=serving.model,
        moment=moment,
        verdict=findings.verdict(alarms, watched, windows[-1]),
        tested=sum(signal.state != "not tested" for signal in windows[-1].signals),
        untested=sum(signal.state == "not tested" for signal in windows[-1].signals),
        alarms=[findings.alarm(signal, windows, serving, name) for signal in alarms],
        watch=[findings.warning(signal, windows, monitor.alarms, serving.importance) for signal in watched],
        by_chance=[figures.name(signal) for signal in findings.by_chance(windows)],
        unknown=findings.unknown(windows[-1]),
        windows=windows,
        promised={metric: Measured.model_validate(serving.metrics[metric])},
        importance=serving.importance,
        importance_is=MEASURES[serving.schema.task].IMPORTANCE,
        pictures=_pictures(newest, windows[-1]),
        records=records,
        unestimated=estimate.NO_LABELS_OF_ITS_OWN if serving.schema.task == "regression" else "",
        settings=monitor,
    )


def _records(windows: list[Window], serving: Reference, monitor: project.Monitor) -> list[Record]:
    """How often each estimate was right; those that are trusted become signals of their windows."""
    every = [each for window_ in windows for each in window_.estimates]
    found = [estimate.record(name, every) for name in dict.fromkeys(each.name for each in every)]
    trusted = {each.name for each in found if each.trusted}
    for window_ in windows:
        known = [each for each in window_.estimates if each.name in trusted]
        window_.signals += [estimate.signal(each, serving, monitor.metric_margin) for each in known]
    return found


def _log(
    root: Path, name: str, moment: datetime, serving: Reference, monitor: project.Monitor, *, batches: bool
) -> window.Log:
    """All that is looked at, of all windows."""
    start = _spans(moment, monitor)[0][0]
    store = stored.place(root, monitor.store, name, *([stored.BATCHES] if batches else []))
    answers = stored.read(store, stored.ANSWERS, start, moment)
    requests = stored.read(store, stored.REQUESTS, start, moment)
    if answers.empty and requests.empty and stored.is_empty(store):
        raise UserError(
            f"nothing is in {store}; "
            + ("`make predict`" if batches else f"`gitops-ml watch predictions {name}`")
            + f" brings what {'batches said' if batches else 'the service wrote down'}"
        )
    arrived = labels.read(stored.place(root, monitor.labels), serving.schema) if monitor.labels else pd.DataFrame()
    labelled = labels.joined(answers, requests, arrived, serving.schema.target)
    logged = {column for column in map(str, answers) if column.startswith(stored.INPUT)}
    return window.Log(answers, requests, labelled, frozenset(each.removeprefix(stored.INPUT) for each in logged))


def _spans(moment: datetime, monitor: project.Monitor) -> list[tuple[datetime, datetime]]:
    """The windows that end at a moment, the oldest first."""
    length = timedelta(days=monitor.window_days)
    start = moment - length * monitor.windows
    return [(start + length * number, start + length * (number + 1)) for number in range(monitor.windows)]


def _pictures(moved: list[drift.Moved], newest: Window) -> list[Bins]:
    """The bins of the columns that moved by more than their limit, the most harmful first."""
    beyond = [signal.name for signal in newest.signals if signal.kind == "drift" and signal.is_beyond]
    known = {each.name: each for each in moved}
    return [
        Bins(name=name, labels=bins.labels(known[name].distribution), before=known[name].before, now=known[name].now)
        for name in beyond[:PICTURES]
        if name in known
    ]
