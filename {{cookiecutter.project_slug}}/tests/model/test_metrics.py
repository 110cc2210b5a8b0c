"""The figures by which a model is judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline import metrics
from pipeline.params import Params
from pipeline.tasks import binary
from pipeline.tasks.scores import CURVE_POINTS, calibration_error

RANDOM = np.random.default_rng(1)
SCORES = RANDOM.uniform(0, 1, 4000)
LABELS = (RANDOM.uniform(0, 1, 4000) < SCORES).astype("int64")
SINGLE = np.arange(4000)


def test_perfect_and_useless_scores_have_known_metrics() -> None:
    """Scores equal to the labels are perfect; a constant score is the baseline."""
    assert binary.measure(LABELS, LABELS.astype("float64"))["roc_auc"] == 1
    constant = binary.measure(LABELS, np.full(len(LABELS), 0.5))
    assert (constant["roc_auc"], constant["brier"]) == (0.5, pytest.approx(0.25))


def test_resampled_metrics_are_scikit_learns() -> None:
    """On any weights, zeros and tied scores included, the quick metrics are those of scikit-learn."""
    tied = SCORES.round(2)
    weights = RANDOM.poisson(1, (5, 4000)).astype("float64")
    found = binary.resampled(LABELS, tied, weights)
    for name, metric in binary.METRICS.items():
        expected = [metric(LABELS, tied, sample_weight=w) for w in weights]  # type: ignore[call-arg]
        np.testing.assert_allclose(found[name], expected, rtol=1e-12)


def test_intervals_hold_the_value(params: Params) -> None:
    """The interval of each metric encloses its value, and is repeatable."""
    found = metrics.intervals(binary, LABELS, SCORES, SINGLE, params.evaluate)
    values = binary.measure(LABELS, SCORES)
    for name, (low, high) in found.items():
        assert low < values[name] < high
    assert found == metrics.intervals(binary, LABELS, SCORES, SINGLE, params.evaluate)


def test_clusters_that_share_their_luck_widen_the_interval(params: Params) -> None:
    """Where whole clusters are late or not, drawing clusters claims less certainty than drawing rows."""
    clusters = np.repeat(np.arange(40), 100)
    labels = np.repeat(RANDOM.integers(0, 2, 40), 100)
    scores = RANDOM.uniform(0, 0.4, 4000)
    low, high = metrics.intervals(binary, labels, scores, clusters, params.evaluate)["brier"]
    narrow_low, narrow_high = metrics.intervals(binary, labels, scores, SINGLE, params.evaluate)["brier"]
    assert high - low > 2 * (narrow_high - narrow_low)


def test_intervals_cover_at_their_level(params: Params) -> None:
    """A 90 % interval of the ROC AUC misses the true value about one time in ten."""
    settings = params.evaluate.model_copy(update={"confidence": 0.9})
    truth = binary.measure(LABELS, SCORES)["roc_auc"]
    hits = 0
    for _ in range(200):
        drawn = RANDOM.choice(4000, 500)
        low, high = metrics.intervals(binary, LABELS[drawn], SCORES[drawn], np.arange(500), settings)["roc_auc"]
        hits += low <= truth <= high
    # The quantiles 0.0001 and 0.9999 of Binomial(200, 0.9) are 163 and 195.
    assert 163 <= hits <= 195


def test_calibration_error_tells_honest_from_boastful_scores() -> None:
    """Scores drawn as probabilities are calibrated; the same scores pushed to the ends are not."""
    assert calibration_error(LABELS, SCORES, 10) < 0.03
    assert calibration_error(LABELS, np.where(SCORES > 0.5, 0.99, 0.01), 2) > 0.2


def test_tied_scores_count_by_their_rows() -> None:
    """Bins that ties make unequal weigh as much as they hold: 90 rows off by 0.1 and 10 off by 0.5 make 0.14."""
    scores = np.array([0.1] * 90 + [0.5] * 10)
    labels = np.array([0] * 90 + [1] * 10)
    assert calibration_error(labels, scores, 10) == pytest.approx(0.14)


def test_small_and_single_class_slices_have_no_metrics(params: Params) -> None:
    """A slice that is too small, or has one class, is counted and not measured."""
    table = pd.DataFrame({"group": ["large"] * 100 + ["small"] * 5 + [None] * 50})
    labels = np.array([0, 1] * 50 + [0, 1, 0, 1, 0] + [1] * 50)
    settings = params.evaluate.model_copy(update={"slices": ["group"]})
    found = {record["value"]: record for record in metrics.slices(binary, table, labels, SCORES[:155], settings)}
    assert found["large"]["roc_auc"] is not None
    assert found["small"]["roc_auc"] is None
    assert found["(missing)"] | {"rows": 50, "roc_auc": None} == found["(missing)"]


def test_curves_run_from_corner_to_corner() -> None:
    """The thinned curves keep both ends."""
    roc = binary.roc(LABELS, SCORES)
    assert roc.iloc[0].tolist() == [0, 0]
    assert roc.iloc[-1].tolist() == [1, 1]
    assert len(binary.precision_recall(LABELS, SCORES)) <= CURVE_POINTS
