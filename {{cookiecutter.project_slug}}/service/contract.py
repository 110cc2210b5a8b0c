"""What a request and a response look like, made from the schema: OpenAPI and validation cannot differ from training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import bentoml
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, create_model

from pipeline.schema import Column, Schema, cast

# The longest text that an open category may hold.
TEXT_LENGTH = 200
# Integers up to here are exact in JSON and in the table.
EXACT = 2**53
STRICT = ConfigDict(extra="forbid", strict=True, populate_by_name=False)


class Prediction(BaseModel):
    """The answer for one row."""

    score: float = Field(description="Probability that the label is 1", ge=0, le=1)
    release: str = Field(description="The release that answered")


class Predictions(BaseModel):
    """The answer for many rows, in the order of the request."""

    scores: list[float] = Field(description="For each row, the probability that the label is 1")
    release: str = Field(description="The release that answered")


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


def to_table(rows: list[BaseModel], schema: Schema) -> pd.DataFrame:
    """The rows as the table on which the pipeline was trained: same columns, order and types."""
    columns = schema.features
    return cast(pd.DataFrame([row.model_dump(by_alias=True) for row in rows], columns=list(columns)), columns)


def _annotation(column: Column) -> Any:
    kind: Any
    match column.type:
        case "integer":
            kind = int
        case "number":
            kind = Annotated[float, Field(allow_inf_nan=False)]
        case "boolean":
            kind = bool
        case "category" if column.open or not column.categories:
            kind = Annotated[str, Field(min_length=1, max_length=TEXT_LENGTH)]
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


def _field(name: str, column: Column) -> Any:
    examples = None if column.example is None else [column.example]
    return Field(alias=name, title=name, description=column.description or None, examples=examples)
