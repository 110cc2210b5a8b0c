"""Opens CSV, Parquet and JSON Lines files, plain or gzipped, and gives their rows in pieces that fit into memory."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from gitops_ml.core.errors import UserError

Kind = Literal["CSV", "Parquet", "JSON Lines"]
# A piece of a CSV file, and the longest row that can be read.
BLOCK_BYTES = 1 << 24
PIECE_ROWS = 1 << 16
UTF8 = "utf-8-sig"


@dataclass(frozen=True)
class Source:
    """A file, what it is, and for CSV how it is written. `untyped`: every value is text, as in CSV.

    `digest`: the SHA-256 of its content when it was first looked at.
    """

    path: Path
    kind: Kind
    digest: str
    encoding: str = UTF8
    delimiter: str = ","

    @property
    def untyped(self) -> bool:
        """Whether types are still to be recognised in text."""
        return self.kind == "CSV"

    def __str__(self) -> str:
        if self.kind != "CSV":
            return self.kind
        encoding = "UTF-8" if self.encoding == UTF8 else self.encoding
        return f"CSV, {encoding}, delimiter {self.delimiter!r}"


def names(source: Source) -> list[str]:
    """The names of the columns, as far as they can be known from the start of the file.

    Raises:
        UserError: the file is damaged, or its columns cannot be told apart.
    """
    match source.kind:
        case "CSV":
            found = _header(source)
        case "Parquet":
            found = [str(name) for name in _parquet_file(source.path).schema_arrow.names]
        case "JSON Lines":
            found = list(next(_json_lines(source), pd.DataFrame()).columns)
    _require_distinct(source.path, found)
    return found


def pieces(source: Source, drop: tuple[str, ...] = ()) -> Iterator[pd.DataFrame]:
    """The rows, some at a time, without the dropped columns.

    In CSV every value is text; elsewhere a value is what the file says.

    Raises:
        UserError: the file is damaged, or its columns cannot be told apart.
    """
    match source.kind:
        case "CSV":
            found = _csv(source)
        case "Parquet":
            found = _parquet(source.path, drop)
        case "JSON Lines":
            found = _json_lines(source)
    for piece in found:
        yield piece.drop(columns=[name for name in drop if name in piece])


def digest(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_unchanged(source: Source) -> None:
    """Refuse a file that was written to while it was read.

    Raises:
        UserError: its content is not what it was.
    """
    if digest(source.path) != source.digest:
        raise UserError(f"{source.path} was changed while it was read; bring it again once it is whole")


def opened(path: Path) -> IO[bytes]:
    """The content of a file, unzipped if it is."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")  # type: ignore[return-value]


def _header(source: Source) -> list[str]:
    with opened(source.path) as file:
        reader = csv.reader(io.TextIOWrapper(file, source.encoding, newline=""), delimiter=source.delimiter)
        names = next((row for row in reader if row), [])
    # pandas writes an index under an empty name.
    return [name.strip() or f"unnamed {position}" for position, name in enumerate(names, start=1)]


def _csv(source: Source) -> Iterator[pd.DataFrame]:
    header = names(source)
    numbered = [str(position) for position in range(len(header))]
    read = pa.csv.ReadOptions(
        column_names=numbered, block_size=BLOCK_BYTES, encoding="utf8" if source.encoding == UTF8 else source.encoding
    )
    parse = pa.csv.ParseOptions(delimiter=source.delimiter, newlines_in_values=True)
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(numbered, pa.string()), strings_can_be_null=False)
    first = True
    try:
        with opened(source.path) as file, pa.csv.open_csv(file, read, parse, convert) as reader:
            for batch in reader:
                piece = batch.to_pandas().set_axis(header, axis=1)
                # The header is a row like any other to a reader that is told the names.
                yield piece.iloc[1:].reset_index(drop=True) if first else piece
                first = False
    except (pa.ArrowException, UnicodeError, OSError, EOFError) as error:
        raise UserError(f"{source.path}: {_short(error)}") from error


def _parquet_file(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: this is no readable Parquet file ({_short(error)})") from error


def _parquet(path: Path, drop: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    file = _parquet_file(path)
    wanted = [field for field in file.schema_arrow if field.name not in drop]
    _require_distinct(path, [field.name for field in wanted])
    for field in wanted:
        _require_plain(path, field)
    try:
        for batch in file.iter_batches(batch_size=PIECE_ROWS, columns=[field.name for field in wanted]):
            # What pandas noted about an index would take columns out of the table.
            yield pa.Table.from_batches([batch]).to_pandas(
                ignore_metadata=True, date_as_object=False, types_mapper=_types
            )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: this is no readable Parquet file ({_short(error)})") from error


def _types(kind: pa.DataType) -> Any:
    # A nullable integer stays one.
    return pd.Int64Dtype() if pa.types.is_integer(kind) else None


def _require_plain(path: Path, field: pa.Field) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    plain = (
        pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_string,
        pa.types.is_large_string, pa.types.is_string_view, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null,
    )  # fmt: skip
    if not any(check(kind) for check in plain):
        raise UserError(f"{path}: column {field.name!r} holds values of type {kind}, which no model reads; DROP= it")


def _json_lines(source: Source) -> Iterator[pd.DataFrame]:
    try:
        with opened(source.path) as file:
            lines = enumerate(io.TextIOWrapper(file, source.encoding), start=1)
            while batch := list(islice(lines, PIECE_ROWS)):
                records = [_record(source.path, number, line) for number, line in batch if line.strip()]
                yield pd.DataFrame(records, dtype=object)
    except (UnicodeError, OSError, EOFError) as error:
        raise UserError(f"{source.path}: {_short(error)}") from error


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line, object_pairs_hook=_distinct)
        # Half a surrogate pair can be written in JSON, and nowhere else.
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: line {number} is no JSON object ({_short(error)})") from error
    if not isinstance(record, dict):
        raise UserError(f"{path}: line {number} is no JSON object")
    return record


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a name stands in it twice")
    return record


def _require_distinct(path: Path, names: list[str]) -> None:
    """Refuse columns that cannot be told apart or be named."""
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{path}: the column {repeated[0]!r} stands in the table more than once; rename one of them")
    if [name for name in names if not name.strip()]:
        raise UserError(f"{path}: a column has no name; give it one")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
