"""Takes a file in: reads it twice in pieces, decides, checks the result against itself, and only then replaces."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pipeline.schema import Column, DataError, Schema, validate

from gitops_ml.core.errors import UserError
from gitops_ml.intake import columns, sources
from gitops_ml.intake.columns import Reading, Spelling
from gitops_ml.intake.facts import Facts
from gitops_ml.intake.sources import Source

RAW = Path("data/raw")
WORK = Path("build/data")
SAMPLE_ROWS = 100_000
# The forms that hold what a column of the schema needs; the first that fits is taken.
FORMS_OF = {
    "integer": ["integer"],
    "number": ["integer", "number", "decimal comma", "thousands comma"],
    "boolean": ["boolean"],
    "datetime": list(columns.DATES),
    "category": [],
    "text": [],
}


@dataclass(frozen=True)
class Taken:
    """A file in its types: the Parquet file made of it, the facts of its columns, and some of its rows."""

    path: Path
    facts: dict[str, Facts]
    sample: pd.DataFrame


def forms(source: Source, drop: tuple[str, ...], spelling: Spelling) -> tuple[dict[str, str], int]:
    """The form in which each column can be read, recognised in a first pass, and the number of rows.

    Raises:
        UserError: the file is damaged, or a column could be read in two ways or in none.
    """
    readings, rows = _readings(source, drop, spelling)
    # One column whose comma is clear says what the others mean.
    if spelling.decimal is None and any(
        each.decimal and each.failed["decimal comma"] == 0 for each in readings.values()
    ):
        spelling = replace(spelling, decimal=",")
    return {name: reading.decide(source.untyped, spelling) for name, reading in readings.items()}, rows


def forms_by_schema(source: Source, schema: Schema, spelling: Spelling) -> tuple[dict[str, str], int]:
    """The form in which each column is what the schema says, recognised in a first pass, and the number of rows.

    Raises:
        UserError: a column is not what the schema says; the message names it.
    """
    readings, rows = _readings(source, tuple(schema.dropped), spelling)
    found = {}
    for name, reading in readings.items():
        column = schema.columns.get(name)
        found[name] = (
            reading.decide(source.untyped, spelling) if column is None else _form(reading, column, source, spelling)
        )
    return found, rows


def write(source: Source, drop: tuple[str, ...], found: dict[str, str], rows: int, spelling: Spelling) -> Taken:
    """Read the file again, in its types, and write it as Parquet.

    Raises:
        UserError: a value cannot be held in its type.
    """
    facts = {name: Facts(name) for name in found}
    form = pa.schema([(name, _arrow(kind)) for name, kind in found.items()])
    # Drawn, not every so many, which could hit the same place of a pattern again and again.
    random = np.random.default_rng(0)
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / f"{_slug(source.path)}-{_digest(source.path)}.parquet"
    sample = []
    with pq.ParquetWriter(path, form) as writer:
        for piece in sources.pieces(source, drop):
            typed = pd.DataFrame({name: _typed(piece, name, kind, source, spelling) for name, kind in found.items()})
            for name in found:
                facts[name].learn(typed[name])
            sample.append(typed if rows <= SAMPLE_ROWS else typed[random.random(len(typed)) < SAMPLE_ROWS / rows])
            writer.write_table(_table(typed, form))
    return Taken(path, facts, pd.concat(sample, ignore_index=True))


def require_fit(taken: Taken, schema: Schema) -> None:
    """Hold the new Parquet file to the schema, piece by piece.

    Raises:
        UserError: it differs; the message names the columns.
    """
    for batch in pq.ParquetFile(taken.path).iter_batches(batch_size=sources.PIECE_ROWS):
        try:
            validate(pa.Table.from_batches([batch]).to_pandas(ignore_metadata=True), schema)
        except DataError as error:
            raise UserError(str(error)) from error


def _readings(source: Source, drop: tuple[str, ...], spelling: Spelling) -> tuple[dict[str, Reading], int]:
    readings = {name: Reading(name) for name in sources.names(source) if name not in drop}
    rows = 0
    for piece in sources.pieces(source, drop):
        rows += len(piece)
        for name in map(str, piece):
            values = columns.present(piece[name], source, spelling.missing).dropna()
            reading = readings.setdefault(name, Reading(name))
            reading.learn_text(values) if source.untyped else reading.learn_values(values)
    if not rows:
        raise UserError(f"{source.path}: the table has no rows")
    return readings, rows


def _form(reading: Reading, column: Column, source: Source, spelling: Spelling) -> str:
    if not reading.present:
        return {"category": "text", "datetime": "ISO date with zone" if column.zoned else "ISO date"}.get(
            column.type, column.type
        )
    if column.type in ("category", "text") or not (source.untyped or reading.kinds == {"text"}):
        return "text" if column.type in ("category", "text") else _own(reading, column)
    fitting = [form for form in FORMS_OF[column.type] if not reading.failed[form]]
    if not fitting:
        wanted = {"integer": "whole numbers", "number": "numbers", "boolean": "true and false", "datetime": "dates"}
        nearest = min(FORMS_OF[column.type], key=lambda form: reading.failed[form])
        raise UserError(
            f"column {reading.name!r} should hold {wanted[column.type]}, but has {reading.odd[nearest][:60]!r} "
            f"({reading.failed[nearest]} of {reading.present} values differ)"
        )
    return fitting[0] if len(fitting) == 1 or column.type == "number" else reading.decide(source.untyped, spelling)


def _own(reading: Reading, column: Column) -> str:
    """The type that the file itself gives; the schema judges it."""
    if reading.kinds <= {"integer", "number"} and column.type in ("integer", "number"):
        return "number" if "number" in reading.kinds else "integer"
    if len(reading.kinds) > 1:
        raise UserError(f"column {reading.name!r} mixes {' and '.join(sorted(reading.kinds))}")
    return next(iter(reading.kinds))


def _typed(piece: pd.DataFrame, name: str, form: str, source: Source, spelling: Spelling) -> pd.Series:
    # An object of JSON may lack a name in a whole piece.
    if name not in piece:
        piece = piece.assign(**{name: None})
    values = columns.present(piece[name], source, spelling.missing)
    try:
        if form == "text" and not source.untyped:
            values = values.map(str, na_action="ignore")
        return columns.read(values, form)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"column {name!r} holds values that are too large or too far in time ({error})") from error


def _arrow(form: str) -> pa.DataType:
    if form == "boolean":
        return pa.bool_()
    if form == "integer":
        return pa.int64()
    if form in ("number", "decimal comma", "thousands comma"):
        return pa.float64()
    if form == "datetime" or (form in columns.DATES and not form.endswith("zone")):
        return pa.timestamp("us")
    return pa.timestamp("us", "UTC") if form.endswith("zone") else pa.string()


def _table(typed: pd.DataFrame, form: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pandas(typed, form, preserve_index=False, safe=False).replace_schema_metadata()
    except pa.ArrowException as error:
        raise UserError(f"a value cannot be stored: {error}") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _slug(path: Path) -> str:
    """The file's name without what file systems and shells may stumble over."""
    name = re.sub(r"(\.(csv|tsv|txt|jsonl|ndjson|json|parquet|gz))+$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60] or "table"


@contextmanager
def workplace() -> Iterator[None]:
    """A folder for what is not yet whole, gone afterwards."""
    try:
        yield
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
