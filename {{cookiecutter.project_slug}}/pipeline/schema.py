"""The schema: what the table must look like."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, model_validator

ColumnType = Literal["integer", "number", "boolean", "category", "text", "datetime"]
Role = Literal["feature", "target", "time", "key", "ignore"]
Task = Literal["binary", "multiclass", "regression"]
# A value of a class, as it stands in the raw data.
Label = str | int | bool
# The longest value of an open category, and the longest text, that a request may hold.
CATEGORY_LENGTH = 200
TEXT_LENGTH = 20_000


class DataError(Exception):
    """Raw data does not match the schema; the message is one sentence for the person who brought the data."""


class Written(BaseModel):
    """How files write a column where that is not plain; `make data` reads by it, and stores the plain value.

    `decimal`: the sign before decimals. `unit`: what stands beside each number. `order`: of day and month in 1/2/2024.
    `whole`: dates are whole numbers, `digits` as 20240131 or an `epoch`, time since 1970. `missing`: words for a gap
    that are not taken for one by themselves; none at all, and of text only an empty cell is one.
    """

    model_config = ConfigDict(extra="forbid")

    decimal: Literal[".", ","] | None = None
    unit: str = ""
    order: Literal["day-first", "month-first"] | None = None
    whole: Literal["digits", "epoch"] | None = None
    missing: list[StrictStr] | None = None


class Column(BaseModel):
    """One column. `categories` closes the set of values, `open: true` says that new ones are expected over time.

    `quantiles` (minimum, quartiles, maximum), `reason` and `written` are notes of `make data`: what it saw, why it left
    a column out, and how files write it. `personal` says that the service never writes the values down.
    """

    model_config = ConfigDict(extra="forbid")

    type: ColumnType
    role: Role = "feature"
    description: str = ""
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: list[StrictStr | StrictInt] | None = None
    open: bool = False
    zoned: bool = False
    personal: bool = False
    quantiles: list[float] | None = None
    example: int | float | bool | str | None = None
    reason: str = ""
    written: Written | None = None

    @model_validator(mode="after")
    def _settings_fit_the_type(self) -> Self:
        ordered = self.type in ("integer", "number")
        if not ordered and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"a column of type {self.type} has no minimum or maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum:g} is above the maximum {self.maximum:g}")
        if self.zoned and self.type != "datetime":
            raise ValueError(f"only a datetime has a zone, and this column is of type {self.type}")
        if self.type == "category":
            if not self.categories and not self.open:
                raise ValueError("a category lists its categories, or says `open: true`")
            if not all(isinstance(value, str) for value in self.categories or []):
                raise ValueError("the categories of a category are text; put quotes around them")
        elif self.open or (self.categories is not None and not (self.type == "integer" and self.role == "target")):
            raise ValueError(f"only a category has categories, and this one is of type {self.type}")
        if self.categories is not None and len(set(self.categories)) < len(self.categories):
            raise ValueError("a category is listed twice")
        return self


class Schema(BaseModel):
    """Every column of the table, by name. Exactly one has the role `target`; at least one is a feature.

    `dropped` names columns of the source that `make data` leaves out of data/raw.
    """

    model_config = ConfigDict(extra="forbid")

    task: Task = "binary"
    dropped: list[str] = []
    columns: dict[str, Column] = Field(min_length=2)

    @model_validator(mode="after")
    def _roles_make_a_problem(self) -> Self:
        targets = self._with_role("target")
        if len(targets) != 1:
            raise ValueError(f"exactly one column has the role target, not {len(targets)}: {targets}")
        self._require_labels_of_the_task(targets[0], self.columns[targets[0]])
        if not self.features:
            raise ValueError("no column has the role feature")
        return self

    def _require_labels_of_the_task(self, name: str, label: Column) -> None:
        listed = len(label.categories or [])
        match self.task:
            case "binary":
                numbers = label.type == "integer" and (label.minimum, label.maximum) == (0, 1) and not listed
                if not numbers and label.type != "boolean" and (listed != 2 or label.open):
                    raise ValueError(
                        f"the target {name!r} is boolean, or an integer with minimum 0 and maximum 1, or lists two "
                        "categories, of which the second is the positive one"
                    )
            case "multiclass":
                if listed < 3 or label.open:
                    raise ValueError(f"the target {name!r} lists its categories, three or more")
            case "regression":
                if label.type not in ("integer", "number") or listed:
                    raise ValueError(f"the target {name!r} of a regression is a number")

    def _with_role(self, role: Role) -> list[str]:
        return [name for name, column in self.columns.items() if column.role == role]

    @property
    def target(self) -> str:
        """The name of the label's column."""
        return self._with_role("target")[0]

    @property
    def classes(self) -> list[Label]:
        """The label's values in the order of their codes, of two the positive one last; none in a regression."""
        label = self.columns[self.target]
        if self.task == "regression":
            return []
        return list(label.categories or ([False, True] if label.type == "boolean" else [0, 1]))

    @property
    def features(self) -> dict[str, Column]:
        """The columns that the model sees, in the order in which it sees them."""
        return {name: column for name, column in self.columns.items() if column.role == "feature"}
