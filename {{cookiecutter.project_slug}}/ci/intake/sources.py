"""Opens CSV, Parquet and JSON Lines files, plain or gzipped, and gives their rows in pieces that fit into memory."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

import charset_normalizer
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ci.errors import UserError

Kind = Literal["CSV", "Parquet", "JSON Lines"]
DELIMITERS = (",", ";", "\t", "|")
# What is looked at to recognise delimiter and encoding.
SAMPLE_BYTES = 1 << 18
# A piece of a CSV file, and the longest row that can be read.
BLOCK_BYTES = 1 << 24
PIECE_ROWS = 1 << 16
UTF8 = "utf-8-sig"
BOMS = {codecs.BOM_UTF8: UTF8, codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Source:
    """A file, what it is, and for CSV how it is written. `untyped`: every value is text, as in CSV."""

    path: Path
    kind: Kind
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


def recognise(path: Path, delimiter: str | None = None, encoding: str | None = None) -> Source:
    """What kind of file this is; what is not said is looked for in its content, not in its name.

    Raises:
        UserError: it cannot be read, or is of no kind that is known, or the person has to say more.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise UserError(f"{path}: the file is empty")
    if start == b"PAR1":
        return Source(path, "Parquet")
    if start == b"PK\x03\x04":
        raise UserError(f"{path}: this is a ZIP archive or an Excel file; save its table as CSV")
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise UserError(f"there is no encoding {encoding!r}") from error
    source = Source(path, "CSV", encoding or _encoding(path))
    text = _start(source)
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    if "\0" in text:
        raise UserError(f"{path}: this is no text; CSV, Parquet and JSON Lines are read, each plain or gzipped")
    if text.lstrip().startswith("{"):
        return replace(source, kind="JSON Lines")
    if text.lstrip().startswith("[{"):
        raise UserError(f"{path}: this is one JSON array; write one object a line (JSON Lines)")
    return replace(source, delimiter=delimiter or _delimiter(path, text))


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


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")  # type: ignore[return-value]


def _encoding(path: Path) -> str:
    """UTF-8, or what a byte order mark says; any other has to be said, since a wrong guess garbles names silently."""
    try:
        with _open(path) as file:
            start = file.read(SAMPLE_BYTES)
            for mark, encoding in BOMS.items():
                if start.startswith(mark):
                    return encoding
            decoder = codecs.getincrementaldecoder("utf-8")()
            block = start
            while block:
                decoder.decode(block)
                block = file.read(BLOCK_BYTES)
            decoder.decode(b"", final=True)
    except (OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        place = max(0, error.start - 40)
        around = bytes(error.object)[place : error.start + 40]
        guess = charset_normalizer.from_bytes(bytes(error.object)[-SAMPLE_BYTES:]).best()
        # Windows' western one is the most frequent by far, and the guess is poor on few letters.
        name = "cp1252" if guess is None or guess.encoding.startswith(("cp125", "latin", "iso8859")) else guess.encoding
        shown = " ".join(around.decode(name, errors="replace").split())
        raise UserError(
            f"{path} is not UTF-8; say its encoding, for example ENCODING={name}, in which one place reads {shown!r}"
        ) from error
    return UTF8


def _start(source: Source) -> str:
    """The first lines, whole ones unless the first is longer than the sample."""
    try:
        with _open(source.path) as file:
            text = codecs.getincrementaldecoder(source.encoding)().decode(file.read(SAMPLE_BYTES))
            whole = not file.read(1)
    except UnicodeDecodeError as error:
        raise UserError(f"{source.path} is not {source.encoding}: {error.reason} at byte {error.start}") from error
    return text if whole else text[: text.rfind("\n") + 1] or text


def _delimiter(path: Path, text: str) -> str:
    """The delimiter that divides every row into the same number of values; more of them win."""
    widths = {}
    for candidate in DELIMITERS:
        try:
            found = [
                len(row) for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=candidate), 1000) if row
            ]
        except csv.Error:
            continue
        widths[candidate] = found
    even = {name: found[0] for name, found in widths.items() if found[0] > 1 and len(set(found)) == 1}
    if even:
        most = max(even.values())
        best = [name for name, width in even.items() if width == most]
        if len(best) > 1:
            shown = " or ".join(repr(name) for name in best)
            raise UserError(f"{path}: the values could be divided by {shown}; say which, with DELIMITER=")
        return best[0]
    # Nothing fits every row: take what fits most, so that the reader can say which row is the odd one.
    ragged = {name: Counter(found).most_common(1)[0] for name, found in widths.items()}
    return max(ragged, key=lambda name: (ragged[name][0] > 1, ragged[name][1])) if ragged else ","


def _header(source: Source) -> list[str]:
    with _open(source.path) as file:
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
        with _open(source.path) as file, pa.csv.open_csv(file, read, parse, convert) as reader:
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
        with _open(source.path) as file:
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
