"""Opens CSV, Parquet, JSON and Excel files and gives their rows in pieces that fit into memory."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from gitops_ml.core.errors import UserError
from gitops_ml.reading import objects, workbook

Kind = Literal["CSV", "Parquet", "JSON Lines", "JSON", "Excel"]
# A piece of a CSV file, and the longest row that can be read.
BLOCK_BYTES = 1 << 24
PIECE_ROWS = 1 << 16
UTF8 = "utf-8-sig"
DELIMITERS = (",", ";", "\t", "|")
# A value longer than this with so many lines is looked at: it may be rows.
SWALLOWED = 200
MANY_LINES = 5


@dataclass(frozen=True)
class Source:
    """A file, what it is, and for CSV how it is written. `untyped`: every value is text, as in CSV.

    `digest`: the SHA-256 of its content when it was first looked at. `sheet`: which one of a workbook.
    """

    path: Path
    kind: Kind
    digest: str
    encoding: str = UTF8
    delimiter: str = ","
    sheet: str = ""

    @property
    def untyped(self) -> bool:
        """Whether types are still to be recognised in text."""
        return self.kind == "CSV"

    def __str__(self) -> str:
        if self.kind == "Excel":
            return f"Excel, sheet {self.sheet!r}"
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
            found = list(next(_json(source, objects.lines), pd.DataFrame()).columns)
        case "JSON":
            found = list(next(_json(source, objects.array), pd.DataFrame()).columns)
        case "Excel":
            found = workbook.names(source.path, source.sheet)
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
            found = _json(source, objects.lines)
        case "JSON":
            found = _json(source, objects.array)
        case "Excel":
            found = workbook.pieces(source.path, source.sheet)
    for piece in found:
        yield piece.drop(columns=[name for name in drop if name in piece])


def digest(path: Path) -> str:
    """The SHA-256 of a file's content.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def unchanged(source: Source) -> Iterator[None]:
    """Read a file that stays as it was; one that is still being written breaks in many ways, and this is the reason.

    Raises:
        UserError: its content is not what it was when it was first looked at.
    """
    broken = None
    try:
        yield
    except UserError as error:
        broken = error
    if digest(source.path) != source.digest:
        raise UserError(f"{source.path} was changed while it was read; bring it again once it is whole") from broken
    if broken:
        raise broken


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
                piece = piece.iloc[1:].reset_index(drop=True) if first else piece
                first = False
                _require_closed(source, piece)
                yield piece
    except (pa.ArrowException, LookupError, UnicodeError, OSError, EOFError) as error:
        raise UserError(f"{source.path}: {_uneven(source, len(header)) or _short(error)}") from error


def _require_closed(source: Source, piece: pd.DataFrame) -> None:
    """Refuse a value that has swallowed whole rows, since the quotation mark at its end is missing."""
    for name in piece:
        texts = piece[name]
        for text in texts[texts.str.len() > SWALLOWED]:
            lines = text.count("\n")
            if lines >= MANY_LINES and text.count(source.delimiter) >= 0.8 * lines * (piece.shape[1] - 1):
                raise UserError(
                    f"{source.path}: a value of the column {name!r} holds {lines} whole rows; a quotation mark is "
                    f"missing at its end, after {text[:60]!r}"
                )


def _uneven(source: Source, width: int) -> str | None:
    """Where a row has other than so many values, and what to do about that."""
    try:
        with opened(source.path) as file:
            reader = csv.reader(io.TextIOWrapper(file, source.encoding, newline=""), delimiter=source.delimiter)
            rows = ((reader.line_num, row) for row in reader if row)
            number, row = next((number, row) for number, row in rows if len(row) != width)
            following = [len(row) for _, row in islice(rows, 100)]
    except (StopIteration, csv.Error, UnicodeError, OSError, EOFError):
        return None
    found = f"line {number} has {len(row)} values, and the header names {width} columns"
    if following and set(following) == {len(row)} and width == 1:
        return f"{found}; so do the following: take out what stands before the names of the columns"
    if following and set(following) == {len(row)} and len(row) == width + 1:
        return f"{found}; so do the following: a name is missing in the header, such as that of the first column"
    sign = source.delimiter
    return f"{found}; mend the line, or put quotation marks around values with {sign!r} or quotation marks in them"


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
    if pa.types.is_uint64(kind):
        return pd.UInt64Dtype()
    return pd.Int64Dtype() if pa.types.is_integer(kind) else None


def _require_plain(path: Path, field: pa.Field) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    plain = (
        pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_string,
        pa.types.is_large_string, pa.types.is_string_view, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null,
    )  # fmt: skip
    if not any(check(kind) for check in plain):
        raise UserError(f"{path}: column {field.name!r} holds values of type {kind}, which no model reads; DROP= it")


def _json(source: Source, read: Callable[[Path, TextIO], Iterator[pd.DataFrame]]) -> Iterator[pd.DataFrame]:
    try:
        with opened(source.path) as file:
            yield from read(source.path, io.TextIOWrapper(file, source.encoding))
    except (UnicodeError, OSError, EOFError) as error:
        raise UserError(f"{source.path}: {_short(error)}") from error


def _require_distinct(path: Path, names: list[str]) -> None:
    """Refuse columns that cannot be told apart or be named."""
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{path}: the column {repeated[0]!r} stands in the table more than once; rename one of them")
    if [name for name in names if not name.strip()]:
        raise UserError(f"{path}: a column has no name; give it one")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "straddling" in text:
        return "a row is longer than 16 MB; the quotation mark at the end of a value seems to be missing"
    return text if len(text) <= 200 else f"{text[:200]}…"
