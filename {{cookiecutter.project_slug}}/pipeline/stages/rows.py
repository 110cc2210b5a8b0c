"""Tables on disk, read and written in pieces, so that memory does not depend on how many rows there are."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import data
from pipeline.data import Pieces
from pipeline.schema import Column, DataError, Schema
from pipeline.split import Integers
from pipeline.stages import files
from pipeline.validation import cast, require_names, validate

PIECE_ROWS = 2**17
# As many as Arrow's own writer takes, so that a table has the same bytes in pieces and whole.
GROUP_ROWS = 2**20
TOLD_SECONDS = 10.0
WORK = Path("build")


class Raw:
    """Every Parquet file of data/raw, in the order of the names.

    Raises:
        DataError: there is none, or one is damaged or differs from the schema; the message names the file.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        paths = sorted(path for path in files.RAW.glob("*") if not path.name.startswith("."))
        if not paths:
            raise DataError(f"{files.RAW} holds no Parquet file; `make pull` brings the data")
        if others := [path for path in paths if path.suffix != ".parquet"]:
            raise DataError(f"{others[0]}: only Parquet files are read; convert it, or take it away")
        self.files = {str(path): _opened(path) for path in paths}

    def validated(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """Each file's number with a piece of it that fits the schema, in the schema's types; long work is told of."""
        told = time.monotonic()
        for number, (name, file) in enumerate(self.files.items()):
            done, count = 0, file.metadata.num_rows
            try:
                require_names(file.schema_arrow.names, self.schema)
                for piece in _pieces(file, name):
                    where = f"rows {done + 1:,} to {done + len(piece):,}: " if count > PIECE_ROWS else ""
                    yield number, _fitting(piece, self.schema, where)
                    done += len(piece)
                    if time.monotonic() - told > TOLD_SECONDS:
                        told = time.monotonic()
                        print(f"{name}: {done:,} of {count:,} rows", flush=True)
            except DataError as error:
                raise DataError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from error

    def labelled(self, names: list[str] | None) -> Iterator[pd.DataFrame]:
        """The rows that have a label, of files that are known to fit the schema."""
        wanted = list(self.schema.columns if names is None else names)
        read = list(dict.fromkeys([*wanted, self.schema.target]))
        types = {column: self.schema.columns[column] for column in read}
        for number, (name, file) in enumerate(self.files.items()):
            for piece in _pieces(file, name, read):
                yield data.with_label(cast(piece, types), number, self.schema)[wanted]


class Spool:
    """Labelled rows in a file of Arrow's, from which they can be had in any order."""

    def __init__(self, path: Path, schema: Schema, raw: Raw) -> None:
        """Validate the raw rows and write those that have a label to `path`."""
        self.path = path
        self.files: list[int] = []
        self.starts = [0]
        form = _form(schema)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, form) as writer:
            for number, piece in raw.validated():
                batch = pa.RecordBatch.from_pandas(data.with_label(piece, number, schema), form, preserve_index=False)
                writer.write_batch(batch)
                self.files.append(number)
                self.starts.append(self.starts[-1] + batch.num_rows)
                # With what pandas notes about the columns.
                self.form = batch.schema

    def pieces(self, names: list[str] | None) -> Iterator[pd.DataFrame]:
        """The rows in the order of the files."""
        with self._reader(names) as reader:
            for place, number in enumerate(self.files):
                found = _frame(pa.Table.from_batches([reader.get_batch(place)]))
                yield found.set_axis(np.full(len(found), number))[list(self.form.names) if names is None else names]

    def write(self, path: Path, places: Integers) -> None:
        """Write the rows at these places, in this order, as a Parquet file."""
        with self._reader(None) as reader, pq.ParquetWriter(path, self.form) as writer:
            for start in range(0, len(places), GROUP_ROWS):
                writer.write_table(self._taken(reader, places[start : start + GROUP_ROWS]))

    def _taken(self, reader: Any, places: Integers) -> pa.Table:
        order = np.argsort(places, kind="stable")
        ascending = places[order]
        cuts = np.searchsorted(ascending, self.starts)
        batches = [
            reader.get_batch(number).take(pa.array(ascending[low:high] - self.starts[number]))
            for number, (low, high) in enumerate(itertools.pairwise(cuts))
            if low < high
        ]
        found = pa.Table.from_batches(batches).replace_schema_metadata(self.form.metadata).combine_chunks()
        return found.take(pa.array(np.argsort(order)))

    @contextmanager
    def _reader(self, names: list[str] | None) -> Iterator[Any]:
        fields = None if names is None else [self.form.get_field_index(name) for name in names]
        with pa.OSFile(str(self.path)) as source:
            yield pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=fields))


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder for what is only needed while a stage runs."""
    WORK.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=WORK, prefix="rows-") as folder:
        yield Path(folder)


def pieces(path: Path, schema: Schema) -> Pieces:
    """The rows of a prepared file, in the schema's types.

    Raises:
        DataError: the file is missing, empty, damaged or not Parquet.
    """
    file = _opened(path)

    def read(names: list[str] | None) -> Iterator[pd.DataFrame]:
        columns = schema.columns if names is None else {name: schema.columns[name] for name in names}
        for piece in _pieces(file, str(path), list(columns)):
            yield cast(piece, columns)

    return read


def prepared(path: Path, schema: Schema, names: list[str] | None = None) -> pd.DataFrame:
    """A prepared file's columns, all of them without `names`, in the schema's types.

    Raises:
        DataError: as `pieces`.
    """
    file = _opened(path)
    wanted = list(dict.fromkeys(schema.columns if names is None else names))
    # One at a time, so that only one is held twice.
    columns = {name: cast(_read(file, path, name), {name: schema.columns[name]})[name] for name in wanted}
    return pd.DataFrame(columns)


def count(path: Path) -> int:
    """How many rows a prepared file has.

    Raises:
        DataError: as `pieces`.
    """
    return int(_opened(path).metadata.num_rows)


def at(path: Path, schema: Schema, places: Integers) -> pd.DataFrame:
    """The rows at these places of a prepared file, which are in ascending order, in the schema's types.

    Raises:
        DataError: as `pieces`.
    """
    found, start = [], 0
    for piece in pieces(path, schema)(None):
        low, high = np.searchsorted(places, [start, start + len(piece)])
        found.append(piece.iloc[places[low:high] - start])
        start += len(piece)
    return pd.concat(found, ignore_index=True)


def _opened(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise DataError(f"{path}: this is no file, or leads to none")
    if not path.stat().st_size:
        raise DataError(f"{path}: the file is empty")
    with _readable(str(path)):
        return pq.ParquetFile(path, pre_buffer=False)


def _pieces(file: pq.ParquetFile, name: str, columns: list[str] | None = None) -> Iterator[pd.DataFrame]:
    """The rows in pieces, repeated column names kept for the validation to find; one without rows if there are none."""
    with _readable(name):
        if not file.metadata.num_rows:
            yield _frame(file.read(columns))
        for batch in file.iter_batches(PIECE_ROWS, columns=columns):
            yield _frame(pa.Table.from_batches([batch]))


def _read(file: pq.ParquetFile, path: Path, name: str) -> pd.DataFrame:
    with _readable(str(path)):
        return _frame(file.read([name]))


def _frame(table: pa.Table) -> pd.DataFrame:
    """The table, in which equal texts are one object: a text takes sixty bytes, and its place in a column eight."""
    # What pandas noted about an index would take columns out of the table.
    found: pd.DataFrame = table.to_pandas(ignore_metadata=True, strings_to_categorical=True)
    for name, values in found.items():
        if isinstance(values.dtype, pd.CategoricalDtype) and pd.api.types.is_string_dtype(values.cat.categories):
            texts = np.array([*values.cat.categories, None], dtype=object)
            found[name] = pd.Series(texts[values.cat.codes], found.index, dtype=object)
    return found


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{name}: this is no readable Parquet file ({reason})") from error


def _fitting(piece: pd.DataFrame, schema: Schema, where: str) -> pd.DataFrame:
    try:
        return validate(piece, schema)
    except DataError as error:
        raise DataError(f"{where}{error}") from error


def _form(schema: Schema) -> pa.Schema:
    """The types of labelled rows, in which each column is the same in every piece, though it be empty in one."""
    return pa.schema([(name, _type(column, name == schema.target)) for name, column in schema.columns.items()])


def _type(column: Column, is_target: bool) -> pa.DataType:
    match column.type:
        case "category" | "text":
            return pa.string()
        case "datetime":
            return pa.timestamp("us", "UTC" if column.zoned else None)
        case "integer" | "boolean" if is_target:
            return pa.int64()
        case "boolean" if not column.nullable:
            return pa.bool_()
        case "integer" if not column.nullable:
            return pa.int64()
        case _:
            return pa.float64()
