"""The form of params.yaml: one block per stage, so that a typing error is found before an hour of training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Split(_Block):
    """How prepare divides the rows."""

    by: Literal["time"]
    columns: list[str] = Field(min_length=1)
    test_fraction: float = Field(gt=0, lt=1)


class Prepare(_Block):
    """The block `prepare`."""

    split: Split


class Estimator(_Block):
    """Any class with scikit-learn's interface: its import path and its keyword arguments."""

    path: str = Field(pattern=r"^\w+(\.\w+)+$")
    arguments: dict[str, Any] = {}


class Train(_Block):
    """The block `train`."""

    seed: int
    threads: int = Field(ge=1)
    one_hot_limit: int = Field(ge=0)
    estimator: Estimator


class Importance(_Block):
    """Permutation importance: on how many rows, how often."""

    rows: int = Field(ge=1)
    repeats: int = Field(ge=1)


class Evaluate(_Block):
    """The block `evaluate`."""

    seed: int
    confidence: float = Field(gt=0, lt=1)
    resamples: int = Field(ge=100)
    resample_by: list[str] = []
    slices: list[str] = []
    slice_minimum: int = Field(ge=1)
    calibration_bins: int = Field(ge=2)
    importance: Importance


class Params(_Block):
    """params.yaml."""

    prepare: Prepare
    train: Train
    evaluate: Evaluate
