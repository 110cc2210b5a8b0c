"""Reads objects of JSON, one for each row, in pieces that fit into memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from gitops_ml.core.errors import UserError

PIECE_ROWS = 1 << 16
# What is read at once, and the longest object.
BLOCK_SIGNS = 1 << 24
# What stands between the objects of an array.
BETWEEN = re.compile(r"[\s,\[\]]*")


def lines(path: Path, file: TextIO) -> Iterator[pd.DataFrame]:
    """An object in each line.

    Raises:
        UserError: a line is no object; `path` is what it calls the file.
    """
    rows, numbered = 0, enumerate(file, start=1)
    while batch := list(islice(numbered, PIECE_ROWS)):
        records = [_record(path, number, line) for number, line in batch if line.strip()]
        rows += len(records)
        _require_rows(path, records, rows)
        yield pd.DataFrame(records, dtype=object)


def array(path: Path, file: TextIO) -> Iterator[pd.DataFrame]:
    """The objects of an array, or one after another, over however many lines each goes.

    Raises:
        UserError: as `lines`.
    """
    rows, records = 0, _objects(path, file)
    while batch := list(islice(records, PIECE_ROWS)):
        rows += len(batch)
        _require_rows(path, batch, rows)
        yield pd.DataFrame(batch, dtype=object)


def _objects(path: Path, file: TextIO) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=distinct)
    text, line = "", 1
    while True:
        more = file.read(BLOCK_SIGNS)
        text += more
        place = 0
        while start := BETWEEN.match(text, place):
            place = start.end()
            try:
                record, place = decoder.raw_decode(text, place)
            except (ValueError, RecursionError) as error:
                # It may go on in what was not read yet, unless that would be too long.
                if more and len(text) - place < BLOCK_SIGNS:
                    break
                found = line + text.count("\n", 0, getattr(error, "pos", place))
                if text[place:].strip():
                    raise UserError(f"{path}: line {found} is no JSON ({_told(error)})") from error
                return
            if not isinstance(record, dict):
                raise UserError(f"{path}: an array of JSON objects is read, one for each row, and this holds others")
            yield record
        line += text.count("\n", 0, place)
        text = text[place:]


def _require_rows(path: Path, batch: list[dict[str, Any]], rows: int) -> None:
    if rows == 1 and any(isinstance(value, dict | list) for value in batch[0].values()):
        raise UserError(
            f"{path}: this is one JSON object, and one for each row is read, as pandas writes them with "
            "to_json(orient='records', lines=True)"
        )


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line, object_pairs_hook=distinct)
        # Half a surrogate pair can be written in JSON, and nowhere else.
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: line {number} is no JSON object ({_told(error)})") from error
    if not isinstance(record, dict):
        raise UserError(f"{path}: line {number} is no JSON object")
    return record


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these names and values; ValueError if a name stands in it twice, of which one would be lost."""
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a name stands in it twice")
    return record


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
