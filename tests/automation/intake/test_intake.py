"""`make data` on tables as people have them: what it recognises, decides, and refuses in one sentence."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from gitops_ml.core.errors import UserError
from gitops_ml.intake import take as take_in
from gitops_ml.intake.bring import bring
from gitops_ml.reading import sources
from gitops_ml.reading.decide import Spelling, forms_of
from gitops_ml.reading.recognise import recognise
from pipeline.stages import files, rows

from tests.automation.intake.bringing import (
    LABEL,
    RANDOM,
    ROWS,
    SIGNAL,
    fitting,
    rows_of,
    run_quickly,
    said,
    table,
    take,
)
from tests.automation.tables import PROJECT

FORMATS = {
    "CSV": lambda frame: frame.to_csv(index=False).encode(),
    "CSV, gzipped": lambda frame: gzip.compress(frame.to_csv(index=False).encode()),
    "tabs": lambda frame: frame.to_csv(index=False, sep="\t").encode(),
    "semicolons and decimal commas": lambda frame: frame.to_csv(index=False, sep=";", decimal=",").encode(),
    "pipes and Windows' line ends": lambda frame: frame.to_csv(index=False, sep="|", lineterminator="\r\n").encode(),
    "byte order mark": lambda frame: frame.to_csv(index=False).encode("utf-8-sig"),
    "UTF-16": lambda frame: frame.to_csv(index=False).encode("utf-16"),
    "all quoted": lambda frame: frame.to_csv(index=False, quoting=1).encode(),
    "Parquet": lambda frame: frame.to_parquet(index=False),
    "Parquet with an index": lambda frame: frame.set_index("city").to_parquet(),
    "JSON Lines": lambda frame: frame.to_json(orient="records", lines=True, force_ascii=False).encode(),
    "a JSON array": lambda frame: frame.to_json(orient="records").encode(),
    "a JSON array over many lines": lambda frame: frame.to_json(orient="records", indent=2).encode(),
    "JSON Lines, gzipped": lambda frame: gzip.compress(frame.to_json(orient="records", lines=True).encode()),
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_table(form: str) -> None:
    """However a table is written, it is recognised without a word, and the same raw data comes out of it."""
    frame = table(count=RANDOM.integers(0, 50, ROWS), city=RANDOM.choice(["Zürich", "São Paulo", "東京"], ROWS))
    # The name says nothing: the content does.
    take(FORMATS[form](frame), name="table")
    schema = fitting()
    assert {name: column.type for name, column in schema.features.items()} == {
        "x": "number",
        "count": "integer",
        "city": "category",
    }
    ((_, raw),) = rows.Raw(schema).validated()
    pd.testing.assert_frame_equal(raw[list(frame)], frame, check_dtype=False)


COLUMNS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "boolean": (["true", "False", "TRUE", ""], {"type": "boolean", "nullable": True}),
    "integers with gaps": (["1", "5", "", "9", "NA"], {"type": "integer", "nullable": True}),
    "numbers with a placeholder": (["1.5", "?", "7"], {"type": "number", "nullable": True}),
    "exponents": (["1e3", "-2.5E-2", "7"], {"type": "number"}),
    "thousands": (["1,234.5", "12.25", "1,000"], {"type": "number"}),
    "codes with leading zeros": (["00123", "00456", "00123"], {"type": "category", "open": False}),
    "ISO dates": (["2024-01-31", "2023-12-01"], {"type": "datetime", "zoned": False}),
    "ISO moments with zones": (["2024-01-31T10:00:00Z", "2024-07-31 10:00+02:00"], {"type": "datetime", "zoned": True}),
    "German dates": (["31.01.2024", "01.12.2023 14:30"], {"type": "datetime", "zoned": False}),
    "American dates": (["1/31/2024", "12/1/2023"], {"type": "datetime", "zoned": False}),
    "dates with names of months": (["Jan 31 2024", "Dec 1 2023"], {"type": "datetime"}),
    "few texts": (["red", "green"], {"type": "category", "categories": ["green", "red"]}),
    "texts and numbers": (["1", "two", "3", "four"], {"type": "category"}),
    "words that YAML takes for others": (["no", "on", "1:30", "~", "- x", "2024"], {"type": "category"}),
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_is_recognised(kind: str) -> None:
    """Types are recognised in text as people write it, and the data that is written fits the schema that is written."""
    values, expected = COLUMNS[kind]
    take(table(c=rows_of(values)))
    assert fitting().columns["c"].model_dump() | expected == fitting().columns["c"].model_dump()


@pytest.mark.usefixtures("project")
def test_many_texts_are_words_names_or_an_open_category() -> None:
    """Long texts are read as words, texts that name the rows are left out, and what comes back is an open category."""
    words = [f"the {a} dog saw {b} cats" for a, b in zip(RANDOM.choice(["old", "red"], ROWS), range(ROWS), strict=True)]
    names = [f"n{number}x" for number in range(ROWS)]
    cities = [f"city {number}" for number in RANDOM.integers(0, 30, ROWS)]
    take(table(words=words, name=names, city=cities))
    columns = fitting().columns
    assert (columns["words"].type, columns["words"].role) == ("text", "feature")
    assert (columns["name"].role, columns["name"].reason) == (
        "ignore",
        "a different value in nearly every row: an identifier",
    )
    assert (columns["city"].type, columns["city"].open) == ("category", True)


USELESS = {
    "row numbers": (list(range(1, ROWS + 1)), "counts the rows"),
    "constant": (["a"] * ROWS, "the same value in every row"),
    "empty": ([None] * ROWS, "empty in every row"),
    "the target": (LABEL, "equals the target"),
    "the target in other words": (np.where(LABEL == "yes", "accepted", "refused"), "is one to one with the target"),
    "numbers of a register": (
        RANDOM.integers(526_301_100, 924_152_030, ROWS),
        "whole numbers of 9 digits that hardly repeat: an identifier",
    ),
    "shuffled numbers": (
        RANDOM.permutation(ROWS) + 1000,
        "whole numbers that repeat far less than chance would: an identifier",
    ),
    "a long number": (RANDOM.integers(10**17, 10**18, ROWS), "a different value in nearly every row: an identifier"),
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("kind", USELESS)
def test_a_column_without_use_is_left_out_with_the_reason(kind: str) -> None:
    """Identifiers, constants, empty columns and the target in disguise are no features, and it is said why."""
    values, reason = USELESS[kind]
    outcome = take(table(c=values))
    column = fitting().columns["c"]
    assert (column.role, column.reason) == ("ignore", reason)
    assert f"'c' is left out: {reason}" in outcome.notes


USEFUL = {
    "amounts": RANDOM.normal(50_000, 9_000, ROWS).astype(int),
    "sizes over many orders": np.exp(RANDOM.normal(14, 2, ROWS)).astype(int),
    "a rank that tells something": np.argsort(np.argsort(SIGNAL)) + 1,
    "years": np.arange(2024, 2024 - ROWS, -1),
    "numbers that repeat": RANDOM.integers(1, ROWS, ROWS),
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("kind", USEFUL)
def test_a_quantity_is_no_identifier(kind: str) -> None:
    """Whole numbers that measure something stay, though each of them may occur only once."""
    take(table(c=USEFUL[kind]))
    assert "c" in fitting().features


@pytest.mark.usefixtures("project")
def test_a_column_that_names_the_rows_stays_if_somebody_says_what_it_is() -> None:
    """NUMBER= and CATEGORY= take a column that would be left out."""
    for wishes in ({"number": ["c"]}, {"category": ["c"]}):
        take(table(c=RANDOM.permutation(ROWS) + 1000), **wishes)
        assert "c" in fitting().features


@pytest.mark.usefixtures("project")
def test_a_category_that_judges_by_other_values_than_it_trains_is_left_out() -> None:
    """Names of which none comes again later are identifiers, though each names several rows."""
    frame = table(day=pd.date_range("2024-01-01", periods=ROWS).astype(str), c=[f"visit {n // 3}" for n in range(ROWS)])
    outcome = take(frame, time_column="day")
    assert fitting().columns["c"].role == "ignore"
    assert any(note.startswith("'c' is left out: only 0% of the rows that judge") for note in outcome.notes)
    take(frame, time_column="none")
    assert "c" in fitting().features


PARTS = {"a sum": lambda a, b, c: a + b + 2 * c, "a product": lambda a, b, c: (a + 9) * (b + 9) * (c + 9)}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("kind", PARTS)
def test_columns_that_are_the_target_in_pieces_are_warned_about(kind: str) -> None:
    """Columns of which the target is the sum or the product are named together, and no other."""
    frame = pd.DataFrame(RANDOM.normal(size=(200, 4)), columns=[*"abcd"])
    outcome = take(frame.add(9 * (kind == "a product")).assign(y=PARTS[kind](frame.a, frame.b, frame.c)))
    (warning,) = [warning for warning in outcome.warnings if "together" in warning]
    assert warning.endswith("DROP=a,b,c")


@pytest.mark.usefixtures("project")
def test_a_column_that_is_too_good_is_warned_about() -> None:
    """A column that alone gives the answer stays, with a warning that says how to leave it out."""
    outcome = take(
        table(paid=np.where(LABEL == "yes", RANDOM.uniform(10, 20, ROWS), RANDOM.uniform(0, 1, ROWS)).round(3))
    )
    assert "paid" in fitting().features
    assert any(warning.startswith("'paid' alone predicts") and "DROP=paid" in warning for warning in outcome.warnings)


TASKS: dict[str, tuple[Any, str]] = {
    "two words": (LABEL, "binary"),
    "zero and one": ((LABEL == "yes").astype(int), "binary"),
    "one and two": ((LABEL == "yes").astype(int) + 1, "binary"),
    "true and false": (LABEL == "yes", "binary"),
    "three words": (np.digitize(SIGNAL, [-0.4, 0.4]).astype(str), "multiclass"),
    "few numbers": (np.digitize(SIGNAL, [-0.4, 0.4]) * 10, "multiclass"),
    "many numbers": ((SIGNAL * 100).astype(int), "regression"),
    "fractions": (SIGNAL * 2.5 + 1, "regression"),
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("kind", TASKS)
def test_the_task_follows_the_target(kind: str) -> None:
    """Two values are a binary task, a few are classes, many numbers a regression; the whole pipeline runs on each."""
    target, task = TASKS[kind]
    take(table(noise=RANDOM.normal(size=ROWS).round(3)).assign(y=target))
    assert fitting().task == task
    run_quickly()


HOSTILE = [
    "a b",
    "it's",
    '"quoted"',
    "[x] <y>",
    "target",
    "index",
    "été 東京 😀",
    "a,b;c\td",
    "{{ x }} {% y %}",
    "row",
    "yes",
]
HOSTILE += ["a\x85b\u2028c", "a```b", "`c`\n```", "1", "null", "true", "- a: b #c", "${HOME}`id`", "x" * 300]


@pytest.mark.usefixtures("project")
def test_hostile_names_go_the_whole_way() -> None:
    """Columns may be called anything, the target too."""
    frame = table(**{name: RANDOM.normal(size=ROWS).round(3) for name in HOSTILE}).rename(columns={"y": "t: '<{[\""})
    frame["kind | of"] = RANDOM.choice(["a", "b"], ROWS)
    take(frame, target="t: '<{[\"")
    assert set(HOSTILE) < set(fitting().features)
    run_quickly()


@pytest.mark.usefixtures("project")
def test_the_example_request_holds_whatever_the_columns_are_called() -> None:
    """The README's request can be pasted into a shell with any names, and bringing them again changes no file."""
    frame = table(**{name: rows_of(["a'b", "```", "c`d`"]) for name in HOSTILE})
    take(frame)
    blocks = re.findall(r"^```sh\n(curl .*?)^```$", Path("README.md").read_text(), re.DOTALL | re.MULTILINE)
    row = json.loads(shlex.split(blocks[0])[-1])["row"]
    assert row.keys() == fitting().features.keys()
    assert take(frame).written == []


@pytest.mark.usefixtures("project")
def test_a_text_that_no_request_can_hold_is_refused() -> None:
    """What the service would refuse is refused at once, by `make data` and by the validation of any raw data."""
    texts = [f"some words of text {number} here" for number in range(ROWS)]
    with pytest.raises(UserError, match=r"has texts of up to 20,001 letters in 1 row, and a request may hold 20,000"):
        take(table(c=["x" * 20_001, *texts[1:]]))
    with pytest.raises(UserError, match=r"letters in 60 rows, and a request may hold 200"):
        take(table(c=[f"{number:0201d}" for number in range(ROWS)]), category=["c"])
    take(table(c=["x" * 20_000, *texts[1:]]))


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("more", ["1.5,yes\n", "no number,no\n"])
def test_a_file_that_is_still_written_is_not_taken(more: str) -> None:
    """A file that changes between the two passes is refused, whether it breaks by that or only has more rows."""
    path = Path("../growing.csv")
    path.write_text(table().to_csv(index=False))
    source = recognise(path)
    columns = take_in.look(source, (), frozenset())
    with path.open("a") as file:
        file.write(more)
    with pytest.raises(UserError, match="was changed while it was read"), sources.unchanged(source):
        take_in.write(source, (), forms_of(columns, Spelling()), ROWS)


@pytest.mark.usefixtures("project")
def test_five_hundred_columns_are_taken() -> None:
    """A wide table is a table like any other."""
    wide = pd.DataFrame(RANDOM.normal(size=(ROWS, 500)).round(3), columns=[f"c{number}" for number in range(500)])
    take(pd.concat([wide, table()], axis=1))
    assert len(fitting().features) == 501


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no file content": (b"", {}, "the file is empty"),
    "blanks": (b"\n \n", {}, "the file is empty"),
    "a header alone": (b"x,y\n", {}, "has no rows"),
    "zeros": (b"\x00" * 100, {}, "this is no text"),
    "a broken Parquet file": (b"PAR1" + b"x" * 50, {}, "no readable Parquet file"),
    "an archive": (b"PK\x03\x04" + b"x" * 50, {}, "this is a ZIP archive; unpack it"),
    "a broken gzip file": (gzip.compress(b"x,y\n1,2\n" * 99)[:20], {}, "cannot be read"),
    "a broken line of JSON": (b'{"x": 1, "y": 2}\n{"x": \n', {}, "line 2 is no JSON object"),
    "nested JSON": (b'{"x": {"a": 1}, "y": 2}\n' * 30, {}, "column 'x' holds dict values"),
    "a ragged file": (
        b"x,y\n" + b"1,a\n2,b\n" * 30 + b"1,2,3\n",
        {},
        "line 62 has 3 values, and the header names 2 columns; mend the line",
    ),
    "a short row": (
        b"x,z,y\n" + b"1,2,a\n2,3,b\n" * 30 + b"1,2\n",
        {},
        "line 62 has 2 values, and the header names 3 columns",
    ),
    "a name too few": (b"x,y\n" + b"1,2,a\n" * 60, {}, "line 2 has 3 values"),
    "words before the names": (b"made by hand\nx,y\n" + b"1,a\n" * 60, {}, "take out what stands before the names"),
    "a quotation mark too many": (
        table().to_csv(index=False).replace(",yes", ',"yes', 1),
        {},
        "a quotation mark is missing at its end",
    ),
    "a PDF": (b"%PDF-1.4 x", {}, "this is a PDF document; export its table as CSV"),
    "a web page": (b"<!DOCTYPE html><p>Sign in</p>", {}, "this is a web page or XML"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", {}, "this is no text"),
    "an array of numbers": (b"[1, 2]", {}, "an array of JSON objects is read"),
    "a broken array": (b'[{"x": 1, "y": 2},\n{"x": 1,\n]', {}, "line 3 is no JSON"),
    "a table by columns": (table().to_json().encode(), {}, "to_json(orient='records', lines=True)"),
    "another delimiter": (table(), {"delimiter": ";"}, "has one column, 'x,y'; say DELIMITER=','"),
    "no delimiter": (table(), {"delimiter": "ab"}, "a delimiter is one sign"),
    "no encoding of texts": (table(), {"encoding": "rot13"}, "there is no encoding 'rot13' of texts"),
    "an encoding that garbles": (table(c=["Zürich"] * ROWS), {"encoding": "cp1252"}, "leave ENCODING= out"),
    "an encoding that it is not": (table(), {"encoding": "utf-16"}, "is not utf-16; leave ENCODING= out"),
    "identifiers for a target": (table().assign(y=RANDOM.integers(10**15, 10**16, ROWS)), {}, "of 16 digits or more"),
    "repeated names": (
        table().to_csv(index=False).replace("x,", "y,", 1),
        {},
        "'y' stands in the table more than once",
    ),
    "another encoding": (table(c=["Zürich"] * ROWS).to_csv(index=False).encode("cp1252"), {}, "say its encoding"),
    "a wrong encoding": (
        table(c=["Zürich"] * ROWS).to_csv(index=False).encode("cp1252"),
        {"encoding": "utf-8"},
        "is not utf-8",
    ),
    "no such encoding": (table(), {"encoding": "klingon"}, "no encoding 'klingon'"),
    "dates in two orders": (
        table(c=rows_of(["01/02/2024", "03/04/2024"])),
        {},
        "say DATES=day-first or DATES=month-first",
    ),
    "commas of two meanings": (table(c=rows_of(["1,234", "5,678"])), {}, "say DECIMAL=, or DECIMAL=."),
    "numbers and a few words": (
        table(c=[*rows_of(["1", "2", "3.5"])[:-1], "many"]),
        {},
        "column 'c' mixes numbers and text",
    ),
    "infinity": (table(c=[*["1.5"] * (ROWS - 1), "inf"]), {}, "column 'c' holds infinity in 1 rows"),
    "no such target": (table(), {"target": "Y "}, "the target 'Y ' is no column of the table; it has 'y'"),
    "no such column to drop": (table(), {"drop": ["z"]}, "the column 'z', which should be left out, is no column"),
    "one class": (table().assign(y="a"), {}, "the same value in every row"),
    "an empty target": (table().assign(y=None), {}, "has 0 rows with a label"),
    "few labels": (table().assign(y=[*LABEL[:10], *[None] * (ROWS - 10)]), {}, "has 10 rows with a label"),
    "a target that names the rows": (table().assign(y=[f"n{n}" for n in range(ROWS)]), {}, "single class"),
    "dates for a target": (table().assign(y=rows_of(["2024-01-01", "2024-02-01"])), {}, "holds dates"),
    "words for a regression": (table(), {"task": "regression"}, "a regression predicts numbers"),
    "a time that is none": (table(c=rows_of(["a", "b"])), {"time_column": "c"}, "has no order in time"),
    "a time with gaps": (table(c=rows_of(["1", ""])), {"time_column": "c"}, "is empty in 30 rows"),
    "nothing to learn from": (pd.DataFrame({"id": range(ROWS), "y": LABEL}), {}, "no column is left"),
    "one column": (pd.DataFrame({"y": LABEL}), {}, "no column is left"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_refused_and_nothing_changes(project: Path, kind: str) -> None:
    """A file that is broken, ambiguous or no problem to solve ends in one sentence, and every file stays as it was."""
    content, wishes, reason = REFUSED[kind]
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as refused:
        take(content, **wishes)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("project")
def test_what_is_asked_for_can_be_said() -> None:
    """Each question that is asked has an answer at the command line."""
    frame = table(
        c=rows_of(["1,234", "5,678"]), d=rows_of(["01/02/2024", "03/04/2024"]), e=["Zürich"] * 30 + ["Ürdingen"] * 30
    )
    frame["f"] = [*["1", "2"] * (ROWS // 2 - 1), "many", "3"]
    take(
        frame.to_csv(index=False).encode("cp1252"), encoding="cp1252", decimal=".", dates="day-first", missing=["many"]
    )
    _, raw = next(rows.Raw(fitting()).validated())
    assert raw["c"].max() == 5678
    assert raw["d"].max() == pd.Timestamp("2024-04-03")
    assert set(raw["e"]) == {"Zürich", "Ürdingen"}
    assert raw["f"].isna().sum() == 1


@pytest.mark.usefixtures("project")
def test_parquet_keeps_its_types() -> None:
    """Moments, decimals, dictionaries and nullable integers of Parquet stay what they are; lists must be dropped."""
    moments = pd.date_range("2024-01-01", periods=ROWS, freq="h", tz="Europe/Zurich")
    columns = {
        "moment": pa.array(moments),
        "price": pa.array([None, *[f"{number}.50" for number in range(ROWS - 1)]]).cast(pa.decimal128(9, 2)),
        "kind": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
        "count": pa.array([None, *RANDOM.integers(0, 9, ROWS - 1).tolist()], pa.int32()),
        "list": pa.array([[1]] * ROWS),
        "y": pa.array(LABEL),
    }
    pq.write_table(pa.table(columns), "../table.parquet")
    with pytest.raises(UserError, match="column 'list' holds values of type list"):
        bring(Path("../table.parquet"), said(), dry_run=False)
    bring(Path("../table.parquet"), said(drop=["list"]), dry_run=False)
    schema = fitting()
    found = {name: (column.type, column.zoned, column.nullable) for name, column in schema.features.items()}
    assert found == {
        "moment": ("datetime", True, False),
        "price": ("number", False, True),
        "kind": ("category", False, False),
        "count": ("integer", False, True),
    }
    assert schema.dropped == ["list"]
    run_quickly()


@pytest.mark.usefixtures("project")
def test_numbers_that_no_integer_holds_are_names() -> None:
    """Whole numbers beyond 64 bits are taken as the text that they are written as, and name the rows."""
    pq.write_table(pa.table({"x": SIGNAL, "c": RANDOM.integers(2**62, 2**63, ROWS, "uint64") * 2, "y": LABEL}), "../t")
    bring(Path("../t"), said(), dry_run=False)
    assert fitting().columns["c"].role == "ignore"


def test_a_folder_is_no_file() -> None:
    """A folder is refused with what to bring instead."""
    with pytest.raises(UserError, match="is a folder; say one file of it"):
        bring(Path(".."), said(), dry_run=False)


@pytest.mark.usefixtures("project")
def test_time_and_key_decide_the_split() -> None:
    """With a time column the newest rows judge; with a key whole groups do, and the model does not see it."""
    frame = table(day=pd.date_range("2024-01-01", periods=ROWS).astype(str), who=RANDOM.integers(0, 20, ROWS))
    take(frame, time_column="day")
    assert files.params().prepare.split.by == "time"
    take(frame, key="who")
    split = files.params().prepare.split
    assert (split.by, split.columns) == ("group", ["who"])
    assert "who" not in fitting().features
    run_quickly()
    train_part, test_part = (pd.read_parquet(path) for path in (files.TRAIN, files.TEST))
    assert not set(train_part["who"]) & set(test_part["who"])


@pytest.mark.usefixtures("project")
def test_a_second_batch_is_held_to_the_schema() -> None:
    """Without a target the file is another batch: it is validated, told apart and kept beside the first."""
    frame = table(city=RANDOM.choice([f"city {n}" for n in range(20)], ROWS), size=RANDOM.uniform(1, 2, ROWS).round(2))
    frame.loc[0, "city"] = "seen once"
    take(frame, name="january.csv")
    before = Path("schema.yaml").read_text()
    later = frame.assign(city="elsewhere", size=[None] * 30 + [2.5] * 30)
    with pytest.raises(UserError, match="'size' is empty in 30 rows, and the schema says that it never is"):
        take(later, target=None, name="february.csv")
    later["size"] = 2.4
    outcome = take(later, target=None, name="february.csv")
    assert any("'city' has values new to the schema: 'elsewhere'" in note for note in outcome.notes)
    assert any("the median of 'size' is 2.4" in note for note in outcome.notes)
    assert len(rows.Raw(fitting()).files) == 2
    assert Path("schema.yaml").read_text() == before
    with pytest.raises(UserError, match="column 'size' should hold numbers, but has 'big'"):
        take(later.assign(size="big"), target=None, name="march.csv")
    with pytest.raises(UserError, match="column 'x' is missing"):
        take(later.drop(columns="x"), target=None, name="march.csv")
    with pytest.raises(UserError, match="to replace that, say what to predict"):
        take("a,b\n1,2\n", target=None)


def test_nothing_is_decided_about_another_table(project: Path) -> None:
    """Payoffs are about the labels of the table before; a new table has none until somebody writes them down."""
    path = project / "project.yaml"
    text = re.sub(r"(?m)^decision:.*\n(  .*\n)*", "", path.read_text())
    path.write_text(
        f"{text}decision: # mine\n  unit: USD\n# of mine\n\n  payoffs:\n    a: {{0: 0, 1: 1}}\n    b: {{0: 1, 1: 0}}\n"
    )
    take(table())
    settings = yaml.safe_load(path.read_text())
    assert settings["decision"] is None
    assert set(settings) == set(yaml.safe_load((PROJECT / "project.yaml").read_text()))


@pytest.mark.usefixtures("project")
def test_bringing_the_same_table_twice_changes_nothing() -> None:
    """The second run writes nothing and says so."""
    assert take(table()).written
    assert take(table()).written == []


@pytest.mark.usefixtures("project")
def test_what_comes_next_begins_with_what_was_not_done_yet() -> None:
    """In a project that was only generated, the first thing to do after bringing a table is `make init`."""
    assert take(table()).next == [
        "look at schema.yaml and params.yaml",
        "make init",
        "make repro",
        "commit and make push",
    ]
    assert take(table(), target=None, name="more.csv").next[:2] == ["make init", "make repro"]


def test_a_dry_run_tells_and_writes_nothing(project: Path) -> None:
    """A dry run decides the same and changes no file."""
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    path = Path("../table.csv")
    table().to_csv(path, index=False)
    outcome = bring(path, said(), dry_run=True)
    assert outcome.task == "binary"
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
