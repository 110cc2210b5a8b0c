"""What is tried: `search` of params.yaml, or without it what suits the task."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

from optuna.trial import Trial
from pipeline.model import EstimatorError
from pipeline.params import Estimator, Train
from pipeline.schema import Task
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gitops_ml.core.errors import UserError
from gitops_ml.engine import estimators

# Settings of `train` that may be tried, too.
ENCODINGS = ("one_hot_limit", "text_components")
CHOSEN = "estimator"
BOOSTING = {
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "max_iter": {"low": 50, "high": 500, "step": 50},
    "max_leaf_nodes": [7, 15, 31, 63],
    "min_samples_leaf": [5, 20, 80],
    "l2_regularization": [0.0, 0.1, 1.0, 10.0],
}
CLASSIFIERS = [
    {"path": "sklearn.ensemble.HistGradientBoostingClassifier", "arguments": BOOSTING},
    {
        "path": "sklearn.linear_model.LogisticRegression",
        "arguments": {"C": {"low": 0.001, "high": 100, "log": True}, "max_iter": 1000},
    },
]
REGRESSORS = [
    {"path": "sklearn.ensemble.HistGradientBoostingRegressor", "arguments": BOOSTING},
    {"path": "sklearn.linear_model.Ridge", "arguments": {"alpha": {"low": 0.001, "high": 1000, "log": True}}},
]
DEFAULTS: dict[Task, list[dict[str, Any]]] = {
    "binary": CLASSIFIERS,
    "multiclass": CLASSIFIERS,
    "regression": REGRESSORS,
}


class Range(BaseModel):
    """Numbers between two limits, both included; whole ones if both limits are. `log`: small ones as often as large."""

    model_config = ConfigDict(extra="forbid")

    low: int | float
    high: int | float
    step: int | float | None = Field(default=None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _holds_something(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range begins above 0, not at {self.low}")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic range has no step")
        return self

    def drawn(self, trial: Trial, name: str) -> int | float:
        """The value that a trial takes."""
        if isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float):
            return trial.suggest_int(name, self.low, self.high, step=self.step or 1, log=self.log)
        # As many digits as matter, and as a person would write.
        return float(f"{trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log):.3g}")


class Wanted(BaseModel):
    """An estimator, and for each argument a range, a list of values, or one value."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(pattern=r"^\w+(\.\w+)+$")
    arguments: dict[str, Range | list[Any] | bool | int | float | str | None] = {}


class Space(BaseModel):
    """`search` of params.yaml."""

    model_config = ConfigDict(extra="forbid")

    trials: int = Field(default=60, ge=1)
    estimators: list[Wanted] = []
    one_hot_limit: Range | list[int] | None = None
    text_components: Range | list[int] | None = None

    @model_validator(mode="after")
    def _lists_hold_something(self) -> Space:
        lists = {f"{each.path}: {name}": value for each in self.estimators for name, value in each.arguments.items()}
        lists |= {name: getattr(self, name) for name in ENCODINGS}
        for name, value in lists.items():
            if value == []:
                raise ValueError(f"{name} has no values to choose from")
        return self

    def drawn(self, trial: Trial, train: Train) -> Train:
        """The block `train` that a trial takes."""
        number = trial.suggest_categorical(CHOSEN, list(range(len(self.estimators)))) if len(self.estimators) > 1 else 0
        wanted = self.estimators[number]
        arguments = {
            name: _drawn(trial, f"{wanted.path.rpartition('.')[2]}.{name}", value)
            for name, value in wanted.arguments.items()
        }
        found = train.naming(Estimator(path=wanted.path, arguments=arguments))
        settings = {
            name: _drawn(trial, name, value) for name in ENCODINGS if (value := getattr(self, name)) is not None
        }
        return found.model_copy(update=settings)


def read(found: Any, task: Task) -> Space:
    """The space that `search` of params.yaml describes.

    Raises:
        UserError: it has not the form of one, or an estimator cannot be had with such arguments; the message names it.
    """
    try:
        space = Space.model_validate(found or {})
    except ValidationError as error:
        first = error.errors()[0]
        # Beside the names, pydantic says which form of a value it tried.
        names = [str(each) for each in first["loc"] if re.fullmatch(r"[a-z0-9_]+|[A-Z]", str(each))]
        place = ".".join(["search", *names])
        raise UserError(f"params.yaml: {place}: {first['msg'].removeprefix('Value error, ')}") from error
    if not space.estimators:
        space.estimators = [Wanted.model_validate(each) for each in DEFAULTS[task]]
    for each in space.estimators:
        _require_arguments(each)
    return space


def _drawn(trial: Trial, name: str, value: Any) -> Any:
    if isinstance(value, Range):
        return value.drawn(trial, name)
    if isinstance(value, list):
        # Optuna takes plain values alone, and a list may hold others.
        return value[trial.suggest_categorical(name, list(range(len(value))))] if len(value) > 1 else value[0]
    return value


def _require_arguments(wanted: Wanted) -> None:
    module, _, name = wanted.path.rpartition(".")
    try:
        made = estimators.kind(wanted.path) if "dask" in wanted.path.lower() else getattr(import_module(module), name)
    except EstimatorError as error:
        raise UserError(f"params.yaml: search: {error}") from error
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"params.yaml: search: {wanted.path} is not installed: name it under train.candidates, too, and run "
            f"`make setup` ({error})"
        ) from error
    known = inspect.signature(made).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values()):
        return
    if unknown := [argument for argument in wanted.arguments if argument not in known]:
        raise UserError(f"params.yaml: search: {name} has no argument {unknown[0]!r}; it has {', '.join(known)}")
