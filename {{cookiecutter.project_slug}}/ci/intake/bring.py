"""`make data`: replaces the project's table by somebody's own, or adds another batch of the same table."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel, ValidationError

from ci.errors import UserError
from ci.intake import settings, sources, take
from ci.intake.columns import Spelling
from ci.intake.facts import Facts
from ci.intake.infer import Wishes, infer
from ci.intake.sources import Source
from ci.intake.take import RAW, Taken
from ci.run import run
from pipeline.schema import Column, Schema
from pipeline.stages import files

SETTINGS = ["schema.yaml", "params.yaml", "project.yaml", "dvc.yaml", "README.md"]
# What the last `make data` wrote, by its hash: that may be overwritten, anybody's changes may not.
WRITTEN = Path("build/make-data.json")
POINTER = Path("data/raw.dvc")
# From here on a change of a column is told: of its missing rows, and of its median in widths of the middle half.
MISSING_SHIFT = 0.05
MEDIAN_SHIFT = 0.5
# From here on equal rows are told.
TOLD_DUPLICATES = 0.01
SHOWN_VALUES = 5


class Outcome(BaseModel):
    """What was decided and done; the JSON that other programs read."""

    source: str
    file: str
    rows: int
    task: str
    target: str
    features: int
    notes: list[str]
    warnings: list[str]
    written: list[str]
    next: list[str]


@dataclass(frozen=True)
class Said:
    """What the person has said at the command line; None, `auto` or nothing where it is to be recognised."""

    target: str | None
    task: Literal["auto", "binary", "multiclass", "regression"]
    time_column: str | None
    key: str | None
    drop: list[str]
    delimiter: str | None
    encoding: str | None
    decimal: str | None
    dates: str | None
    missing: list[str]


def bring(file: Path, said: Said, dry_run: bool) -> Outcome:
    """Replace the project's table, or add a batch to it if no target is said.

    Raises:
        UserError: the file cannot be used; nothing was changed then.
    """
    source = sources.recognise(file, said.delimiter and said.delimiter.replace("\\t", "\t"), said.encoding)
    spelling = Spelling(said.decimal, said.dates, tuple(word for each in said.missing for word in each.split(",")))
    if said.target is not None:
        task = None if said.task == "auto" else said.task
        drop = _named(said.drop, sources.names(source)) if said.drop else ()
        return replace(source, Wishes(said.target, task, said.time_column, said.key, drop), spelling, dry_run)
    if said.time_column or said.key or said.drop or said.task != "auto":
        raise UserError("say what to predict (TARGET=), or leave out what only matters with it")
    return add(source, spelling, dry_run)


def replace(source: Source, wishes: Wishes, spelling: Spelling, dry_run: bool) -> Outcome:
    """Make the table in the file the project's own: data, schema, params, gate and plots.

    Raises:
        UserError: the table cannot be used, or something uncommitted would be lost; nothing was changed then.
    """
    with take.workplace():
        forms, rows = take.forms(source, wishes.drop, spelling)
        taken = take.write(source, wishes.drop, forms, rows, spelling)
        found = infer(taken.facts, taken.sample, wishes)
        take.require_fit(taken, found.schema)
        table = settings.table_of(found.schema, taken.facts, taken.sample, wishes)
        if (share := table.division.duplicates) > TOLD_DUPLICATES:
            found.notes.append(f"{share:.0%} of the rows that judge equal rows that train; is that chance?")
        texts = _settings(table)
        outcome = Outcome(
            source=str(source),
            file=str(RAW / taken.path.name),
            rows=rows,
            task=found.schema.task,
            target=found.schema.target,
            features=len(found.schema.features),
            notes=found.notes,
            warnings=found.warnings,
            written=[],
            next=["look at schema.yaml and params.yaml", "make repro", "commit and make push"],
        )
        if dry_run:
            return outcome
        changed = [path for path, text in texts.items() if _text(path) != text]
        if _raw() != {taken.path.name: _sha256(taken.path)}:
            changed.append(str(RAW))
        if changed:
            _require_committed(changed, texts)
            if not (_in_git() and POINTER.exists()):
                outcome.notes.append(f"what was replaced is kept in {_keep(changed)}, since it is not under DVC yet")
            _put(taken, keep=False)
            files.write({Path(path): text.encode() for path, text in texts.items()})
        _remember(texts)
        outcome.written = changed
        return outcome


def add(source: Source, spelling: Spelling, dry_run: bool) -> Outcome:
    """Add the file to data/raw as another batch of the project's table.

    Raises:
        UserError: it differs from the schema; nothing was changed then.
    """
    schema = _schema()
    if POINTER.exists() and not _as_dvc_knows_it():
        raise UserError(
            f"{RAW} is not what {POINTER} names; `make pull` gets what is missing, `dvc add {RAW}` takes more"
        )
    with take.workplace():
        missing = [name for name in sources.names(source) if name not in schema.columns and name not in schema.dropped]
        if missing and not set(sources.names(source)) & set(schema.columns):
            raise UserError(
                f"{source.path} has no column of the project's table; to replace that, say what to predict: TARGET="
            )
        forms, rows = take.forms_by_schema(source, schema, spelling)
        taken = take.write(source, tuple(schema.dropped), forms, rows, spelling)
        try:
            take.require_fit(taken, schema)
        except UserError as error:
            raise UserError(
                f"{source.path}: {error}; mend the file, or change schema.yaml if the data is right"
            ) from error
        known = taken.path.name in _raw()
        outcome = Outcome(
            source=str(source),
            file=str(RAW / taken.path.name),
            rows=rows,
            task=schema.task,
            target=schema.target,
            features=len(schema.features),
            notes=["this file stands in data/raw already"] if known else _changes(taken, schema),
            warnings=[],
            written=[],
            next=["make repro", "make report", "commit and make push"],
        )
        if not known and not dry_run:
            _put(taken, keep=True)
            outcome.written = [outcome.file]
        return outcome


def _named(drop: list[str], names: list[str]) -> tuple[str, ...]:
    """The columns that are meant: each a name, or several with commas between them."""
    wanted = [name for each in drop for name in ([each] if each in names else each.split(","))]
    if unknown := [name for name in wanted if name not in names]:
        raise UserError(f"the column {unknown[0]!r}, which should be left out, is no column of the table")
    return tuple(dict.fromkeys(wanted))


def _settings(table: settings.Table) -> dict[str, str]:
    """The new text of each settings file."""
    before = {path: _text(path) for path in SETTINGS}
    return {
        "schema.yaml": settings.schema_text(table.schema, before["schema.yaml"]),
        "params.yaml": settings.params_text(table),
        "project.yaml": settings.gate_text(table, before["project.yaml"]),
        "dvc.yaml": settings.plots_text(table.schema, before["dvc.yaml"]),
        "README.md": settings.readme_text(table.schema, before["README.md"]),
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; run this in the project's folder") from error


def _schema() -> Schema:
    try:
        return Schema.model_validate(yaml.safe_load(_text("schema.yaml")))
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(f"schema.yaml cannot be read: {' '.join(str(error).split())[:300]}") from error


def _changes(taken: Taken, schema: Schema) -> list[str]:
    """How the batch differs from what stands in data/raw and in the schema, a sentence each."""
    before = _missing_before()
    found = [
        sentence
        for name, column in schema.columns.items()
        for sentence in _changes_of(taken.facts[name], taken.sample[name], column, before.get(name))
    ]
    return found or ["no column differs noticeably from the schema and the data before"]


def _changes_of(facts: Facts, sample: pd.Series, column: Column, missing: float | None) -> list[str]:
    found = []
    share = facts.missing / facts.rows
    if missing is not None and abs(share - missing) > MISSING_SHIFT:
        found.append(f"{facts.name!r} is empty in {share:.0%} of the rows, before in {missing:.0%}")
    if column.open and column.categories and facts.counts is not None:
        new = sorted(set(facts.counts) - set(column.categories))
        if new:
            shown = ", ".join(map(repr, new[:SHOWN_VALUES])) + (
                f" and {len(new) - SHOWN_VALUES} more" if len(new) > SHOWN_VALUES else ""
            )
            found.append(f"{facts.name!r} has values new to the schema: {shown}")
    if column.quantiles and facts.present:
        low, quarter, middle, three, high = column.quantiles
        median = float(sample.dropna().astype("float64").median())
        if abs(median - middle) > MEDIAN_SHIFT * max(three - quarter, 1e-12):
            found.append(f"the median of {facts.name!r} is {median:.4g}, before {middle:.4g}")
        elif (facts.minimum or 0) < low or (facts.maximum or 0) > high:
            found.append(
                f"{facts.name!r} goes from {facts.minimum:.4g} to {facts.maximum:.4g}, before {low:.4g} to {high:.4g}"
            )
    return found


def _missing_before() -> dict[str, float]:
    """The share of missing values of each column of data/raw, read from what Parquet counts."""
    rows, missing = 0, dict[str, int]()
    for path in sorted(RAW.glob("*.parquet")):
        facts = pq.ParquetFile(path).metadata
        rows += facts.num_rows
        for group in (facts.row_group(number) for number in range(facts.num_row_groups)):
            for chunk in (group.column(number) for number in range(group.num_columns)):
                counted = chunk.statistics.null_count if chunk.statistics else 0
                missing[chunk.path_in_schema] = missing.get(chunk.path_in_schema, 0) + (counted or 0)
    return {name: count / rows for name, count in missing.items()} if rows else {}


def _put(taken: Taken, keep: bool) -> None:
    """Move the new file into data/raw, and take the others away unless they are kept; then tell DVC."""
    RAW.mkdir(parents=True, exist_ok=True)
    for path in RAW.iterdir() if not keep else []:
        path.unlink() if path.is_file() or path.is_symlink() else shutil.rmtree(path)
    os.replace(taken.path, RAW / taken.path.name)
    if POINTER.exists():
        run(sys.executable, "-m", "dvc", "add", "--quiet", str(RAW), cwd=Path.cwd())


def _raw() -> dict[str, str]:
    """The files of data/raw and their hashes."""
    return {path.name: _sha256(path) for path in sorted(RAW.glob("*")) if path.is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_git() -> bool:
    return Path(".git").exists()


def _require_committed(changed: list[str], texts: dict[str, str]) -> None:
    """Refuse to overwrite what is neither committed nor of `make data` itself."""
    if not _in_git():
        return
    ours = json.loads(WRITTEN.read_text()) if WRITTEN.exists() else {}
    watched = [path for path in changed if path in texts]
    dirty = run("git", "status", "--porcelain", "--", *watched, cwd=Path.cwd()) if watched else ""
    lost = [line[3:] for line in dirty.splitlines() if ours.get(line[3:]) != _sha256(Path(line[3:]))]
    if str(RAW) in changed and ours.get(str(RAW)) != _raw() and not _raw_is_committed():
        lost.append(str(RAW))
    if lost:
        raise UserError(
            f"{', '.join(lost)} would be overwritten, and what {'they hold' if len(lost) > 1 else 'it holds'} is not "
            "committed; commit or restore first, nothing was changed"
        )


def _raw_is_committed() -> bool:
    """Whether Git knows what DVC knows of data/raw. Before `make init` nobody does, and a copy is kept instead."""
    if not POINTER.exists() or not _raw():
        return True
    if run("git", "status", "--porcelain", "--", str(POINTER), cwd=Path.cwd()):
        return False
    return _as_dvc_knows_it()


def _as_dvc_knows_it() -> bool:
    status = run(sys.executable, "-m", "dvc", "status", "--json", str(POINTER), cwd=Path.cwd())
    return not json.loads(status or "{}")


def _keep(changed: list[str]) -> Path:
    """Copy what will be replaced, in a project that Git does not know yet."""
    folder = Path("build") / f"replaced-{time.strftime('%Y%m%d-%H%M%S')}"
    for path in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            shutil.copytree(path, folder / path)
        elif Path(path).exists():
            shutil.copy(path, folder / path)
    return folder


def _remember(texts: dict[str, str]) -> None:
    hashes: dict[str, Any] = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}
    WRITTEN.parent.mkdir(parents=True, exist_ok=True)
    WRITTEN.write_text(json.dumps(hashes | {str(RAW): _raw()}))
