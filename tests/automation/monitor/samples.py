"""What the monitor may find, in every state that people meet: for tests of the page, the issue and the terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from gitops_ml.core import project
from gitops_ml.gate.result import Measured, Worth
from gitops_ml.monitor import drift, signals, watch, window
from gitops_ml.monitor.content import Monitoring, Window
from gitops_ml.monitor.reference import Reference
from gitops_ml.monitor.signals import Signal
from pipeline.decision import Policy
from pipeline.profile import Distribution, Profile, Sample
from pipeline.schema import Column, Schema

from tests.automation.tables import PROJECT

NOW = datetime(2026, 8, 1, tzinfo=UTC)
WEEKS, ROWS = 4, 2300
SETTINGS = project.read(PROJECT)
POLICY = Policy("USD", ["wait", "rebook"], np.array([[0.0, 0.0], [-30.0, 60.0]]))
TARGET = Column(type="integer", role="target", minimum=0, maximum=1)
# What each column's rows moved by, week by week, p in the newest one, and what shuffling it costs.
COLUMNS: dict[str, tuple[list[float], float, float]] = {
    "temp": ([0.9, 0.9, 0.9, 0.9], 0.0001, 0.004),
    "pressure": ([0.37, 0.31, 0.48, 0.56], 0.4, 0.002),
    "humid": ([0.29, 0.19, 0.22, 0.21], 0.03, 0.02),
    "carrier": ([0.03, 0.04, 0.04, 0.03], 0.9, 0.03),
    "origin": ([0.0, 0.0, 0.0, 0.0], 1.0, 0.008),
    "sched_dep_time": ([0.02, 0.03, 0.02, 0.03], 0.8, 0.068),
}
WELL = {name: ([0.02, 0.03, 0.02, 0.04], 0.8, cost) for name, (_, _, cost) in COLUMNS.items()}
HOSTILE = [
    "<script>alert(1)</script>", "a|b `c` [d](https://example.com) @team #1", "\u202erevo t\u202c", "x" * 300,
    "</style><b>", "مطار المغادرة", "{{ 7 * 7 }}", "two\nlines", "\x1b[2J\x07bell", "www.example.com",
]  # fmt: skip

HOSTILE_TITLE = "<img src=x> **Title** @team"


def monitoring(
    columns: dict[str, tuple[list[float], float, float]] = COLUMNS,
    *,
    labels: bool = True,
    rows: int = ROWS,
    logged: frozenset[str] | None = None,
    served: bool = True,
) -> Monitoring:
    """What is said of four weeks in which columns moved so far.

    Args:
        columns: by name; nothing is beyond its limit in performance, unless a column is.
        labels: whether labels came.
        rows: so many were answered in each week.
        logged: what the log has of the columns; all by default.
        served: whether there were requests at all.
    """
    monitor = SETTINGS.monitor.model_copy(update={"labels": "labels" if labels else ""})
    settings = SETTINGS.model_copy(update={"title": "Late Flights", "monitor": monitor})
    reference = _reference(columns)
    known, enough = logged if logged is not None else frozenset(columns), rows >= settings.monitor.least_rows
    windows, moved = [], list[drift.Moved]()
    for week in range(WEEKS):
        since = NOW - timedelta(days=7 * (WEEKS - week))
        moved = [_moved(name, sizes[week], p) for name, (sizes, p, _) in columns.items() if enough and name in known]
        answer = drift.Moved("answer: score", _distribution(), 0.8, 0.04, [0.1] * 10 + [0], [0.1] * 10 + [0])
        found = [signals.of_drift(each, settings.monitor, each.name) for each in moved]
        found += [signals.of_drift(answer, settings.monitor)] if enough else []
        if served:
            found += _requests(settings.monitor)
        worth = _worth(week) if labels and enough else None
        if worth:
            found += [
                *_judged(week, any(max(sizes) > 0.1 for sizes, _, _ in columns.values())),
                signals.of_worth(worth),
            ]
        made = Window(
            since=since, until=since + timedelta(days=7), rows=rows + 7 * week, labelled=rows if worth else 0,
            requests=rows if served else 0, enough=enough, signals=found, worth=worth,
        )  # fmt: skip
        windows.append(window.with_untested(made, frozenset(), known, reference, settings))
    windows[-1].signals += [
        Signal(
            kind="silence", name="requests", state="within", sentence="nobody has asked for 3 hours", value=3, limit=48
        ),
        Signal(kind="age", name="model", state="within", sentence="the release is 35 days old", value=35, limit=365),
    ]
    return watch.told(windows, moved, reference, (settings, "production", NOW))


def states() -> dict[str, Monitoring]:
    """Every state by its name."""
    return {
        "alarm": monitoring(),
        "watch": monitoring({name: each for name, each in COLUMNS.items() if name != "temp"}),
        "well": monitoring(WELL),
        "no labels": monitoring(WELL, labels=False),
        "lacking columns": monitoring(WELL, logged=frozenset(["temp", "carrier"])),
        "too few rows": monitoring(WELL, rows=32),
        "not known": monitoring(WELL, rows=0, labels=False, served=False),
        "200 columns": monitoring({f"column_{number}": _many(number) for number in range(200)}),
        "hostile": monitoring(dict.fromkeys(HOSTILE, COLUMNS["temp"])).model_copy(update={"title": HOSTILE_TITLE}),
    }


def _many(number: int) -> tuple[list[float], float, float]:
    return [0.001 * number] * WEEKS, 0.0001 if number % 3 else 0.3, 0.0001 * (200 - number)


def _distribution() -> Distribution:
    edges = [10.5, 18.25, 27.0, 33.8, 39.9, 46.9, 55.0, 61.2, 70.5]
    return Distribution(kind="number", edges=edges, shares=[0.1] * 10 + [0.0], alike=[])


def _moved(name: str, size: float, p: float) -> drift.Moved:
    """A column whose upper tenth gained so many of the rows."""
    before = [0.1] * 10 + [0.0]
    now = [0.1 - size / 9] * 9 + [0.1 + size, 0.0]
    return drift.Moved(name, _distribution(), p, size, before, now)


def _reference(columns: dict[str, Any]) -> Reference:
    features = {name: Column(type="number") for name in columns}
    sample = Sample(rows=9000, together=90, by_time=True, columns=dict.fromkeys(columns, _distribution()))
    answers = Sample(rows=3000, together=90, by_time=True, columns={"score": _distribution()})
    promised = {"value": 0.7137, "low": 0.69, "high": 0.735}
    return Reference(
        release="late-flights:8032987c1a2b3d4e", created=NOW - timedelta(days=35), model="m",
        schema=Schema(columns=features | {"late": TARGET}), policy=POLICY, evaluate=None,  # type: ignore[arg-type]
        profile=Profile(inputs=sample, answers=answers),
        metrics={SETTINGS.gate.metric: promised, "calibration_error": 0.03},
        importance={name: cost for name, (_, _, cost) in columns.items()},
    )  # fmt: skip


def _requests(monitor: project.Monitor) -> list[Signal]:
    return [
        signals.limited("refused", "requests", 0.004, monitor.refused_rate, "0.4 % of the requests were refused"),
        signals.limited("errors", "requests", 0.0, monitor.error_rate, "0 % of the requests failed"),
        signals.limited("latency", "requests", 21, monitor.latency_ms, "95 % of the requests took up to 21 ms"),
    ]


def _judged(week: int, moved: bool) -> list[Signal]:
    value = [0.65, 0.651, 0.698, 0.633][week] if moved else 0.711
    return [
        Signal(
            kind="performance", name=SETTINGS.gate.metric, state="beyond" if value < 0.6937 else "within", value=value,
            limit=0.6937, bound="at least", low=value - (0.024 + 0.004 * week), high=value + (0.022 + 0.004 * week),
            sentence=f"ROC AUC is {value:.4f}, and 0.7137 was promised",
        ),
        signals.limited("calibration", "calibration error", [0.13, 0.066, 0.17, 0.074][week] if moved else 0.04, 0.1,
                         "the calibration error is as it is"),
    ]  # fmt: skip


def _worth(week: int) -> Worth:
    gain = Measured(
        value=[2321, 1279, 1422, 2512][week], low=[-411, -930, -702, 190][week], high=[5140, 3460, 3610, 4870][week]
    )
    worth = Measured(value=gain.value + 2588, low=gain.low + 2588, high=gain.high + 2588)
    return Worth(unit="USD", worth=worth, always="wait", always_worth=2588, gain=gain)
