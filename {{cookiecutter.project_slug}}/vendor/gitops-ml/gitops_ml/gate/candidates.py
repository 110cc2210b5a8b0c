"""What the gate judges: models by the scores that they give to the same rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pipeline.decision import Integers, Policy
from pipeline.schema import Task
from pipeline.tasks import MEASURES, Measures
from pipeline.tasks.scores import Floats, Labels


@dataclass(frozen=True)
class Sensitive:
    """A sensitive column of the evaluation's rows: its values, shape (rows,), None where there is no such column."""

    name: str
    values: npt.NDArray[np.object_] | None
    is_feature: bool = False


@dataclass(frozen=True)
class Evaluation:
    """The rows on which both models are judged.

    `labels` is 0 or 1, the number of a class or a value, `clusters` numbers the rows that share their luck; both of
    shape (rows,). `slices` holds the values of each slicing column, shape (rows,) each. `trivial` holds the scores of
    each trivial model by its name, as the challenger's training data gives them. `digest` is the hash of the evaluation
    set. `policy` is what is decided by the scores, and what that pays. `sensitive` are the columns whose groups must be
    treated alike, `classes` the labels in words.
    """

    labels: Labels
    clusters: Integers
    slices: dict[str, npt.NDArray[np.object_]]
    slice_minimum: int
    calibration_bins: int
    trivial: dict[str, Floats]
    seed: int
    digest: str
    task: Task = "binary"
    policy: Policy | None = None
    sensitive: list[Sensitive] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    @property
    def measures(self) -> Measures:
        """What is measured for the task."""
        return MEASURES[self.task]


@dataclass(frozen=True)
class Candidate:
    """A model's hash, its scores of the evaluation's rows, and what serving it costs."""

    model: str
    scores: Floats
    # The share of the evaluation's rows that stand in the data that trained the model.
    overlap: float = 0.0
    latency_ms: float = 0.0
    # By which way the service scores rows; see gitops_serving.fast.
    tier: str = ""
    size: int = 0
