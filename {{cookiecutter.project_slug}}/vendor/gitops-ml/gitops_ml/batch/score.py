"""Scores a piece of an input, and leaves what came of it in the work folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pipeline import persistence
from pipeline.decision import Decision, Policy, policy
from pipeline.schema import Column, Schema

from gitops_ml.batch import fit, look, read
from gitops_ml.batch.columns import Columnar, arrow
from gitops_ml.batch.look import Input
from gitops_ml.batch.piece import DONE, INPUTS, REASON, ROW, Done, Piece, writer
from gitops_ml.batch.store import Store
from gitops_ml.core.errors import UserError


@dataclass(frozen=True)
class Model:
    """The release that the code of this process holds."""

    schema: Schema
    policy: Policy | None
    scorer: Columnar


@cache
def model(tier: str) -> Model:
    """Load it, once in each process; its files are in the working directory. `tier`: by which it was proven.

    Raises:
        UserError: it cannot be loaded.
    """
    settings = yaml.safe_load(Path("project.yaml").read_text(encoding="utf-8"))
    schema = Schema.model_validate(yaml.safe_load(Path("schema.yaml").read_text(encoding="utf-8")))
    facts = persistence.ModelFacts.model_validate_json(Path("models/model.json").read_bytes())
    decision = Decision.model_validate(settings["decision"]) if settings.get("decision") else None
    if facts.features != list(schema.features):
        raise UserError("the model was trained on other columns than the release's schema.yaml has")
    try:
        pipeline = persistence.load(Path("models/model.skops").read_bytes(), facts, settings["trusted_types"])
    except persistence.ModelError as error:
        raise UserError(str(error)) from error
    return Model(schema, policy(decision, schema), Columnar(pipeline, schema, tier))


def score(piece: Piece) -> Done:
    """Score a piece; its file is there once all of it is done.

    Raises:
        UserError: the input is damaged, was changed meanwhile, or a place cannot be read or written.
    """
    here, store = model(piece.tier), Store(piece.out)
    columns = {name: here.schema.columns[name] for name in (*here.schema.features, *piece.source.carried)}
    said, refused, logged = _Sheet(), _Sheet(), _Sheet()
    rows = 0
    chance = np.random.default_rng(int(hashlib.sha256(f"{piece.name} {piece.number}".encode()).hexdigest()[:16], 16))
    try:
        for block in _blocks(piece, columns):
            bad = _bad(block, here.schema)
            good = np.ones(len(block.table), dtype=bool)
            good[list(bad)] = False
            places = np.arange(rows + 1, rows + 1 + len(good))
            kept = block.table.filter(pa.array(good))
            answers = _answers(here, kept)
            carried = list(piece.source.carried)
            said.add(_named(kept.select(carried), {ROW: pa.array(places[good])} | answers))
            if bad:
                sorted_out = block.table.select(carried).filter(pa.array(~good))
                refused.add(_named(sorted_out, {ROW: pa.array(places[~good]), REASON: pa.array(list(bad.values()))}))
            if len(drawn := np.flatnonzero(chance.random(len(kept)) < piece.sample)):
                logged.add(_line(piece, kept, answers, places[good], drawn))
            rows += len(good)
    except UserError as error:
        raise UserError(f"{piece.source.name}: {error}") from error
    if Store(piece.source.url).version() != piece.source.version:
        raise UserError(f"{piece.source.name} was changed while it was read; score it again once it is whole")
    done = Done(rows, refused.rows, _bytes(piece), here.scorer.way, here.scorer.reason)
    facts = {DONE: json.dumps(asdict(done))}
    # The one that says that the piece is done comes last.
    for sheet, kind in ((logged, "log"), (refused, "rejected")):
        if sheet.rows:
            store.put(f"{piece.name}/{piece.number:06}.{kind}", sheet.written(facts))
    store.put(f"{piece.name}/{piece.number:06}.said", said.written(facts))
    return done


class _Sheet:
    """Rows of a Parquet file that is small enough to be made in memory."""

    def __init__(self) -> None:
        self._sink = io.BytesIO()
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = writer(self._sink, table.schema)
        self._writer.write_table(table)
        self.rows += len(table)

    def written(self, facts: dict[str, str]) -> bytes:
        if self._writer is None:
            self.add(pa.table({ROW: pa.array([], pa.int64())}))
        assert self._writer is not None  # noqa: S101 - for the type checker
        self._writer.add_key_value_metadata(facts)
        self._writer.close()
        return self._sink.getvalue()


def _blocks(piece: Piece, columns: dict[str, Column]) -> Iterator[read.Block]:
    """The rows, the first time none of them, so that the output of an empty input has columns, too."""
    yield read.Block(pa.table({name: pa.array([], arrow(column)) for name, column in columns.items()}), [])
    source, store = piece.source, Store(piece.source.url)
    start, end = source.pieces[piece.number]
    if source.kind == "Parquet":
        with store.open() as file:
            yield from read.parquet(file, range(start, end), columns)
        return
    for content in _contents(store, source, start, end):
        if source.kind == "CSV":
            yield read.csv(content, list(source.names), source.delimiter, columns)
        else:
            yield read.json_lines(content, columns)


def _contents(store: Store, source: Input, start: int, end: int) -> Iterator[bytes]:
    if end >= 0:
        yield store.part("", start, end)
        return
    try:
        with store.open() as file, gzip.open(file) as stream:
            stream.read(start)
            yield from look.blocks(stream, quoted=source.kind == "CSV")
    except (EOFError, OSError) as error:
        raise UserError(f"it cannot be unzipped: {error}") from error


def _bad(block: read.Block, schema: Schema) -> dict[int, str]:
    """The rows of a block that are not scored, and why."""
    unread = np.zeros(len(block.table), dtype=bool)
    for each in block.wrong:
        unread |= each.rows
    found = [*block.wrong]
    for each in fit.wrong(block.table, schema.features):
        # What could not be read is missing only therefore.
        rows = each.rows & ~unread if each.what == fit.EMPTY else each.rows
        if rows.any():
            found.append(fit.Wrong(each.column, each.what, rows, each.value))
    return fit.reasons(found, schema.columns)


def _answers(here: Model, rows: pa.Table) -> dict[str, pa.Array]:
    """What the model says of rows, by the names of a request's answer; the score of each of many classes by itself."""
    scores = here.scorer.score(rows)
    found: dict[str, pa.Array]
    match here.schema.task:
        case "binary":
            found = {"score": pa.array(scores)}
        case "multiclass":
            classes = [str(each) for each in here.schema.classes]
            best = scores.argmax(axis=1) if len(scores) else np.zeros(0, dtype=np.int64)
            found = {"label": pa.array(classes).take(pa.array(best))}
            found |= {f"score.{name}": pa.array(scores[:, place].copy()) for place, name in enumerate(classes)}
        case _:
            found = {"prediction": pa.array(scores)}
    if here.policy:
        chosen = here.policy.choose(scores) if len(scores) else np.zeros(0, dtype=np.int64)
        found["decision"] = pa.array(here.policy.actions).take(pa.array(chosen))
    return found


def _named(carried: pa.Table, more: dict[str, pa.Array]) -> pa.Table:
    """Carried columns and others; one of the same name as ours is not carried."""
    columns = {ROW: more.pop(ROW), **{name: carried.column(name) for name in carried.column_names}, **more}
    return pa.table(columns)


def _line(piece: Piece, rows: pa.Table, answers: dict[str, pa.Array], places: Any, drawn: Any) -> pa.Table:
    """Rows as the prediction log has them."""
    chosen = pa.array(drawn)
    inputs = {f"{INPUTS}{name}": rows.column(name).take(chosen) for name in piece.logged}
    for name, column in inputs.items():
        if pa.types.is_timestamp(column.type):
            inputs[name] = pa.array([None if each is None else each.isoformat() for each in column.to_pylist()])
    score = [name for name in answers if name in {"score", "prediction"} or name.startswith("score.")]
    scores = [answers[name].take(chosen).to_pylist() for name in score]
    said = scores[0] if len(scores) == 1 else [list(each) for each in zip(*scores, strict=True)]
    decided = {"decision": answers["decision"].take(chosen)} if "decision" in answers else {}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    count = len(drawn)
    fixed = {"time": now, "answer": uuid.uuid4().hex, "request": piece.name, "release": piece.release}
    fixed |= {"model": piece.model, "source": "batch"}
    return pa.table(
        {name: pa.array([value] * count) for name, value in fixed.items()}
        | {"row": pa.array(places[drawn])}
        | inputs
        | {"score": pa.array(said)}
        | decided
    )


def _bytes(piece: Piece) -> int:
    start, end = piece.source.pieces[piece.number]
    if piece.source.kind == "Parquet" or end < 0:
        return piece.source.bytes // len(piece.source.pieces)
    return end - start
