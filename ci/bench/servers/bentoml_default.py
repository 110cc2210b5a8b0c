"""BentoML as its own first steps show it: a table in, scores out."""

from __future__ import annotations

import bentoml
import numpy as np
import pandas as pd
from pipeline import model
from pipeline.validation import cast
from served import COLUMNS, PIPELINE, SCHEMA


@bentoml.service(workers=1)
class Model:
    """Scores rows."""

    @bentoml.api
    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Score rows."""
        return model.score(PIPELINE, cast(rows[COLUMNS], SCHEMA.features))
