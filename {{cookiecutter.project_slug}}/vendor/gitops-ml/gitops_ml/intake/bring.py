"""`make data`: replaces the project's table by somebody's own, or adds another batch of the same table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from pipeline.schema import Schema
from pipeline.stages import files
from pydantic import BaseModel, ValidationError

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError
from gitops_ml.intake import changes, raw, settings, take, timing, unlabelled
from gitops_ml.intake.infer import Inferred, Wishes
from gitops_ml.intake.take import RAW
from gitops_ml.reading import decide, guesses, later, recognise, sources
from gitops_ml.reading.decide import Kind, Spelling
from gitops_ml.reading.sources import Source

SETTINGS = ["schema.yaml", "params.yaml", "project.yaml", "dvc.yaml", "README.md"]
ADOPTED = "README.gitops-ml.md"


class Outcome(BaseModel):
    """What was decided and done; the JSON that other programs read."""

    source: str
    file: str
    rows: int
    unlabelled: str
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
    decimal: Literal[",", "."] | None
    dates: Literal["day-first", "month-first"] | None
    missing: list[str]
    text: list[str] = field(default_factory=list)
    number: list[str] = field(default_factory=list)
    date: list[str] = field(default_factory=list)
    category: list[str] = field(default_factory=list)
    sheet: str | None = None

    def spelling(self, names: list[str]) -> Spelling:
        """What of it is about how values are written, in a table with columns of these names."""
        words = frozenset(word for each in self.missing for word in each.split(",") if word)
        kinds: dict[str, Kind] = {}
        said: dict[Kind, list[str]] = {
            "text": self.text, "number": self.number, "date": self.date, "category": self.category
        }  # fmt: skip
        for kind, wanted in said.items():
            for name in named(wanted, names, f"which should be read as {kind}"):
                if kinds.setdefault(name, kind) != kind:
                    raise UserError(f"the column {name!r} cannot be both {kinds[name]} and {kind}")
        return Spelling(self.decimal, self.dates, words if self.missing else None, kinds)


def bring(file: Path, said: Said, dry_run: bool) -> Outcome:
    """Replace the project's table, or add a batch to it if no target is said.

    Raises:
        UserError: the file cannot be used; nothing was changed then.
    """
    delimiter = said.delimiter and said.delimiter.replace("\\t", "\t")
    source = recognise.recognise(file, delimiter, said.encoding, said.sheet)
    names = sources.names(source)
    if said.target is not None:
        task = None if said.task == "auto" else said.task
        drop = named(said.drop, names, "which should be left out")
        spelling = said.spelling(names)
        wishes = Wishes(
            said.target, task, said.time_column, said.key, drop, spelling.said("category"), spelling.said("number")
        )
        return replace(source, wishes, spelling, dry_run)
    alone = (said.time_column, said.key, said.drop, said.text, said.number, said.date, said.category)
    if any(alone) or said.task != "auto":
        raise UserError("say what to predict (TARGET=), or leave out what only matters with it")
    return add(source, said.spelling(names), dry_run)


@progress.doing("reading the table")
def replace(source: Source, wishes: Wishes, spelling: Spelling, dry_run: bool) -> Outcome:
    """Make the table in the file the project's own: data, schema, params, gate and plots.

    Raises:
        UserError: the table cannot be used, or something uncommitted would be lost; nothing was changed then.
    """
    with take.workplace():
        with sources.unchanged(source):
            columns = take.look(source, wishes.drop, spelling.missing or frozenset())
            forms = decide.forms_of(columns, spelling)
            rows = next(iter(columns.values())).rows
            taken = take.write(source, wishes.drop, forms, rows)
        if wishes.target in columns:
            target = wishes.target
            unlabelled.require_few(columns[target], forms[target], taken.facts[target], spelling)
        wishes, found = timing.decide(taken.facts, taken.sample, wishes, settings.TEST_FRACTION)
        for name, column in found.schema.columns.items():
            column.written = forms[name].written()
        take.require_fit(taken, found.schema)
        table = settings.table_of(found.schema, taken.facts, taken.sample, wishes)
        leave_out_unknown(found, table, wishes)
        if copies := table.division.copies:
            found.notes.append(f"{copies:,} rows repeat others in every column: each row judges once, copies do not")
        texts = _settings(table)
        outcome = Outcome(
            source=str(source),
            file=str(RAW / taken.path.name),
            rows=rows,
            unlabelled=unlabelled.told(columns[target], forms[target], taken.facts[target].missing),
            task=found.schema.task,
            target=found.schema.target,
            features=len(found.schema.features),
            notes=[*found.notes, *guesses.sentences(columns, forms, spelling)],
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
        with sources.unchanged(source):
            columns = take.look(source, tuple(schema.dropped), spelling.missing or frozenset())
            forms = later.forms_by_schema(columns, schema, spelling)
            rows = next(iter(columns.values())).rows
            taken = take.write(source, tuple(schema.dropped), forms, rows)
        try:
            take.require_fit(taken, schema)
        except UserError as error:
            raise UserError(
                f"{source.path}: {error}; mend the file, or change schema.yaml if the data is right"
            ) from error
        target = schema.target
        known = taken.path.name in raw.files_now()
        outcome = Outcome(
            source=str(source),
            file=str(RAW / taken.path.name),
            rows=rows,
            unlabelled=unlabelled.told(columns[target], forms[target], taken.facts[target].missing),
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


def leave_out_unknown(found: Inferred, table: settings.Table, wishes: Wishes) -> None:
    """Leave out categories of which the rows that judge have other values than those that train, if others are left."""
    unknown = {name: share for name, share in table.division.unknown.items() if name not in wishes.said}
    if len(unknown) == len(found.schema.features):
        return
    for name, share in unknown.items():
        reason = f"only {share:.0%} of the rows that judge have a value that also trains: an identifier"
        found.notes.append(f"{name!r} is left out: {reason}")
        column = found.schema.columns[name]
        column.role, column.reason, column.nullable, column.example = "ignore", reason, True, None


def named(wanted: list[str], names: list[str], what: str) -> tuple[str, ...]:
    """The columns that are meant: each a name, or several with commas between them."""
    found = [name for each in wanted for name in ([each] if each in names else each.split(","))]
    if unknown := [name for name in found if name not in names]:
        raise UserError(f"the column {unknown[0]!r}, {what}, is no column of the table")
    return tuple(dict.fromkeys(found))


def _settings(table: settings.Table) -> dict[str, str]:
    """The new text of each settings file."""
    # In an adopted repository, README.md is of what was there.
    readme = ADOPTED if Path(ADOPTED).exists() else "README.md"
    before = {path: _text(path) for path in (*SETTINGS[:-1], readme)}
    return {
        "schema.yaml": settings.schema_text(table.schema, before["schema.yaml"]),
        "params.yaml": settings.params_text(table),
        "project.yaml": settings.gate_text(table, before["project.yaml"]),
        "dvc.yaml": settings.plots_text(table.schema, before["dvc.yaml"]),
        readme: settings.readme_text(table.schema, before[readme]),
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
