"""Each signal is raised beyond its limit, not at it, and says nothing where too little is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gitops_ml.core import project
from gitops_ml.gate import rules
from gitops_ml.gate.result import Measured, Worth
from gitops_ml.monitor import drift, signals
from gitops_ml.monitor.reference import Reference
from pipeline.decision import Policy
from pipeline.params import Params
from pipeline.profile import Distribution
from pipeline.schema import Column, Schema
from pipeline.tasks import binary

from tests.automation.tables import PROJECT

NOW = datetime(2026, 5, 29, tzinfo=UTC)
SETTINGS = project.read(PROJECT)
BINARY = Schema(columns={"x": Column(type="number"), "y": Column(type="integer", role="target", minimum=0, maximum=1)})
POLICY = Policy("USD", ["wait", "act"], np.array([[0.0, 0.0], [-1.0, 1.0]]))
ROWS = 4000
CHANCES = np.linspace(0.02, 0.98, ROWS)
LABELS = (np.random.default_rng(0).random(ROWS) < CHANCES).astype("int64")


def settings(**gate: Any) -> project.Project:
    """The project's settings with another gate."""
    whole = {"metric": "roc_auc", "calibration_error": 0.05} | gate
    monitor = SETTINGS.monitor.model_copy(update={"metric_margin": 0.02})
    return SETTINGS.model_copy(update={"gate": SETTINGS.gate.model_copy(update=whole), "monitor": monitor})


def reference(params: Params, **facts: Any) -> Reference:
    """A release that promised what its scores are worth."""
    measured = binary.measure(LABELS, CHANCES)
    promised = {name: {"value": value, "low": value - 0.01, "high": value + 0.01} for name, value in measured.items()}
    whole: dict[str, Any] = {
        "release": "new", "created": NOW - timedelta(days=10), "model": "m", "schema": BINARY, "policy": POLICY,
        "evaluate": params.evaluate, "profile": None, "metrics": promised, "importance": {},
    }  # fmt: skip
    return Reference(**(whole | facts))


def answered(scores: Any, labels: Any = LABELS, **columns: Any) -> pd.DataFrame:
    """Rows with labels, of ten days."""
    times = [NOW - timedelta(days=day % 10) for day in range(len(scores))]
    return pd.DataFrame({"time": times, "y": labels, "score": list(scores), "release": "new"} | columns)


def of_labels(params: Params, scores: Any, **gate: Any) -> dict[str, signals.Signal]:
    """What is said of scores for the labels, by kind."""
    return {each.kind: each for each in signals.of_labels(answered(scores), reference(params), settings(**gate))}


def test_scores_that_are_as_often_right_as_they_say_are_calibrated(params: Params) -> None:
    """Probabilities that come true are within the limit, and their ranking is what was promised."""
    found = of_labels(params, CHANCES)
    assert [found[kind].raised for kind in ("performance", "calibration")] == [False, False]
    assert found["calibration"].limit == 0.05
    assert found["calibration"].value < 0.03


def test_scores_that_say_too_little_are_an_alarm_though_they_rank_as_well(params: Params) -> None:
    """Calibration is raised by itself, beyond the gate's limit: the ranking of halved scores is as good as ever."""
    found = of_labels(params, CHANCES / 2)
    assert (found["performance"].raised, found["calibration"].raised) == (False, True)
    assert found["calibration"].value == pytest.approx(0.25, abs=0.03)
    assert found["calibration"].sentence.startswith("the calibration error is 0.2")
    at_most = found["calibration"].value
    assert not of_labels(params, CHANCES / 2, calibration_error=at_most)["calibration"].raised
    assert of_labels(params, CHANCES / 2, calibration_error=np.nextafter(at_most, 0))["calibration"].raised


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_worse_is_lower_or_higher_as_the_metric_has_it(params: Params, metric: str) -> None:
    """Scores that rank against the labels are worse than promised, and better ones than promised are no alarm."""
    against, perfect = 1 - CHANCES, np.where(LABELS == 1, 0.99, 0.01)
    assert of_labels(params, against, metric=metric)["performance"].raised
    assert not of_labels(params, perfect, metric=metric)["performance"].raised


def test_the_uncertainty_of_both_sides_excuses_a_small_loss(params: Params) -> None:
    """A loss beyond the margin is no alarm while what was promised is as uncertain as that."""
    noisy = np.clip(CHANCES + np.random.default_rng(1).normal(0, 0.25, ROWS), 0.01, 0.99)
    sure = reference(params)
    unsure = {
        name: each | {"low": each["value"] - 0.3, "high": each["value"] + 0.3} for name, each in sure.metrics.items()
    }
    assert signals.of_labels(answered(noisy), sure, settings())[0].state == "proven"
    assert signals.of_labels(answered(noisy), reference(params, metrics=unsure), settings())[0].state == "beyond"


def test_labels_that_are_all_the_same_say_nothing(params: Params) -> None:
    """Where nothing can be ranked, nothing is said."""
    assert signals.of_labels(answered(CHANCES, 1), reference(params), settings()) == []


@pytest.mark.parametrize(("rows", "judged"), [(99, False), (100, True)])
def test_decisions_about_too_few_rows_have_no_worth(params: Params, rows: int, judged: bool) -> None:
    """Fewer rows than `least_rows` say nothing, whatever they were worth; as many do."""
    labels = np.arange(rows) % 2
    few = answered(np.full(rows, 0.5), labels, decision=np.where(labels == 1, "act", "wait"))
    assert (signals.worth_of(few, reference(params), 100) is not None) == judged
    unknown = pd.concat([few, few.head(1).assign(decision="another")], ignore_index=True)
    assert (signals.worth_of(unknown, reference(params), 100) is not None) == judged


def worth(low: float, high: float) -> Worth:
    """Decisions that are worth so much more than the best single action."""
    gain = Measured(value=low, low=low, high=high)
    return Worth(unit="USD", worth=gain, always="act", always_worth=1.0, gain=gain)


@pytest.mark.parametrize(("high", "well"), [(-1e-9, False), (0.0, True), (1e-9, True)])
def test_a_gain_that_may_be_nothing_is_no_loss(high: float, well: bool) -> None:
    """Decisions lose only if the whole interval of their gain is below zero: for the monitor as for the gate. A gain
    below zero that may be one is not proven, and not called well.
    """
    found = worth(-2.0, high)
    assert signals.of_worth(found).state == ("beyond" if well else "proven")
    assert rules.of_worth(found).holds == well
    assert signals.of_worth(worth(0.0, 1.0)).state == "within"


@pytest.mark.parametrize(
    ("p", "effect", "state"),
    [
        (0.001, 0.2, "proven"),
        (0.01, 0.2, "beyond"),
        (0.001, 0.1, "proven"),
        (0.001, 0.09, "within"),
        (1, 0.5, "beyond"),
    ],
)
def test_drift_needs_significance_and_effect(p: float, effect: float, state: str) -> None:
    """A column has moved if at least the effect's share of the rows has, and p is below the level; else that is not
    proven, and never within the limit.
    """
    monitor = SETTINGS.monitor.model_copy(update={"level": 0.01, "effect": 0.1})
    distribution = Distribution(kind="number", edges=[5.0], shares=[0.5, 0.5, 0.0], alike=[])
    moved = drift.Moved("x", distribution, p, effect, distribution.shares, [0.5 - effect, 0.5 + effect, 0.0])
    found = signals.of_drift(moved, monitor)
    assert (found.state, found.raised) == (state, state == "proven")
    assert ("are 5 or more" in found.sentence) == (state != "within")


@pytest.mark.parametrize(
    ("status", "ms", "raised"),
    [
        ([200] * 99 + [500], 1, []),
        ([200] * 98 + [500] * 2, 1, ["errors"]),
        ([200] * 95 + [499] * 5, 1, []),
        ([200] * 94 + [400] * 6, 1, ["refused"]),
        ([200] * 100, 500, []),
        ([200] * 100, 501, ["latency"]),
    ],
)
def test_requests_have_limits(status: list[int], ms: float, raised: list[str]) -> None:
    """Failed, refused and slow requests are raised beyond their limits and not at them."""
    limits = {"error_rate": 0.01, "refused_rate": 0.05, "latency_ms": 500}
    table = pd.DataFrame({"status": status, "ms": float(ms)})
    found = signals.of_requests(table, SETTINGS.monitor.model_copy(update=limits))
    assert [each.kind for each in found if each.raised] == raised
    assert signals.of_requests(table.iloc[:0], SETTINGS.monitor) == []


@pytest.mark.parametrize(
    ("quiet", "age", "raised"),
    [(48, 365, []), (49, 365, ["silence"]), (48, 366, ["age"]), (None, 1, ["silence"])],
)
def test_silence_and_age_have_limits(params: Params, quiet: float | None, age: float, raised: list[str]) -> None:
    """Whoever asked last counts, by answers as by requests; nobody at all is silence since the first window began."""
    limits = SETTINGS.monitor.model_copy(update={"silent_hours": 48, "model_days": 365})
    last = [] if quiet is None else [NOW - timedelta(hours=quiet)]
    asked, old = pd.DataFrame({"time": last}), pd.DataFrame({"time": [NOW - timedelta(days=30)] if last else []})
    made = reference(params, created=NOW - timedelta(days=age))
    for pair in ((asked, old), (old, asked)):
        found = signals.of_silence(*pair, made, NOW, limits)
        assert [each.kind for each in found if each.raised] == raised
    unknown = signals.of_silence(asked, old, reference(params, created=None), NOW, limits)
    assert [each.kind for each in unknown] == ["silence"]
