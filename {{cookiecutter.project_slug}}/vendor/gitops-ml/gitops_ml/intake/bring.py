"""`make data`: replaces the project's table by somebody's own, or adds another batch of the same table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pipeline.schema import Schema
from pipeline.stages import files
from pydantic import BaseModel, ValidationError

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError
from gitops_ml.intake import changes, raw, recognise, settings, sources, take, timing
from gitops_ml.intake.columns import Spelling
from gitops_ml.intake.infer import Wishes
from gitops_ml.intake.sources import Source
from gitops_ml.intake.take import RAW

SETTINGS = ["schema.yaml", "params.yaml", "project.yaml", "dvc.yaml", "README.md"]


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
    source = recognise.recognise(file, said.delimiter and said.delimiter.replace("\\t", "\t"), said.encoding)
    spelling = Spelling(said.decimal, said.dates, tuple(word for each in said.missing for word in each.split(",")))
    if said.target is not None:
        task = None if said.task == "auto" else said.task
        drop = _named(said.drop, sources.names(source)) if said.drop else ()
        return replace(source, Wishes(said.target, task, said.time_column, said.key, drop), spelling, dry_run)
    if said.time_column or said.key or said.drop or said.task != "auto":
        raise UserError("say what to predict (TARGET=), or leave out what only matters with it")
    return add(source, spelling, dry_run)


@progress.doing("reading the table")
def replace(source: Source, wishes: Wishes, spelling: Spelling, dry_run: bool) -> Outcome:
    """Make the table in the file the project's own: data, schema, params, gate and plots.

    Raises:
        UserError: the table cannot be used, or something uncommitted would be lost; nothing was changed then.
    """
    with take.workplace():
        forms, rows = take.forms(source, wishes.drop, spelling)
        taken = take.write(source, wishes.drop, forms, rows, spelling)
        wishes, found = timing.decide(taken.facts, taken.sample, wishes, settings.TEST_FRACTION)
        take.require_fit(taken, found.schema)
        table = settings.table_of(found.schema, taken.facts, taken.sample, wishes)
        if copies := table.division.copies:
            found.notes.append(f"{copies:,} rows repeat others in every column: each row judges once, copies do not")
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
            next=["look at schema.yaml and params.yaml", *raw.first(), "make repro", "commit and make push"],
        )
        if dry_run:
            return outcome
        changed = [path for path, text in texts.items() if _text(path) != text]
        if raw.files_now() != {taken.path.name: raw.sha256(taken.path)}:
            changed.append(str(RAW))
        if changed:
            raw.require_committed(changed, texts)
            if not (raw.in_git() and raw.POINTER.exists()):
                outcome.notes.append(f"what was replaced is kept in {raw.keep(changed)}, since it is not under DVC yet")
            raw.put(taken, keep=False)
            files.write({Path(path): text.encode() for path, text in texts.items()})
        raw.remember(texts)
        outcome.written = changed
        return outcome


@progress.doing("reading the table")
def add(source: Source, spelling: Spelling, dry_run: bool) -> Outcome:
    """Add the file to data/raw as another batch of the project's table.

    Raises:
        UserError: it differs from the schema; nothing was changed then.
    """
    schema = _schema()
    if raw.POINTER.exists() and not raw.is_as_dvc_knows_it():
        raise UserError(
            f"{RAW} is not what {raw.POINTER} names; `make pull` gets what is missing, `dvc add {RAW}` takes more"
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
        known = taken.path.name in raw.files_now()
        outcome = Outcome(
            source=str(source),
            file=str(RAW / taken.path.name),
            rows=rows,
            task=schema.task,
            target=schema.target,
            features=len(schema.features),
            notes=["this file stands in data/raw already"] if known else changes.told(taken, schema),
            warnings=[],
            written=[],
            next=[*raw.first(), "make repro", "make report", "commit and make push"],
        )
        if not known and not dry_run:
            raw.put(taken, keep=True)
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
