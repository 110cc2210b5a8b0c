"""A task: looks at an input, and says how it is divided into pieces that can be read on their own."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gitops_ml.batch.store import Store
from gitops_ml.core.errors import UserError

Kind = Literal["CSV", "JSON Lines", "Parquet"]
KINDS: dict[str, Kind] = {
    ".csv": "CSV",
    ".tsv": "CSV",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".parquet": "Parquet",
}
DELIMITERS = (",", ";", "\t", "|")
# So much text is read at once. Of Parquet, whole row groups of about as many rows.
BLOCK_BYTES = 1 << 22
GROUP_ROWS = 1 << 16
READ_BYTES = 1 << 22


@dataclass(frozen=True)
class Wanted:
    """An input to look at: its name and where it is; which columns it must have, and which are carried through."""

    name: str
    url: str
    needed: tuple[str, ...]
    carried: tuple[str, ...]


@dataclass(frozen=True)
class Input:
    """An input that was looked at.

    `pieces`: of text from which byte to which, of Parquet from which row group to which; the end of a zipped one is -1.
    """

    name: str
    url: str
    kind: Kind
    version: str
    sha256: str
    bytes: int
    names: tuple[str, ...]
    delimiter: str
    carried: tuple[str, ...]
    pieces: tuple[tuple[int, int], ...]


def kind_of(name: str) -> Kind | None:
    """What a file is, by its name; None if it is nothing that is read."""
    plain = name.removesuffix(".gz")
    found = KINDS.get(plain[plain.rfind(".") :]) if "." in plain else None
    return None if found == "Parquet" and plain != name else found


def look(wanted: Wanted) -> Input:
    """Look at an input.

    Raises:
        UserError: it cannot be read, or lacks a column that the model needs; the message names it.
    """
    try:
        return _look(wanted)
    except UserError as error:
        raise UserError(f"{wanted.name}: {error}") from error


def _look(wanted: Wanted) -> Input:
    store = Store(wanted.url)
    version, kind = store.version(), kind_of(wanted.name)
    assert kind is not None  # noqa: S101 - others were left out
    hashing, size = hashlib.sha256(), 0
    with store.open() as file:
        while content := file.read(READ_BYTES):
            hashing.update(content)
            size += len(content)
    delimiter = ","
    if kind == "Parquet":
        names, pieces = _groups(store)
    else:
        zipped = wanted.name.endswith(".gz")
        with store.open() as file:
            stream = gzip.GzipFile(fileobj=file) if zipped else file
            head = stream.readline()
            if kind == "CSV":
                names, delimiter = _header(head, wanted.needed)
                start = len(head)
            else:
                names, start = [*wanted.needed, *wanted.carried], 0
                stream.seek(0)
            pieces = (
                [(start, -1)] if zipped else list(_cut(stream, start, size, quoted=kind == "CSV")) or [(start, start)]
            )
    if lacking := [name for name in wanted.needed if name not in names]:
        raise UserError(f"it has no column {lacking[0]!r}, which the model needs")
    if twice := [name for name in (*wanted.needed, *wanted.carried) if names.count(name) > 1]:
        raise UserError(f"the column {twice[0]!r} stands in it more than once")
    carried = tuple(name for name in wanted.carried if name in names)
    return Input(
        wanted.name,
        wanted.url,
        kind,
        version,
        hashing.hexdigest(),
        size,
        tuple(names),
        delimiter,
        carried,
        tuple(pieces),
    )


def blocks(stream: Any, quoted: bool, size: int = 0) -> Iterator[bytes]:
    """What is left of a stream, in blocks that end with a record; a line's end within quotation marks is none.

    Args:
        stream: is read to its end.
        quoted: whether there are quotation marks.
        size: of the stream, so that blocks are alike; 0 if nobody knows.

    Raises:
        UserError: a record is longer than a block.
    """
    content, at_once = b"", size // (size // BLOCK_BYTES + 1) + 1 if size else BLOCK_BYTES
    while len(more := stream.read(at_once)) == at_once:
        content += more
        end = _last_end(content, quoted)
        if not end and len(content) > 2 * BLOCK_BYTES:
            raise UserError(f"a row is longer than {BLOCK_BYTES >> 20} MB; a quotation mark seems to be missing")
        if end:
            yield content[:end]
            content = content[end:]
    if content := content + more:
        yield content


def _last_end(content: bytes, quoted: bool) -> int:
    """Behind the last record that ends in a content that begins with one; 0 if none does."""
    end = content.rfind(b"\n") + 1
    if not quoted:
        return end
    marks = content.count(b'"', 0, end)
    while end and marks % 2:
        before = content.rfind(b"\n", 0, end - 1) + 1
        marks -= content.count(b'"', before, end)
        end = before
    return end


def _cut(stream: Any, start: int, size: int, quoted: bool) -> Iterator[tuple[int, int]]:
    for block in blocks(stream, quoted, size - start):
        if block.strip():
            yield start, start + len(block)
        start += len(block)


def _header(head: bytes, needed: tuple[str, ...]) -> tuple[list[str], str]:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("it is no UTF-8; write it anew, as by `iconv -t UTF-8`") from error
    found = {}
    for sign in DELIMITERS:
        names = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=sign), [])]
        found[sign] = names
        if set(needed) <= set(names):
            return names, sign
    sign = max(found, key=lambda each: len(set(needed) & set(found[each])))
    return found[sign], sign


def _groups(store: Store) -> tuple[list[str], list[tuple[int, int]]]:
    try:
        with store.open() as file:
            metadata = pq.ParquetFile(file).metadata
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"this is no readable Parquet file ({' '.join(str(error).split())[:200]})") from error
    pieces, first, rows = list[tuple[int, int]](), 0, 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        if rows >= GROUP_ROWS or group == metadata.num_row_groups - 1:
            pieces.append((first, group + 1))
            first, rows = group + 1, 0
    return list(metadata.schema.to_arrow_schema().names), pieces or [(0, 0)]
