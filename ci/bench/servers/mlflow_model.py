"""MLflow: the model as a folder, which `mlflow models serve` serves."""

from __future__ import annotations

import sys
from typing import Any

import mlflow
import numpy as np
import pandas as pd


class Model(mlflow.pyfunc.PythonModel):
    """Scores rows."""

    def load_context(self, context: Any) -> None:
        """The fitted Pipeline, once."""
        import served  # noqa: PLC0415 - where the model is served, not where it is saved

        self.served = served

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> np.ndarray:
        """Score rows."""
        from pipeline import model  # noqa: PLC0415
        from pipeline.validation import cast  # noqa: PLC0415

        rows = cast(model_input[self.served.COLUMNS], self.served.SCHEMA.features)
        return model.score(self.served.PIPELINE, rows)


if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[1], python_model=Model())
