"""What a request and a response look like, made from the schema: OpenAPI and validation cannot differ from training."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import bentoml
import numpy as np
import numpy.typing as npt
from pipeline.decision import Policy
from pipeline.schema import CATEGORY_LENGTH, TEXT_LENGTH, Column, Label, Schema
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    create_model,
)

from gitops_serving.fast.rows import EXACT

STRICT = ConfigDict(extra="forbid", strict=True, populate_by_name=False)


def row_model(schema: Schema) -> type[BaseModel]:
    """The form of one row: every feature is required, a nullable one may be null, nothing else is accepted."""
    # Aliases carry the columns' names, which need be no Python identifiers.
    fields: dict[str, Any] = {
        f"column_{position}": (_annotation(column), _field(name, column))
        for position, (name, column) in enumerate(schema.features.items())
    }
    example: Any = {name: column.example for name, column in schema.features.items()}
    config = STRICT | ConfigDict(json_schema_extra={"example": example})
    return create_model("Row", __config__=config, **fields)


def requests(schema: Schema, batch_rows: int) -> tuple[type[bentoml.IODescriptor], type[bentoml.IODescriptor]]:
    """The forms of a single and of a batch request: `{"row": {...}}` and `{"rows": [{...}, ...]}`."""
    row = row_model(schema)
    single: dict[str, Any] = {"row": (row, Field(description="One row"))}
    batch: dict[str, Any] = {
        "rows": (list[row], Field(description="Rows", min_length=1, max_length=batch_rows))  # type: ignore[valid-type]
    }
    return (
        create_model("SingleRequest", __base__=bentoml.IODescriptor, **single),
        create_model("BatchRequest", __base__=bentoml.IODescriptor, **batch),
    )


def answers(schema: Schema, policy: Policy | None) -> tuple[type[bentoml.IODescriptor], type[bentoml.IODescriptor]]:
    """The forms of the answer to a single and to a batch request.

    `score` of two classes, `label` and `scores` by class of more, `prediction` of a regression, and the `decision`
    where something is decided; a batch has lists of them, in the order of the rows. Both name the release.
    """
    release: Any = (str, Field(description="The release that answered"))
    one: dict[str, Any]
    match schema.task:
        case "binary":
            meaning = f"Probability that {schema.target} is {_told(schema.classes[1])}"
            one = {"score": (Annotated[float, Field(ge=0, le=1)], meaning)}
        case "multiclass":
            one = {
                "label": (Literal[tuple(schema.classes)], f"The most probable class of {schema.target}"),
                "scores": (dict[str, float], "The probability of each class, by its name"),
            }
        case "regression":
            one = {"prediction": (float, f"What {schema.target} is expected to be")}
    if policy:
        one["decision"] = (Literal[tuple(policy.actions)], f"The action that pays most in the mean, in {policy.unit}")
    single: dict[str, Any] = {name: (kind, Field(description=meaning)) for name, (kind, meaning) in one.items()}
    batch: dict[str, Any] = {
        plural(name): (list[kind], Field(description=f"{meaning}, for each row"))  # type: ignore[valid-type]
        for name, (kind, meaning) in one.items()
    }
    return (
        create_model("Prediction", __base__=bentoml.IODescriptor, **single, release=release),
        create_model("Predictions", __base__=bentoml.IODescriptor, **batch, release=release),
    )


def to_answer(score: float | list[float], schema: Schema, policy: Policy | None) -> dict[str, Any]:
    """What the model says of one row, by the fields of its answer, without the release."""
    found: dict[str, Any]
    if isinstance(score, list):
        names = [str(name) for name in schema.classes]
        found = {"label": schema.classes[score.index(max(score))], "scores": dict(zip(names, score, strict=True))}
    else:
        found = {"score" if schema.task == "binary" else "prediction": score}
    if policy:
        found["decision"] = policy.actions[_chosen(score, policy)]
    return found


def _chosen(score: float | list[float], policy: Policy) -> int:
    """What `Policy.choose` says of one row; of two classes without an array, which would take as long as the rest."""
    if isinstance(score, list):
        return int(policy.choose(np.array([score]))[0])
    expected = [(1 - score) * negative + score * positive for negative, positive in policy.payoffs.tolist()]
    return expected.index(max(expected))


def to_answers(scores: npt.NDArray[np.float64], schema: Schema, policy: Policy | None) -> dict[str, list[Any]]:
    """What the model says of rows, by the fields of a batch's answer, without the release."""
    found: dict[str, list[Any]]
    match schema.task:
        case "binary":
            found = {"scores": scores.tolist()}
        case "multiclass":
            names = [str(name) for name in schema.classes]
            found = {
                "labels": [schema.classes[code] for code in scores.argmax(axis=1)],
                "scores": [dict(zip(names, row, strict=True)) for row in scores.tolist()],
            }
        case "regression":
            found = {"predictions": scores.tolist()}
    if policy:
        found["decisions"] = [policy.actions[action] for action in policy.choose(scores)]
    return found


def plural(name: str) -> str:
    """The name of an answer's field in a batch."""
    return name if name.endswith("s") else f"{name}s"


def values(row: BaseModel) -> list[Any]:
    """What a valid row holds, in the order of the schema's features."""
    return list(row.__dict__.values())


def _annotation(column: Column) -> Any:
    kind: Any
    match column.type:
        case "integer":
            kind = int
        case "number":
            kind = Annotated[float, Field(allow_inf_nan=False)]
        case "boolean":
            kind = bool
        case "datetime":
            moment: Any = AwareDatetime if column.zoned else NaiveDatetime
            kind = Annotated[moment, Field(strict=False), BeforeValidator(_is_text)]
        case "text":
            kind = Annotated[str, Field(max_length=TEXT_LENGTH)]
        case "category" if column.open or not column.categories:
            kind = Annotated[str, Field(min_length=1, max_length=CATEGORY_LENGTH)]
        case "category":
            kind = Literal[tuple(column.categories)]
    low, high = column.minimum, column.maximum
    if column.type == "integer":
        low, high = (-EXACT if low is None else low), (EXACT if high is None else high)
    if low is not None:
        kind = Annotated[kind, Field(ge=low)]
    if high is not None:
        kind = Annotated[kind, Field(le=high)]
    return kind | None if column.nullable else kind


def _is_text(moment: Any) -> Any:
    """A number would be taken for seconds, by one caller, and for milliseconds by another."""
    if not isinstance(moment, str | datetime.datetime):
        raise ValueError("a date is text in the form of ISO 8601")
    return moment


def _told(label: Label) -> str:
    return f"'{label}'" if isinstance(label, str) else str(label).lower()


def _field(name: str, column: Column) -> Any:
    examples = None if column.example is None else [column.example]
    return Field(alias=name, title=name, description=column.description or None, examples=examples)
