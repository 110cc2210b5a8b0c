"""Which estimators for Dask params.yaml may name, and why not others. Asked for by pipeline/model.py."""

from __future__ import annotations

import importlib
from typing import cast

from pipeline.model import EstimatorError

KINDS = ("xgboost.dask.DaskXGBClassifier", "xgboost.dask.DaskXGBRegressor")


def kind(path: str) -> type:
    """The class that an import path means: one that trains here or on the engine, and gives the same model.

    Raises:
        EstimatorError: it is none that gives the same model on any number of workers; the message says why.
        ImportError: its package is not installed.
    """
    known = " and ".join(KINDS)
    if path in KINDS:
        return cast(type, getattr(importlib.import_module("gitops_ml.engine.boosting"), path.rpartition(".")[2]))
    if path.startswith("lightgbm."):
        raise EstimatorError(
            f"{path} gave different models of the same rows on two workers, even with `deterministic`, so that nobody "
            f"could make a release's model again: train lightgbm.{path.rpartition('.Dask')[2]} on one machine, or take "
            f"{known}"
        )
    raise EstimatorError(
        f"{path} is not known to give the same model on any number of workers; of the estimators for Dask, {known} do"
    )
