"""Rows of a piece of a file as an Arrow table in the schema's types, and what could not be read of them.

A block is read at once; if that fails, each column by its distinct values, by the same rules, so that what becomes of a
row does not depend on its neighbours.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
from pipeline.schema import Column, Written

from gitops_ml.batch.columns import NUMBERS, arrow
from gitops_ml.batch.fit import Wrong
from gitops_ml.core.errors import UserError
from gitops_ml.reading import forms, missing, objects

ROWS = 1 << 16
TEXTS = ("category", "text")
NOUNS = {"integer": "whole number", "boolean": "true or false", "datetime": "date", "category": "text"}

Columns = dict[str, Column]


@dataclass(frozen=True)
class Block:
    """Rows in the order of the file. `wrong`: what of them could not be read; such a value is missing."""

    table: pa.Table
    wrong: list[Wrong]


def csv(content: bytes, names: list[str], delimiter: str, columns: Columns) -> Block:
    """Records without a header.

    Raises:
        UserError: it is no UTF-8, or no CSV.
    """
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    uneven: list[int] = []

    def skip(row: Any) -> str:
        uneven.append(row.number - 1)
        return "skip"

    if all(column.written is None for column in columns.values()):
        types = {name: arrow(column) for name, column in columns.items()}
        try:
            table = _csv(content, names, parse, columns, types)
            return Block(_gaps(table, columns), [])
        except pa.ArrowInvalid:
            pass
    parse.invalid_row_handler = skip
    try:
        texts = _csv(content, names, parse, columns, dict.fromkeys(columns, pa.string()))
    except pa.ArrowException as error:
        raise UserError(" ".join(str(error).split())[:200]) from error
    block = _block({name: _of_texts(texts.column(name).combine_chunks(), name, columns[name]) for name in columns})
    return _with_uneven(block, uneven, len(names)) if uneven else block


def json_lines(content: bytes, columns: Columns) -> Block:
    """Objects, one a line; a line that is none is a row in which nothing could be read."""
    if all(column.written is None and column.type != "datetime" for column in columns.values()):
        form = pa.schema([(name, arrow(column)) for name, column in columns.items()])
        parse = pa.json.ParseOptions(explicit_schema=form, unexpected_field_behavior="ignore")
        options = pa.json.ReadOptions(block_size=len(content) + 1, use_threads=False)
        try:
            return Block(pa.json.read_json(io.BytesIO(content), options, parse).select(form.names), [])
        except pa.ArrowInvalid:
            pass
    records = [_record(line) for line in content.splitlines() if line.strip()]
    block = _block(
        {name: _of_values([(each or {}).get(name) for each in records], name, columns[name]) for name in columns}
    )
    broken = np.array([each is None for each in records], dtype=bool)
    return Block(block.table, [*block.wrong, Wrong("the line", "is no JSON object, or has a name twice", broken)])


def parquet(file: Any, groups: range, columns: Columns) -> Iterator[Block]:
    """The rows of some row groups.

    Raises:
        UserError: the file is damaged, or a column holds values of another kind than the schema says.
    """
    try:
        opened = pq.ParquetFile(file, pre_buffer=False)
        for batch in opened.iter_batches(ROWS, row_groups=list(groups), columns=list(columns), use_threads=False):
            table = pa.Table.from_batches([batch])
            yield _block({name: _of_type(table.column(name), name, columns[name]) for name in columns})
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"this is no readable Parquet file ({' '.join(str(error).split())[:200]})") from error


def _csv(content: bytes, names: list[str], parse: Any, columns: Columns, types: dict[str, pa.DataType]) -> pa.Table:
    booleans = {value: [text for text, each in forms.BOOLEANS.items() if each is value] for value in (True, False)}
    convert = pa.csv.ConvertOptions(
        column_types=types,
        include_columns=list(columns),
        null_values=sorted(missing.MARKERS | {""}),
        strings_can_be_null=False,
        true_values=booleans[True],
        false_values=booleans[False],
    )
    options = pa.csv.ReadOptions(column_names=names, block_size=len(content) + 1, use_threads=False)
    return pa.csv.read_csv(io.BytesIO(content), options, parse, convert)


def _gaps(table: pa.Table, columns: Columns) -> pa.Table:
    """Texts without the blanks around them, missing where a word says so."""
    for place, (name, column) in enumerate(columns.items()):
        if column.type in TEXTS:
            table = table.set_column(place, name, _trimmed(table.column(name), _words(column)))
    return table


def _trimmed(texts: Any, gaps: frozenset[str]) -> Any:
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.is_in(trimmed, value_set=pa.array(sorted(gaps | {""}))), pa.scalar(None, pa.string()), trimmed)


def _words(column: Column) -> frozenset[str]:
    """The words that are gaps in a column."""
    written = column.written or Written()
    said = frozenset(written.missing or [])
    if column.type not in TEXTS:
        return missing.POSSIBLE | said
    known = frozenset() if written.missing == [] else missing.MARKERS
    return (known | said) - frozenset(map(str, column.categories or []))


# What was read of a column, and where something could not be.
Read = tuple[Any, list[Wrong]]


def _block(read: dict[str, Read]) -> Block:
    return Block(
        pa.table({name: values for name, (values, _) in read.items()}), [w for _, each in read.values() for w in each]
    )


def _of_texts(texts: pa.Array, name: str, column: Column) -> Read:
    """Values that are written as text, each distinct one read once."""
    trimmed = _trimmed(texts, _words(column))
    if column.type in TEXTS:
        return trimmed, []
    coded = trimmed.dictionary_encode()
    distinct = coded.dictionary
    if column.written:
        kind: Any = column.type
        form = forms.Form(
            kind,
            decimal=column.written.decimal or ".",
            unit=column.written.unit,
            order=column.written.order,
            whole=column.written.whole,
            zoned=column.zoned,
        )
        values = pa.array(forms.read(distinct.to_pandas().astype("str"), form, True), arrow(column), from_pandas=True)
    else:
        values = pa.array([_value(text, column) for text in distinct.to_pylist()], arrow(column))
    found = values.take(coded.indices)
    lost = pc.and_(pc.is_null(found), pc.is_valid(trimmed)).to_numpy(zero_copy_only=False)
    return found, _lost(name, column, lost, lambda row: texts[row].as_py())


def _value(text: str, column: Column) -> Any:
    """A text as a value of a column's type; None if it is none."""
    if column.type == "boolean":
        return forms.BOOLEANS.get(text)
    if column.type == "integer":
        whole, _, zeros = text.partition(".")
        text = whole if not zeros.strip("0") else text
    try:
        return pa.scalar(text).cast(arrow(column)).as_py()
    except (pa.ArrowException, ValueError, OverflowError):
        return None


def _of_values(values: list[Any], name: str, column: Column) -> Read:
    """Values of JSON."""
    if column.written and column.type not in TEXTS:
        texts = pa.array([None if value is None else str(value) for value in values], pa.string())
        return _of_texts(texts, name, column)
    found = [_plain(value, column) for value in values]
    lost = np.array([a is None and b is not None for a, b in zip(found, values, strict=True)], dtype=bool)
    return pa.array(found, arrow(column)), _lost(name, column, lost, lambda row: values[row])


def _plain(value: Any, column: Column) -> Any:
    """A value of JSON as one of a column's type; None if it is none."""
    match value:
        case bool():
            return value if column.type == "boolean" else None
        case int() | float() if column.type == "number":
            return float(value)
        case int() | float() if column.type == "integer":
            return int(value) if value == value // 1 and abs(value) < 2**63 else None
        case str() if column.type in TEXTS:
            return value
        case str() if column.type == "datetime":
            return _value(value, column)
        case _:
            return None


def _of_type(values: pa.ChunkedArray, name: str, column: Column) -> Read:
    """Values that have a type already.

    Raises:
        UserError: it is of another kind than the column's.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = values.type
    wanted = arrow(column)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    fits = pa.types.is_null(kind) or {
        "boolean": pa.types.is_boolean(kind),
        "datetime": pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and (kind.tz is not None) == column.zoned),
    }.get(
        column.type,
        number
        if column.type in NUMBERS
        else pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind),
    )
    if not fits:
        raise UserError(f"the column {name!r} holds {kind}, and the schema says {column.type}")
    if column.type == "integer" and number and not pa.types.is_integer(kind):
        floats = values.cast(pa.float64(), safe=False)
        whole = pc.equal(floats, pc.floor(floats))
        lost = pc.fill_null(pc.and_(pc.invert(whole), pc.invert(pc.is_nan(floats))), False).to_numpy().astype(bool)
        rounded = pc.if_else(whole, floats, pa.scalar(None, pa.float64()))
        return rounded.cast(wanted, safe=False), _lost(name, column, lost, lambda row: floats[row].as_py())
    return values.cast(wanted, safe=False), []


def _lost(name: str, column: Column, rows: Any, value: Any) -> list[Wrong]:
    return [Wrong(name, f"is no {NOUNS.get(column.type, column.type)}", rows, value)] if rows.any() else []


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line, object_pairs_hook=objects.distinct)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _with_uneven(block: Block, uneven: list[int], width: int) -> Block:
    """The block with the rows that were skipped, in which nothing could be read."""
    total = len(block.table) + len(uneven)
    skipped = np.zeros(total, dtype=bool)
    skipped[uneven] = True
    places = np.cumsum(~skipped) - 1
    table = block.table.take(pa.array(places, pa.int64(), mask=skipped))

    def spread(each: Wrong) -> Wrong:
        rows = np.zeros(total, dtype=bool)
        rows[~skipped] = each.rows
        value = each.value
        return Wrong(each.column, each.what, rows, value and (lambda row: value(int(places[row]))))

    return Block(table, [*map(spread, block.wrong), Wrong("the row", f"has other than {width} values", skipped)])
