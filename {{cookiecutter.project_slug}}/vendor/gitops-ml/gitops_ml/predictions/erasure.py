"""Erases all rows of one value from what was written down of predictions, and says what holds that value still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd
from pipeline.schema import Schema
from pipeline.stages import files
from pydantic import BaseModel

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.host import runner
from gitops_ml.predictions import labels, stored
from gitops_ml.versions.revision import Revision

IDS = (labels.ANSWER, labels.REQUEST)


class Erased(BaseModel):
    """What was erased; the JSON that other programs read. `held` says of each place that may have it still."""

    version: Literal[1] = 1
    column: str
    value: str
    answers: int = 0
    requests: int = 0
    held: list[str] = []


def erase(root: Path, column: str, value: str) -> Erased:
    """Erase from every environment's store, after what this host's services have finished was moved there.

    Args:
        root: the project's folder.
        column: `answer` or `request` for an id, else a column of the schema.
        value: its value, as text.

    Raises:
        UserError: there is no such column, or a store cannot be read or written to; what was erased by then stays so,
            and the command can be repeated.
    """
    settings, schema = project.read(root), Revision(root, None).settings("schema.yaml", Schema)
    if column not in (*IDS, *schema.columns):
        raise UserError(f"there is no column {column!r}: name {', '.join(IDS)}, or a column of schema.yaml")
    done, erased = Erased(column=column, value=value), list[pd.DataFrame]()
    logged = column if column in IDS else f"{stored.INPUT}{column}"
    for environment in settings.environments:
        store = stored.place(root, settings.monitor.store, environment.name)
        folder = root / ".deploy" / environment.name / runner.PREDICTIONS
        if folder.is_dir():
            stored.collect(folder, store)
            done.held += _unfinished(folder, logged, value)
        answers = _erased(store, stored.ANSWERS, logged, value)
        answers += _erased(stored.place(root, store, stored.BATCHES), stored.ANSWERS, logged, value)
        requests = _erased(store, stored.REQUESTS, logged, value) if column in IDS else []
        done.answers += sum(map(len, answers))
        done.requests += sum(map(len, requests))
        erased += answers
        if "://" in store:
            done.held.append(f"{store}: earlier versions of its files stay, if the bucket keeps such")
    if column not in IDS and (column not in schema.features or _is_hidden(column, schema, settings)):
        done.held.append(
            f"of predictions, {column!r} is not written down: rows about it can be erased by {' or '.join(IDS)} alone"
        )
    done.held += _labels(root, settings, pd.concat(erased) if erased else pd.DataFrame())
    done.held += _trained(root, column, value) if column in schema.columns else []
    done.held.append(
        "other hosts have what they did not collect yet: `gitops-ml watch predictions` there, then this again"
    )
    return done


def _erased(store: str, kind: str, column: str, value: str) -> list[pd.DataFrame]:
    """Write each file of a kind again without the rows of the value; these rows."""
    found = []
    for path in stored.names(store, kind):
        table = stored.file(store, path)
        inside = _matching(table, column, value)
        if inside.any():
            found.append(table[inside])
            if inside.all():
                stored.remove(store, path)
            else:
                stored.write(table[~inside], store, kind, Path(path).stem)
    return found


def _matching(table: pd.DataFrame, column: str, value: str) -> pd.Series:
    """Which rows have the value: as text, and in a column of numbers as a number."""
    if column not in table:
        return pd.Series(False, index=table.index)
    values = table[column]
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return (values.astype(object).map(str).str.lower() == value.lower()) & values.notna()
    number = pd.to_numeric(pd.Series([value]), errors="coerce").iloc[0]
    found: pd.Series = (values == number).fillna(False).astype(bool)
    return found


def _unfinished(folder: Path, column: str, value: str) -> Iterator[str]:
    """What a service that runs is still writing, and holds the value."""
    for path in sorted(folder.rglob("*.jsonl")):
        lines = stored.parsed(path.read_bytes())[0]
        rows = [row for line in lines for row in (stored.rows(line) if "columns" in line else [line])]
        if count := int(_matching(pd.DataFrame(rows), column, value).sum()):
            yield f"{path} is being written and has it in {count:,} lines: this again, after `log.file_seconds`"


def _is_hidden(column: str, schema: Schema, settings: project.Project) -> bool:
    return schema.columns[column].personal or column in settings.log.redact or schema.columns[column].type == "text"


def _labels(root: Path, settings: project.Project, erased: pd.DataFrame) -> Iterator[str]:
    """Labels of answers that are gone; they are written by others."""
    if not settings.monitor.labels or erased.empty:
        return
    place = stored.place(root, settings.monitor.labels)
    table = stored.tables(place)
    ids = {name: set(erased[name].dropna().map(str)) for name in IDS if name in erased and name in table}
    about = [table[name].map(str).isin(values) for name, values in ids.items()]
    if count := int(pd.concat(about, axis=1).any(axis=1).sum()) if about else 0:
        yield f"{place} has {count:,} labels of erased answers: whoever brings them takes them out"


def _trained(root: Path, column: str, value: str) -> Iterator[str]:
    """Raw files with the value, and what follows from them."""
    paths = sorted((root / files.RAW).glob("*.parquet"))
    if not paths:
        yield f"{files.RAW} is not here, and was not looked at: `make pull` brings it, then this again"
    held = {path: int(_matching(pd.read_parquet(path), column, value).sum()) for path in paths}
    for path, count in held.items():
        if count:
            yield f"{path.relative_to(root)} has it in {count:,} rows: take them out, then `make repro` and release"
    if any(held.values()):
        yield (
            "models and releases that were trained on these rows, and the versions of data/raw that commits name, in "
            "caches and in the storage"
        )
