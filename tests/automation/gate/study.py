"""How often the gate says what, where the truth is known: `make study` prints the table of the README.

Rows have a known probability between 0.3 and 0.7. A model that errs by d in either direction has a Brier score of d
squared above the best one, so a difference of any size between two models can be made exactly.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from gitops_ml.core.project import Gate
from gitops_ml.gate import verdict as gate
from gitops_ml.gate.candidates import Candidate, Evaluation

MARGIN = 0.01
ERROR = 0.1
SETTINGS = Gate(
    metric="brier",
    margin=MARGIN,
    confidence=0.95,
    resamples=200,
    floors={},
    calibration_error=1,
    slice_margin=1,
    overlap=1,
    latency_ms=1000,
    model_bytes=10**9,
)
# By how much the challenger's Brier score is better than the champion's.
TRUTHS = {"worse by the margin": -MARGIN, "worse by half of it": -MARGIN / 2, "equal": 0.0, "better by it": MARGIN}


def simulate(better_by: float, times: int, rows: int, seed: int = 0) -> Counter[str]:
    """Judge `times` pairs of models, each on `rows` fresh rows, and count the verdicts."""
    random = np.random.default_rng(seed)
    verdicts: Counter[str] = Counter()
    for _ in range(times):
        truth = random.uniform(0.3, 0.7, rows)
        signs = random.choice([-1.0, 1.0], (2, rows))
        evaluation = Evaluation(
            labels=(random.random(rows) < truth).astype("int64"),
            clusters=np.arange(rows),
            slices={},
            slice_minimum=1,
            calibration_bins=10,
            # A baseline that every model beats: the comparison alone is studied.
            trivial={"a constant": np.full(rows, 0.001)},
            seed=int(random.integers(2**31)),
            digest="simulated",
        )
        challenger = Candidate("challenger", truth + signs[0] * np.sqrt(ERROR**2 - better_by))
        champion = Candidate("champion", truth + signs[1] * ERROR)
        verdicts[gate.judge(evaluation, challenger, champion, SETTINGS).verdict] += 1
    return verdicts


def table(times: int, rows: int) -> str:
    """The rates as Markdown."""
    lines = ["| the challenger is | promote | keep | insufficient evidence |", "|---|---|---|---|"]
    for name, better_by in TRUTHS.items():
        found = simulate(better_by, times, rows)
        rates = [f"{found[verdict] / times:.1%}" for verdict in ("promote", "keep", "insufficient evidence")]
        lines.append(f"| {name} | {' | '.join(rates)} |")
    return "\n".join(lines)
