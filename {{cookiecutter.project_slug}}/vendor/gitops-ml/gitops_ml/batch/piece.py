"""A task: a piece of an input to be scored, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gitops_ml.batch.look import Input

Way = Literal["trees", "columns", "pipeline"]
# Beside the columns that are carried through.
ROW, REASON = "row", "reason"
# What a file says of itself, in its metadata; a piece says what came of it.
FACTS = "gitops-ml."
DONE = f"{FACTS}done"
INPUTS = "input."


@dataclass(frozen=True)
class Piece:
    """A piece of an input, and where what comes of it is put: below `name` of the store at `out`."""

    source: Input
    number: int
    out: str
    name: str
    release: str
    model: str
    tier: str
    sample: float
    logged: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """What came of a piece."""

    rows: int
    rejected: int
    bytes: int
    way: Way
    reason: str


def score(piece: Piece) -> Done:
    """Score a piece; its file is there once all of it is done.

    Raises:
        UserError: the input is damaged, was changed meanwhile, or a place cannot be read or written.
    """
    from gitops_ml.batch import score  # noqa: PLC0415 - whoever only waits for it needs none of a model's packages

    return score.score(piece)


def writer(place: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """What writes a Parquet file; of numbers, which seldom repeat, it makes no dictionary."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetWriter(place, schema, use_dictionary=texts or False)
