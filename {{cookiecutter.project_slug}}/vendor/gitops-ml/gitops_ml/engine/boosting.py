"""Estimators that may be trained on several machines: `xgboost.dask.*` of params.yaml, here or on the engine's workers.

What comes out is xgboost's own XGBClassifier or XGBRegressor, the same to the bit with any number of workers, threads
or none of both (see `exact`); whoever loads it needs neither this module nor Dask. pipeline/model.py asks for it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost
from pipeline.model import EstimatorError
from xgboost import XGBClassifier, XGBRegressor

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.engine import exact
from gitops_ml.engine.engine import VARIABLE, parsed, together
from gitops_ml.engine.job import Job

# What was compared on one machine and several. Of rows, each worker would draw its own.
SAME = {
    "base_score", "colsample_bylevel", "colsample_bynode", "colsample_bytree", "gamma", "grow_policy",
    "interaction_constraints", "learning_rate", "max_bin", "max_delta_step", "max_depth", "max_leaves",
    "min_child_weight", "monotone_constraints", "n_estimators", "n_jobs", "random_state", "reg_alpha", "reg_lambda",
    "scale_pos_weight", "tree_method", "verbosity",
}  # fmt: skip
ROW_SAMPLES = {"subsample", "sampling_method"}


class DaskXGBClassifier(XGBClassifier):  # type: ignore[misc]
    """A classifier; once fitted, it is an XGBClassifier."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        _require_same(self, XGBClassifier())

    def fit(self, matrix: npt.ArrayLike, labels: npt.ArrayLike) -> XGBClassifier:
        """Fit to labels 0, 1, 2 ..."""
        found = np.asarray(labels)
        classes = np.unique(found)
        if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
            raise ValueError(
                f"the labels are {classes.tolist()[:5]}, and must be 0, 1 and so on, of two classes at least"
            )
        if len(classes) > 2 and self.scale_pos_weight is not None:
            raise EstimatorError(f"scale_pos_weight is for two classes, and here are {len(classes)}: leave it out")
        self.n_classes_ = len(classes)
        self.objective = "multi:softprob" if len(classes) > 2 else "binary:logistic"
        number = {"num_class": len(classes)} if len(classes) > 2 else {}
        shares = np.bincount(found.astype(int)) / len(found)
        return _fitted(self, matrix, found, _first_said(shares), number)


class DaskXGBRegressor(XGBRegressor):  # type: ignore[misc]
    """A regressor; once fitted, it is an XGBRegressor."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        _require_same(self, XGBRegressor())

    def fit(self, matrix: npt.ArrayLike, labels: npt.ArrayLike) -> XGBRegressor:
        """Fit to numbers."""
        found = np.asarray(labels, np.float32).astype(np.float64)
        start = float(np.float32(math.fsum(found) / len(found)))
        return _fitted(self, matrix, found, start, {})


def _require_same(estimator: Any, default: Any) -> None:
    """Hold the arguments to those that change nothing with the number of workers."""
    usual = default.get_params()
    for name, value in estimator.get_params().items():
        if name in SAME or repr(value) == repr(usual.get(name)):
            continue
        if name in ROW_SAMPLES:
            raise EstimatorError(
                f"{name} draws rows on each worker by itself, so that the model would depend on how many there are: "
                "leave it out, or draw columns (colsample_bytree)"
            )
        if name == "early_stopping_rounds":
            raise EstimatorError(f"{name} needs rows to stop by, which no estimator of the pipeline is given")
        raise EstimatorError(f"{name} is not known to give the same model on any number of workers: leave it out")
    weight = estimator.scale_pos_weight
    if weight is not None and (isinstance(estimator, XGBRegressor) or not weight > 0):
        raise EstimatorError("scale_pos_weight is above 0, and for two classes: leave it out")
    if (estimator.max_bin or 0) > exact.MOST_BINS:
        raise EstimatorError(f"max_bin is {exact.MOST_BINS} at most")
    if estimator.tree_method not in (None, "auto", "hist"):
        raise EstimatorError(
            f"tree_method {estimator.tree_method!r} looks at all rows at once, and only `hist` at bins that are the "
            "same on every worker"
        )


def _first_said(shares: npt.NDArray[np.float64]) -> Any:
    """What is said of each row before the first tree, as xgboost estimates it: of two classes the share of class 1."""
    if len(shares) < 3:
        return float(np.float32(shares[-1]))
    logarithms = np.log(shares)
    return [float(np.float32(each)) for each in logarithms - logarithms.mean()]


def _fitted(estimator: Any, matrix: npt.ArrayLike, labels: npt.NDArray[Any], start: Any, more: dict[str, Any]) -> Any:
    # Draws of columns begin anew with each round: on several workers they do in any case.
    params = estimator.get_xgb_params() | more | {"objective": estimator.objective, "seed_per_iteration": True}
    params["base_score"] = start if params.get("base_score") is None else params["base_score"]
    threads, weight = params.pop("n_jobs", None), params.pop("scale_pos_weight", None) or 1.0
    asked = exact.objective(estimator.objective, labels, params["base_score"], weight)
    # Of -0.0 and 0.0 in one bin, the order of rows would decide which one a split names.
    found = np.array(matrix, np.float32)
    found += 0
    job = Job(found, labels.astype(np.float32), params, estimator.get_num_boosting_rounds(), asked)
    raw = _trained(job, threads)
    estimator._Booster = xgboost.Booster(params | {"nthread": threads or 1}, model_file=bytearray(raw))
    # From here on it is what the library knows, and so does its file.
    estimator.__class__ = type(estimator).__base__
    return estimator


def _trained(job: Job, threads: int | None) -> bytes:
    try:
        _, address = parsed(_where())
        return together().train(address, job, _told) if address else here(job, threads)
    except UserError as error:
        raise EstimatorError(str(error)) from error


def here(job: Job, threads: int | None) -> bytes:
    """Boost on so many threads of this machine; the model in xgboost's form UBJ."""
    rows = xgboost.QuantileDMatrix(job.matrix, job.labels, max_bin=job.max_bin, nthread=threads)
    params = job.params | {"nthread": threads}
    booster = xgboost.train(params, rows, job.rounds, obj=job.objective, verbose_eval=False)
    return bytes(booster.save_raw("ubj"))


def _told(line: str) -> None:
    print(line, flush=True)


def _where() -> str:
    """The engine: of the command's option, of project.yaml, or where there is none, as in a search's task, this one."""
    if named := os.environ.get(VARIABLE):
        return named
    here = Path.cwd()
    return project.read(here).engine if (here / "project.yaml").exists() else "local"
