"""The form of params.yaml: one block per stage, so that a typing error is found before an hour of training."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.schema import Schema


class ParamsError(Exception):
    """params.yaml does not fit the schema; the message names the setting."""


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Split(_Block):
    """How prepare divides the rows: the newest judge, or whole groups do, or rows drawn within each class.

    `columns` orders the rows by time, or names the groups. `seed` draws rows and groups; time needs none.
    """

    by: Literal["time", "group", "random"]
    columns: list[str] = []
    test_fraction: float = Field(gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=10**16)

    @model_validator(mode="after")
    def _columns_fit_the_kind(self) -> Self:
        if bool(self.columns) == (self.by == "random"):
            raise ValueError("a split by time or by group names its columns, a random one has none")
        return self


class Prepare(_Block):
    """The block `prepare`."""

    split: Split


class Estimator(_Block):
    """Any class with scikit-learn's interface: its import path and its keyword arguments."""

    path: str = Field(pattern=r"^\w+(\.\w+)+$")
    arguments: dict[str, Any] = {}


class Train(_Block):
    """The block `train`. It names one estimator, or candidates to be compared, the simplest first."""

    seed: int = Field(ge=0, lt=2**32)
    threads: int = Field(ge=1)
    one_hot_limit: int = Field(ge=0)
    text_components: int = Field(default=30, ge=1)
    estimator: Estimator | None = None
    candidates: list[Estimator] = []

    @model_validator(mode="after")
    def _something_is_named(self) -> Self:
        if (self.estimator is None) == (not self.candidates):
            raise ValueError("name one estimator, or candidates to be compared: one of the two")
        return self

    def naming(self, estimator: Estimator) -> Train:
        """The same, with this one estimator."""
        return self.model_copy(update={"estimator": estimator, "candidates": []})


class Rule(BaseModel):
    """By which metric candidates are compared, and how much worse still counts as equal: as `gate` of project.yaml."""

    metric: str
    margin: float
    confidence: float


class Importance(_Block):
    """Permutation importance: on how many rows, how often."""

    rows: int = Field(ge=1)
    repeats: int = Field(ge=1)


class Evaluate(_Block):
    """The block `evaluate`."""

    seed: int = Field(ge=0, lt=2**32)
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
    # What `make search` tries; no stage reads it.
    search: dict[str, Any] | None = None

    def check_columns(self, schema: Schema) -> None:
        """Hold the columns that the params name to those of the schema.

        Raises:
            ParamsError: a column is not among them, or cannot order the rows; the message names the setting.
        """
        named = {
            "prepare.split.columns": self.prepare.split.columns,
            "evaluate.resample_by": self.evaluate.resample_by,
            "evaluate.slices": self.evaluate.slices,
        }
        for setting, columns in named.items():
            for column in columns:
                if column not in schema.columns:
                    raise ParamsError(f"params.yaml: {setting} names the column {column!r}, which schema.yaml lacks")
        for column in self.prepare.split.columns if self.prepare.split.by == "time" else []:
            if schema.columns[column].nullable or schema.columns[column].type not in ("integer", "number", "datetime"):
                raise ParamsError(
                    f"params.yaml: prepare.split.columns names {column!r}, which cannot order rows by time: such a "
                    "column is a number or a date, and never empty"
                )
