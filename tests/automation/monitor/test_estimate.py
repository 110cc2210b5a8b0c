"""What labels will say is expected where inputs shift, and not where the concept drifts, which costs the trust."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gitops_ml.gate.result import Measured
from gitops_ml.monitor import estimate, page, signals, watch
from gitops_ml.monitor.content import Monitoring
from gitops_ml.monitor.estimate import Estimate
from gitops_ml.monitor.reference import Reference
from pipeline import metrics
from pipeline.decision import Policy
from pipeline.params import Params
from pipeline.schema import Column, Schema
from pipeline.tasks import MEASURES, binary, multiclass

from tests.automation.monitor import samples

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BINARY = Schema(columns={"x": Column(type="number"), "y": Column(type="integer", role="target", minimum=0, maximum=1)})
POLICY = Policy("USD", ["wait", "act"], np.array([[0.0, 0.0], [-30.0, 60.0]]))
DAYS, A_DAY = 7, 200


def rows(
    seed: int, *, middle: float = 0.0, spread: float = 1.0, drifted: bool = False, days: int = DAYS
) -> pd.DataFrame:
    """Answers of a model that is too timid, with the labels that come later; rows of a day have something in common."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), A_DAY)
    x = middle + random.normal(0, 0.3, days)[day] + random.normal(0, spread, len(day))
    true = 1.6 * x - 0.5
    label = random.random(len(x)) < 1 / (1 + np.exp(-(0.4 * x + 0.3 if drifted else true)))
    score = 1 / (1 + np.exp(-0.7 * true))
    decision = np.array(POLICY.actions, dtype=object)[POLICY.choose(score)]
    times = [NOW + timedelta(days=int(each)) for each in day]
    return pd.DataFrame(
        {"time": times, "score": score, "y": label.astype("int64"), "decision": decision, "release": "r", "model": "m"}
    )


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "RESAMPLES", 100)


@pytest.fixture(scope="module")
def reference(params: Params) -> Reference:
    """The release of that model, with what its evaluation found."""
    table = rows(1000, days=30)
    labels, scores = table["y"].to_numpy(), table["score"].to_numpy()
    evaluate = params.evaluate.model_copy(update={"resamples": 200})
    bounds = metrics.intervals(binary, labels, scores, signals.by_day(table), evaluate)
    found = binary.measure(labels, scores)
    curve = binary.calibration(labels, scores, 10)
    return Reference(
        release="r", created=NOW, model="m", schema=BINARY, policy=POLICY, evaluate=evaluate, profile=None,  # type: ignore[arg-type]
        metrics={name: {"value": found[name], "low": low, "high": high} for name, (low, high) in bounds.items()},
        importance={}, calibration=list(zip(curve["score"], curve["positive_rate"], strict=True)),
    )  # fmt: skip


def measured(table: pd.DataFrame, metric: str) -> dict[str, float]:
    """What the labels say."""
    labels, chosen = table["y"].to_numpy(), table["decision"].map(POLICY.actions.index).to_numpy()
    always = max(POLICY.earned(labels, np.full_like(chosen, action)).mean() for action in (0, 1))
    gain = (POLICY.earned(labels, chosen).mean() - always) * 1000
    return {metric: binary.measure(labels, table["score"].to_numpy())[metric], estimate.WORTH: gain}


def looked(table: pd.DataFrame, reference: Reference, metric: str = "roc_auc") -> dict[str, Estimate]:
    """What was expected of a week, and what its labels said."""
    found = estimate.of_window(table, table, reference, metric, measured(table, metric))
    return {each.name: each for each in found}


def test_what_is_measured_lies_where_it_was_expected(reference: Reference) -> None:
    """Of weeks like those of the evaluation, the interval holds what the labels say in nine of ten or more."""
    found = [looked(rows(seed), reference) for seed in range(20)]
    for name, near in (("roc_auc", 0.01), (estimate.WORTH, 500)):
        assert sum(bool(each[name].inside) for each in found) >= 18, name
        off = [each[name].expected.value - (each[name].measured or 0) for each in found]
        assert np.mean(off) == pytest.approx(0, abs=near)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_a_shift_of_the_inputs_is_found_without_labels(reference: Reference, metric: str) -> None:
    """Where inputs come that the model cannot tell apart, the metric is expected to fall, as it then does."""
    for seed in range(2):
        found = looked(rows(seed, middle=0.3, spread=0.35), reference, metric)[metric]
        assert estimate.signal(found, reference, 0.02).state == "proven"
        assert found.inside
        assert estimate.signal(looked(rows(seed), reference, metric)[metric], reference, 0.02).state == "within"


def test_concept_drift_is_invisible_and_costs_the_trust(reference: Reference) -> None:
    """Where labels follow from the same inputs in another way, the estimate stays, what is measured falls out of it."""
    before = [looked(rows(seed), reference)["roc_auc"] for seed in range(3)]
    assert estimate.record("roc_auc", before).trusted
    drifted = [looked(rows(seed, drifted=True), reference)["roc_auc"] for seed in range(3)]
    for well, ill in zip(before, drifted, strict=True):
        assert ill.expected == well.expected
        assert ill.measured is not None
        assert well.measured is not None
        assert ill.measured < well.measured - 0.1
        assert estimate.signal(ill, reference, 0.02).state == "within"
    after = estimate.record("roc_auc", [*before, drifted[0]])
    assert (after.windows, after.inside, after.trusted) == (4, 3, False)


def guess(inside: bool | None) -> Estimate:
    """An estimate that was right, or wrong, or of which nobody knows."""
    around = Measured(value=0.7, low=0.6, high=0.8)
    if inside is None:
        return Estimate(name="roc_auc", expected=around)
    return Estimate(name="roc_auc", expected=around, of_labelled=around, measured=0.7 if inside else 0.9)


@pytest.mark.parametrize(
    ("known", "trusted"),
    [
        ([], False),
        ([True, True], False),
        ([True, True, True], True),
        ([True, True, True, None, None], True),
        ([False, True, True, True], True),
        ([True, True, True, False], False),
        ([False, False, True, True, True], False),
    ],
)
def test_trust_is_earned_and_lost(known: list[bool | None], trusted: bool) -> None:
    """An alarm needs three windows that were right, three of four of all, and the newest one with labels."""
    assert estimate.record("roc_auc", [guess(each) for each in known]).trusted == trusted


def test_scores_are_read_as_the_evaluation_lets_them_be_read(reference: Reference) -> None:
    """A timid model's scores are brought to the rates that came true; a curve that falls, or none, changes nothing."""
    table = rows(5, days=60)
    scores = table["score"].to_numpy()
    chances = estimate.calibrated(scores, reference)[:, 1]
    assert binary.facts(table["y"].to_numpy(), scores, 10)["calibration_error"] > 0.04
    assert binary.facts(table["y"].to_numpy(), chances, 10)["calibration_error"] < 0.025
    for curve in ([], [(0.5, 0.5)], [(0.1, 0.9), (0.9, 0.1)]):
        bare = Reference(**{**vars(reference), "calibration": curve})
        assert estimate.calibrated(scores, bare)[:, 1] == pytest.approx(scores)


def test_what_cannot_be_estimated_is_not(reference: Reference) -> None:
    """Nothing is expected of a regression, nor where hardly a row of a class is; worth only of what was decided."""
    table = rows(1)
    regression = Schema(
        task="regression", columns={"x": Column(type="number"), "y": Column(type="number", role="target")}
    )
    assert not estimate.of_window(table, table, Reference(**{**vars(reference), "schema": regression}), "rmse", {})
    assert not estimate.of_window(table.assign(score=1e-9), table.iloc[:0], reference, "roc_auc", {})
    for other in (table.assign(release="another"), table.drop(columns="decision"), table.assign(decision=None)):
        found = estimate.of_window(other, other.iloc[:0], reference, "roc_auc", {})
        assert [(each.name, each.measured, each.inside) for each in found] == [("roc_auc", None, None)]


def test_more_classes_are_expected_by_their_probabilities(params: Params) -> None:
    """Of three classes the accuracy and the log loss that are expected are those that calibrated scores then have."""
    random = np.random.default_rng(2)
    scores = random.dirichlet([1.0, 1.0, 2.0], 4000)
    labels = (random.random(4000)[:, None] > scores.cumsum(axis=1)).sum(axis=1)
    table = pd.DataFrame({"time": [NOW + timedelta(days=n % 9) for n in range(4000)], "score": list(scores)})
    names = Column(type="category", role="target", categories=["a", "b", "c"])
    schema = Schema(task="multiclass", columns={"x": Column(type="number"), "y": names})
    found = multiclass.measure(labels, scores)
    promised = {name: {"value": value, "low": value, "high": value} for name, value in found.items()}
    release = Reference(
        release="r", created=None, model="m", schema=schema, policy=None, evaluate=params.evaluate, profile=None,  # type: ignore[arg-type]
        metrics=promised, importance={},
    )  # fmt: skip
    for metric in MEASURES["multiclass"].NAMES:
        value = estimate.expected(table, release, metric)[metric]
        assert value.low < found[metric] < value.high, metric
    assert estimate.expected(table, release, "accuracy")["accuracy"].value == pytest.approx(scores.max(axis=1).mean())


def monitored(estimates: list[dict[str, Any]], **columns: Any) -> Monitoring:
    """Four weeks with these estimates, as the page shows them."""
    whole = samples.monitoring(samples.WELL)
    windows = [
        each.model_copy(
            update={
                "estimates": [Estimate(name="roc_auc", **found)],
                "signals": [signal for signal in each.signals if signal.kind not in ("silence", "age")],
            }
        )
        for each, found in zip(whole.windows, estimates, strict=True)
    ]
    serving = samples._reference(samples.WELL)
    return watch.told(windows, [], serving, (samples.SETTINGS, "production", samples.NOW))


def test_only_what_is_trusted_has_an_alarm() -> None:
    """An expected fall is shown with its record, and is an alarm once the estimate was right three times."""
    well, low = Measured(value=0.71, low=0.69, high=0.73), Measured(value=0.6, low=0.58, high=0.62)
    right = {"expected": well, "of_labelled": well, "measured": 0.7}
    for first, alarms in ((right, 1), ({**right, "measured": 0.5}, 0)):
        fell = {"expected": low, "of_labelled": low, "measured": 0.6}
        found = monitored([first, right, fell, {"expected": low}])
        assert [each.kind for each in found.alarms] == ["expected"] * alarms
        assert [each.trusted for each in found.records] == [bool(alarms)]
        for text in (page.html(found), page.markdown(found), page.terminal(found, samples.PROJECT)):
            said = " ".join(text.split())
            assert "0.6000" in said
            assert ("its alarm is off" in said) == (not alarms)
        assert Monitoring.model_validate_json(found.model_dump_json()) == found
    assert "Before labels come" in page.html(found)
    assert "Before labels come" not in page.html(samples.monitoring())
