"""A task: makes the output of an input from what came of its pieces."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gitops_ml.batch.piece import DONE, FACTS, ROW, writer
from gitops_ml.batch.store import Store
from gitops_ml.core.errors import UserError

REJECTED = ".rejected.parquet"


@dataclass(frozen=True)
class Whole:
    """An input all of whose pieces are done; `facts` go into the metadata of its output."""

    out: str
    work: str
    target: str
    pieces: int
    facts: dict[str, str]


@dataclass(frozen=True)
class Joined:
    """What the output of an input holds."""

    target: str
    rows: int
    rejected: int


def join(whole: Whole) -> Joined:
    """Write the output, and what was rejected beside it; the output comes last.

    Raises:
        UserError: a piece is damaged; it is taken away, so that it is made anew next time.
    """
    store = Store(whole.out)
    counts = [_facts(store, whole, number) for number in range(whole.pieces)]
    rows, rejected = sum(each["rows"] for each in counts), sum(each["rejected"] for each in counts)
    facts = {**whole.facts, "rows": str(rows), "rejected": str(rejected)}
    offsets = [sum(each["rows"] for each in counts[:number]) for number in range(whole.pieces)]
    some = {number: offsets[number] for number, each in enumerate(counts) if each["rejected"]}
    if some:
        _write(store, whole, "rejected", some, facts)
    else:
        store.remove(_beside(whole.target))
    _write(store, whole, "said", dict(enumerate(offsets)), facts)
    return Joined(whole.target, rows, rejected)


def _facts(store: Store, whole: Whole, number: int) -> dict[str, int]:
    name = f"{whole.work}/{number:06}.said"
    try:
        with store.open(name) as file:
            found: dict[str, int] = json.loads(pq.read_metadata(file).metadata[DONE.encode()])
            return found
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        store.remove(name)
        raise UserError(f"{store.url}/{name} was damaged and is taken away: the same command makes it anew") from error


def _beside(target: str) -> str:
    return target.removesuffix(".parquet") + REJECTED


def _write(store: Store, whole: Whole, kind: str, offsets: dict[int, int], facts: dict[str, str]) -> None:
    """Put pieces of a kind one after the other; `offsets`: how many rows of the input lie before each."""
    metadata = {f"{FACTS}{name}": value for name, value in facts.items()}
    with tempfile.TemporaryDirectory() as folder:
        path, sheet = Path(folder) / "whole.parquet", None
        try:
            for number, offset in offsets.items():
                with store.open(f"{whole.work}/{number:06}.{kind}") as file:
                    piece = pq.ParquetFile(file)
                    if sheet is None:
                        sheet = writer(path, piece.schema_arrow.with_metadata(metadata))
                    for group in range(piece.num_row_groups):
                        table = piece.read_row_group(group)
                        moved = pc.add(table.column(ROW), offset)
                        table = table.set_column(table.column_names.index(ROW), ROW, moved)
                        if len(table):
                            sheet.write_table(table.replace_schema_metadata(metadata))
        finally:
            if sheet is not None:
                sheet.close()
        store.move_in(path, whole.target if kind == "said" else _beside(whole.target))
