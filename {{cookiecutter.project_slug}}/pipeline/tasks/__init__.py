"""What is measured, task by task: one module each, all with the names of `Measures`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import pandas as pd

from pipeline.schema import Task
from pipeline.tasks import binary, multiclass, regression
from pipeline.tasks.scores import Floats, Labels


class Measures(Protocol):
    """What a task is measured by.

    The metrics' names and which of them are better the lower, the one by which a model must beat the trivial one, what
    importance is and is scored by. Any of the names can be the gate's.
    """

    NAMES: tuple[str, ...]
    LOWER_IS_BETTER: frozenset[str]
    DECISIVE: str
    IMPORTANCE: str
    SCORING: Any

    def measure(self, labels: Labels, scores: Floats) -> dict[str, float]:
        """Each metric on all rows."""

    def resampled(self, labels: Labels, scores: Floats, draws: Iterable[Floats]) -> dict[str, Floats]:
        """Each metric on each draw of weights."""

    def facts(self, labels: Labels, scores: Floats, bins: int) -> dict[str, float]:
        """What describes labels and scores beside the metrics."""

    def valid(self, scores: Floats) -> bool:
        """Whether the scores can be judged."""

    def curves(self, labels: Labels, scores: Floats, bins: int) -> dict[str, pd.DataFrame]:
        """The data of the plots."""


MEASURES: dict[Task, Measures] = {"binary": binary, "multiclass": multiclass, "regression": regression}
