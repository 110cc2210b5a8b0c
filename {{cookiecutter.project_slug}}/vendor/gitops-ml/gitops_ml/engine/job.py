"""What is boosted: the rows as one matrix, and how."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xgboost

from gitops_ml.engine.exact import Objective


class Job(NamedTuple):
    """All that decides what comes out, and nothing else. No zero of the matrix is negative."""

    matrix: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    params: dict[str, Any]
    rounds: int
    objective: Objective

    @property
    def max_bin(self) -> int:
        """Of a column."""
        return self.params.get("max_bin") or 256

    @property
    def draws(self) -> bool:
        """Whether columns are drawn: then training cannot go on from the middle, since the draws would begin anew."""
        shares = (value for name, value in self.params.items() if name.startswith("colsample"))
        return any(value is not None and value < 1 for value in shares)

    @property
    def digest(self) -> str:
        """Of all of it, and of the library: another one would go on from the middle of this one's."""
        settings = [xgboost.__version__, self.params, self.rounds, self.objective]
        whole = hashlib.sha256(json.dumps(settings, default=str).encode())
        for values in (self.matrix, self.labels):
            whole.update(np.ascontiguousarray(values).data)
        return whole.hexdigest()
