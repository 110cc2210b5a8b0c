"""Takes a file in: reads it twice in pieces, decides, checks the result against itself, and only then replaces."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pipeline.schema import DataError, Schema
from pipeline.validation import validate

from gitops_ml.core.errors import UserError
from gitops_ml.intake.facts import Facts
from gitops_ml.reading import sources
from gitops_ml.reading.columns import Column
from gitops_ml.reading.forms import Form, present, read
from gitops_ml.reading.sources import Source

RAW = Path("data/raw")
WORK = Path("build/data")
SAMPLE_ROWS = 100_000


@dataclass(frozen=True)
class Taken:
    """A file in its types: the Parquet file made of it, the facts of its columns, and some of its rows."""

    path: Path
    facts: dict[str, Facts]
    sample: pd.DataFrame


def look(source: Source, drop: tuple[str, ...], said: frozenset[str]) -> dict[str, Column]:
    """What was met in each column, in a first pass.

    Raises:
        UserError: the file is damaged, or has no rows.
    """
    found = {name: Column(name, source.untyped) for name in sources.names(source) if name not in drop}
    rows = 0
    for piece in sources.pieces(source, drop):
        for name in map(str, piece):
            # An object of JSON may bring a name that none before it had.
            found.setdefault(name, Column(name, source.untyped, rows, rows)).learn(piece[name], said)
        rows += len(piece)
        for column in found.values():
            column.empty += rows - column.rows
            column.rows = rows
    if not rows:
        raise UserError(f"{source.path}: the table has no rows")
    return found


def write(source: Source, drop: tuple[str, ...], forms: dict[str, Form], rows: int) -> Taken:
    """Read the file again, in its types, and write it as Parquet.

    Raises:
        UserError: a value cannot be held in its type, or the file is not what it was in the first pass.
    """
    facts = {name: Facts(name) for name in forms}
    schema = pa.schema([(name, form.arrow()) for name, form in forms.items()])
    # Drawn, not every so many, which could hit the same place of a pattern again and again.
    random = np.random.default_rng(0)
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / f"{_slug(source.path)}-{source.digest[:8]}.parquet"
    sample, done = [], 0
    with pq.ParquetWriter(path, schema) as writer:
        for piece in sources.pieces(source, drop):
            typed = pd.DataFrame({name: _typed(piece, name, form, source, done) for name, form in forms.items()})
            done += len(typed)
            for name in forms:
                facts[name].learn(typed[name])
            sample.append(typed if rows <= SAMPLE_ROWS else typed[random.random(len(typed)) < SAMPLE_ROWS / rows])
            writer.write_table(_table(typed, schema))
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


def _typed(piece: pd.DataFrame, name: str, form: Form, source: Source, before: int) -> pd.Series:
    # An object of JSON may lack a name in a whole piece.
    values = piece[name] if name in piece else pd.Series(None, piece.index, dtype=object)
    try:
        found = read(values, form, source.untyped)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"column {name!r} holds values that are too large or too far in time ({error})") from error
    lost = (found.isna() & present(values, form, source.untyped).notna()).to_numpy(dtype=bool)
    if lost.any():
        row = int(lost.argmax())
        what = {"datetime": "date"}.get(form.kind, form.kind)
        raise UserError(f"column {name!r}: {str(values.iloc[row])[:60]!r} in row {before + row + 1} is no {what}")
    return found


def _table(typed: pd.DataFrame, form: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pandas(typed, form, preserve_index=False, safe=False).replace_schema_metadata()
    except pa.ArrowException as error:
        raise UserError(f"a value cannot be stored: {error}") from error


def _slug(path: Path) -> str:
    """The file's name without what file systems and shells may stumble over."""
    name = re.sub(r"(\.(csv|tsv|txt|jsonl|ndjson|json|parquet|xlsx|xlsm|gz))+$", "", path.name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60] or "table"


@contextmanager
def workplace() -> Iterator[None]:
    """A folder for what is not yet whole, gone afterwards."""
    try:
        yield
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
