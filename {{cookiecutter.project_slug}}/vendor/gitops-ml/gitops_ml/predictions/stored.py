"""Collects what services wrote down, as Parquet in a folder or a bucket, and reads it again."""

from __future__ import annotations

import fcntl
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
from pydantic import BaseModel

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError

# Rows with what was answered, and requests with what became of them.
ANSWERS, REQUESTS = "answers", "requests"
# Below what a service answered, with answers of its own: what batches said.
BATCHES = "batch"
# What stands before the name of a column that was sent.
INPUT = "input."
# With what the id of a request begins that is a copy of another one; see `gitops_ml.front.shadow`.
SHADOWED = "shadow:"
# A file is begun at most so long before its newest line; see `log.file_seconds`.
LONGEST = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Collected(BaseModel):
    """What was collected; the JSON that other programs read."""

    version: int = 1
    files: int = 0
    answers: int = 0
    requests: int = 0
    torn: int = 0
    unfinished: int = 0
    expired: int = 0


@progress.doing("moving what was served into the store")
def collect(folder: Path, store: str) -> Collected:
    """Move the finished files of a folder, and of those in it, into the store. Killed anywhere, it can be repeated.

    Raises:
        UserError: the folder does not exist, or the store cannot be written to; what was not moved stays.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: no service has written anything there yet")
    done = Collected()
    for path in sorted(path for path in folder.rglob("*.jsonl") if path.is_file()):
        # To write, too, since a network's file system locks for nobody else.
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                done.unfinished += 1
                continue
            found, torn = parsed(file.read())
        lines = [line for line in found if _is_sound(line)]
        done.torn += torn + len(found) - len(lines)
        answers = [row for line in lines if "columns" in line for row in rows(line)]
        requests = [line for line in lines if "columns" not in line]
        for kind, records in ((ANSWERS, answers), (REQUESTS, requests)):
            if records:
                write(pd.DataFrame(records), store, kind, path.stem)
                setattr(done, kind, getattr(done, kind) + len(records))
        # Only now: the same file collected twice gives the same object once.
        path.unlink()
        done.files += 1
    return done


def parsed(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """The lines of a file, and how many are none: a process that was killed may leave the last one without its end.

    A line of many requests becomes one for each.
    """
    lines, torn = list[dict[str, Any]](), 0
    for text in content.splitlines(keepends=True):
        try:
            if not text.endswith(b"\n"):
                raise ValueError("it has no end")
            lines += _unfolded(json.loads(text))
        except (ArithmeticError, TypeError, ValueError, RecursionError):
            torn += 1
    return lines, torn


def _unfolded(line: Any) -> list[dict[str, Any]]:
    """The lines of single requests that one of many requests stands for; that of one request as it is.

    Raises:
        ArithmeticError, TypeError or ValueError: it is no line, or has not as much of everything.
    """
    if not isinstance(line, dict):
        raise TypeError("a line is an object")
    if not isinstance(line.get("time"), list):
        return [line]
    differing = {name: value for name, value in line.items() if isinstance(value, list)}
    differing["time"] = [_moment(each) for each in differing["time"]]
    columns = dict(line.get("columns", {}))
    if not all(isinstance(values, list) for values in columns.values()):
        raise TypeError("a column is a list")
    found = [line | dict(zip(differing, values, strict=True)) for values in zip(*differing.values(), strict=True)]
    if not columns:
        return found
    rows = zip(*columns.values(), strict=True)
    return [
        each | {"columns": {name: [value] for name, value in zip(columns, row, strict=True)}}
        for each, row in zip(found, rows, strict=True)
    ]


def _moment(milliseconds: int) -> str:
    """A moment since 1970 as the lines of single requests have it."""
    return (EPOCH + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds")


def _is_sound(line: dict[str, Any]) -> bool:
    """Whether a line is one that the service writes: of a request, or of the rows that were answered to one."""
    try:
        moment = datetime.fromisoformat(line["time"])
        if "columns" in line:
            lists = list(line["columns"].values())
            known = all(isinstance(each, list) and len(each) == len(lists[0]) for each in lists)
            return moment.tzinfo is not None and known and len(line["columns"]["score"]) > 0
        numbers = isinstance(line["status"], int) and isinstance(line["ms"], int | float)
        return moment.tzinfo is not None and numbers and abs(line["status"]) < 1000
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False


def rows(line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a line that holds what was answered to one request, each with what the line says of all of them."""
    common = {name: value for name, value in line.items() if name != "columns"}
    columns = line["columns"]
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        yield common | {"row": row} | dict(zip(columns, values, strict=True))


def write(table: pd.DataFrame, store: str, kind: str, name: str) -> None:
    """Put one table into the store; `name` begins with its first day, as in 20260131.

    Raises:
        UserError: the store cannot be written to.
    """
    system, root = _opened(store)
    try:
        sink = io.BytesIO()
        table.to_parquet(sink, index=False)
        # A path without a root begins with a bucket, which would be made if it is not there.
        if root.startswith("/"):
            system.makedirs(f"{root}/{kind}", exist_ok=True)
        # The file has its name once it is whole.
        with system.transaction, system.open(f"{root}/{kind}/{name}.parquet", "wb") as file:
            file.write(sink.getvalue())
    except Exception as error:  # each cloud's client has errors of its own, here and below
        raise UserError(f"{store} cannot be written to: {_reason(error)}") from error


def read(store: str, kind: str, since: datetime, until: datetime) -> pd.DataFrame:
    """What is in the store of a stretch of time, its end not included, in the order of time.

    Raises:
        UserError: the store cannot be read.
    """
    first, last = (f"{moment:%Y%m%d}" for moment in (since - LONGEST, until))
    table = tables(f"{store.rstrip('/')}/{kind}", lambda name: first <= name[:8] <= last)
    if table.empty:
        return table
    if "request" in table:
        # What a release was asked in a rollout's shadow, nobody was answered.
        table = table[~table["request"].astype(str).str.startswith(SHADOWED)]
    table["time"] = pd.to_datetime(table["time"], utc=True, format="ISO8601")
    inside = (table["time"] >= since) & (table["time"] < until)
    return table[inside].sort_values("time", kind="stable", ignore_index=True)


def file(store: str, path: str) -> pd.DataFrame:
    """One file of the store, as it is.

    Raises:
        UserError: it cannot be read.
    """
    system, _ = _opened(store)
    try:
        with system.open(path, "rb") as opened:
            return pd.read_parquet(opened)
    except Exception as error:
        raise UserError(f"{path} cannot be read: {_reason(error)}") from error


def expire(store: str, moment: datetime, keep_days: float) -> int:
    """Remove the files of the store whose newest line is older than so many days; how many these were.

    Raises:
        UserError: the store cannot be read or written to.
    """
    # A file is named by its first day.
    last = f"{moment - timedelta(days=keep_days) - LONGEST:%Y%m%d}"
    old = [path for kind in (ANSWERS, REQUESTS) for path in names(store, kind) if _day(path) < last]
    for path in old:
        remove(store, path)
    return len(old)


def _day(path: str) -> str:
    """The first day of a file; of one that is none of ours, a day that never comes."""
    day = Path(path).name[:8]
    return day if day.isdigit() else "9" * 8


def remove(store: str, path: str) -> None:
    """Take one file out of the store.

    Raises:
        UserError: that is refused.
    """
    system, _ = _opened(store)
    try:
        system.rm_file(path)
    except Exception as error:
        raise UserError(f"{store} cannot be written to: {_reason(error)}") from error


def is_empty(store: str) -> bool:
    """Whether nothing was ever collected there.

    Raises:
        UserError: the store cannot be read.
    """
    return not any(names(store, kind) for kind in (ANSWERS, REQUESTS))


def tables(place: str, chosen: Callable[[str], bool] = lambda name: True) -> pd.DataFrame:
    """All chosen Parquet files of a place, one below the other; an empty table if there are none.

    Raises:
        UserError: the place cannot be read.
    """
    found = [file(place, path) for path in names(place) if chosen(Path(path).name)]
    # A column that is empty in a whole file has no type there.
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def names(place: str, *below: str) -> list[str]:
    """The Parquet files of a place, or of a folder below it, in the order of their names.

    Raises:
        UserError: the place cannot be read.
    """
    system, root = _opened(place)
    try:
        return sorted(system.glob("/".join((root, *below, "*.parquet"))))
    except Exception as error:
        raise UserError(f"{place} cannot be read: {_reason(error)}") from error


def _opened(place: str) -> tuple[Any, str]:
    try:
        system, root = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise UserError(f"{place} cannot be opened: {_reason(error)}") from error
    return system, root.rstrip("/")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def place(root: Path, setting: str, *below: str) -> str:
    """A folder or URL of project.yaml; a relative folder is one of the project."""
    whole = "/".join((setting.rstrip("/"), *below))
    return whole if "://" in whole else str(root / whole)
