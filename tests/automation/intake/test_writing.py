"""How people write values: gaps, numbers, amounts and dates are recognised in the whole of a column, or it is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gitops_ml.core.errors import UserError
from pipeline.stages import rows

from tests.automation.intake.bringing import LABEL, RANDOM, ROWS, fitting, rows_of, table, take

pytestmark = pytest.mark.usefixtures("project")


def stored(name: str = "c") -> list[Any]:
    """The column as it stands in data/raw, in all files."""
    raw = [piece for _, piece in rows.Raw(fitting()).validated()]
    return pd.concat(raw)[name].astype(object).where(lambda values: values.notna(), None).tolist()


NUMBERS: dict[str, tuple[list[str], list[float | None], str]] = {
    "dollars": (["$1,234.50", "-$3", "($7.25)", "$ 0.5"], [1234.5, -3, -7.25, 0.5], "$"),
    "euros": (["1.234,50 €", "3 €", "-7,25 €"], [1234.5, 3, -7.25], "€"),
    "francs": (["CHF 1'234.50", "CHF 7"], [1234.5, 7], "CHF"),
    "percent": (["12%", "7.5 %", "0"], [12, 7.5, 0], "%"),
    "kilograms": (["1.2 kg", "12kg"], [1.2, 12], "kg"),
    "apostrophes": (["1'234", "1\u2019234\u2019567.5", "5"], [1234, 1234567.5, 5], ""),
    "a minus of typesetters": (["\u22121.5", "2.5"], [-1.5, 2.5], ""),
    "narrow spaces": (["1\u202f234,5", "12\u00a0345,25"], [1234.5, 12345.25], ""),
    "spaces": (["12 345", "1 234 567", "5"], [12345, 1234567, 5], ""),
    "lakhs": (["12,34,567", "99,999.5"], [1234567, 99999.5], ""),
    "gaps by a word": (["1.5", "n.d.", "7", "2", "9"], [1.5, None, 7, 2, 9], ""),
    "gaps by several words": (["1", "unknown", "7", "-", "None", "9"], [1, None, 7, None, None, 9], ""),
    "as pandas writes whole numbers beside gaps": (["1.0", "", "7.0"], [1, None, 7], ""),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_read_however_they_are_written(kind: str) -> None:
    """Signs, separators, units and words for gaps are no hindrance: the plain number is stored, the unit noted."""
    values, expected, unit = NUMBERS[kind]
    take(table(c=rows_of(values)), name="table.csv")
    assert stored()[: len(expected)] == expected
    written = fitting().columns["c"].written
    assert (written.unit if written else "") == unit


def test_in_an_adopted_repository_the_request_is_written_beside_its_readme() -> None:
    """README.md is of what was there; the project's own has another name, and gets the example of a request."""
    readme, beside = Path("README.md"), Path("README.gitops-ml.md")
    beside.write_text(readme.read_text())
    readme.unlink()
    take(table(c=rows_of(["1", "2"])), name="table.csv")
    assert not readme.exists()
    assert '"c": ' in beside.read_text()


DATES: dict[str, tuple[list[str], list[str]]] = {
    "AM and PM": (["1/31/2024 11:05:00 PM", "12/1/2023 12:30 AM"], ["2024-01-31T23:05", "2023-12-01T00:30"]),
    "three forms": (["2024-01-31", "01.02.2024", "Mar 5, 2024"], ["2024-01-31", "2024-02-01", "2024-03-05"]),
    "short years": (["31/01/24", "01/12/99"], ["2024-01-31", "1999-12-01"]),
    "months": (["2024-01", "2023-12"], ["2024-01-01", "2023-12-01"]),
    "quarters": (["2024-Q1", "2023Q4"], ["2024-01-01", "2023-10-01"]),
    "long names": (["31 January 2024", "1st December 2023"], ["2024-01-31", "2023-12-01"]),
    "mail": (["Wed, 31 Jan 2024 10:00:00 +0100", "Fri, 01 Dec 2023 00:00:00 GMT"], ["2024-01-31T09:00", "2023-12-01"]),
    "digits": ([f"202401{day:02d}" for day in range(1, 31)], [f"2024-01-{day:02d}" for day in range(1, 31)]),
    "digits of months": ([f"2024{month:02d}" for month in range(1, 13)], [f"2024-{n:02d}-01" for n in range(1, 13)]),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_are_read_however_they_are_written(kind: str) -> None:
    """A column of dates is one whatever their form is, several at once too."""
    values, expected = DATES[kind]
    take(table(c=rows_of(values)))
    found = [pd.Timestamp(each).tz_localize(None) for each in stored()[: len(expected)]]
    assert found == [pd.Timestamp(each) for each in expected]


TEXTS: dict[str, tuple[list[str], dict[str, Any], str | None]] = {
    "titles, some of them numbers": (["1776", "300", "Up", "Jaws", "Heat"], {}, None),
    "codes, some of them with leading zeros": ([*["10001", "90210"] * 6, "01234"], {}, "begin with 0 (NUMBER=c"),
    "several units": (["1 kg", "500 g"], {}, "several units: 'g', 'kg'"),
    "numbers and a word": (
        ["1", "2", "3", "4", "low"],
        {},
        "80% of its values are numbers: others are 'low'; MISSING=",
    ),
    "dates of another language": (["1. Januar 2024", "2. Mai 2024"], {}, "write dates as 2024-01-31"),
    "times of day": (["14:30", "9:05"], {}, "no numbers or dates that are known"),
    "dates of which some have a zone": (["2024-01-31T10:00Z", "2024-01-31 10:00"], {}, "have a time zone"),
    "what is said to be text": (["1", "2", "3"], {"text": ["c"]}, None),
    "what is said to be a category": (["1.5", "2.5", "3"], {"category": ["c"]}, None),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_what_stays_text_is_said(kind: str) -> None:
    """A column that looks like numbers or dates and is taken for text says why, unless somebody said that it is."""
    values, wishes, sentence = TEXTS[kind]
    outcome = take(table(c=rows_of(values)), **wishes)
    assert fitting().columns["c"].type == "category"
    assert sorted(set(stored())) == sorted(set(values))
    found = [note for note in outcome.notes if note.startswith("'c' is text")]
    assert ([sentence in note for note in found] == [True]) if sentence else not found


WORDS: dict[str, tuple[list[str], bool]] = {
    "NA among codes": (["NA", "EU", "AS", "AF"], False),
    "NA among words": (["NA", "male", "female"], True),
    "None among words": (["None", "Some", "Marked"], False),
    "unknown among words": (["unknown", "red"], False),
    "a question mark among words": (["?", "red", "green"], True),
    "a minus among signs": (["-", "+"], False),
    "null among words": (["null", "red", "green"], True),
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_word_is_a_gap_or_a_value_by_its_column(kind: str) -> None:
    """A word among words of its kind is a value, among others a gap; which it is is said and can be turned round."""
    values, gap = WORDS[kind]
    word = values[0]
    outcome = take(table(c=rows_of(values)))
    assert (None in stored()) == gap
    assert word == "null" or any(repr(word) in note and "MISSING=" in note for note in outcome.notes)
    take(table(c=rows_of(values)), missing=[""] if gap else [word])
    assert (None in stored()) != gap


def test_a_word_for_gaps_among_numbers_is_one_among_texts() -> None:
    """What a file writes for a gap in its numbers, it writes in its texts too."""
    numbers = rows_of(["1.5", "None", "2.5"])
    take(table(n=numbers, c=rows_of(["None", "Some", "Marked"])))
    assert None in stored()


UNLABELLED: dict[str, tuple[list[str], str, list[str]]] = {
    "a word": (["NA", "yes", "no"], "20 of them without a label (20 'NA')", ["NA"]),
    "empty cells": (["", "yes", "no"], "20 of them without a label (20 empty)", ["empty"]),
    "both": (["", "NA", "yes", "no"], "30 of them without a label (15 'NA', 15 empty)", ["NA,empty"]),
}


@pytest.mark.parametrize("kind", UNLABELLED)
def test_many_rows_without_a_label_have_to_be_meant(kind: str) -> None:
    """More than one row in twenty without a label is refused with what stands there and the option that settles it."""
    values, told, missing = UNLABELLED[kind]
    content = table().assign(y=rows_of(values))
    with pytest.raises(UserError, match="would be left out; say MISSING=") as refused:
        take(content)
    assert told in str(refused.value)
    assert f"MISSING={missing[0]} if" in str(refused.value)
    outcome = take(content, missing=missing)
    assert (outcome.unlabelled, outcome.task) == (told, "binary")


def test_a_word_that_is_a_label_is_none_that_is_missing() -> None:
    """None, Some and Marked are three classes, and no row is lost."""
    outcome = take(table().assign(y=rows_of(["None", "Some", "Marked"])))
    assert (outcome.task, outcome.unlabelled) == ("multiclass", "")


SAID: dict[str, tuple[list[str], dict[str, Any], Any]] = {
    "a number that looks like a code": (["0123", "4567"], {"number": ["c"]}, [123, 4567]),
    "a number that looks like a date": (
        [f"202401{n:02d}" for n in range(1, 31)],
        {"number": ["c"]},
        [20240101, 20240102],
    ),
    "seconds since 1970": (
        ["1577836800", "1577923200"],
        {"date": ["c"]},
        [pd.Timestamp(f"2020-01-0{n}") for n in (1, 2)],
    ),
    "numbers and a word that is missing": (["1", "2", "low"], {"number": ["c"], "missing": ["low"]}, [1, 2, None]),
}


@pytest.mark.parametrize("kind", SAID)
def test_what_a_column_is_can_be_said(kind: str) -> None:
    """What somebody says of a column is what it is."""
    values, wishes, expected = SAID[kind]
    take(table(c=rows_of(values)), **wishes)
    assert stored()[: len(expected)] == expected


REFUSED: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "words said to be numbers": (
        ["1", "low"],
        {"number": ["c"]},
        "should hold numbers, but has 'low' (30 of 60 values",
    ),
    "words said to be dates": (["2024-01-31", "soon"], {"date": ["c"]}, "should hold dates, but has 'soon'"),
    "several units said to be numbers": (["1 kg", "2 g"], {"number": ["c"]}, "in several units: 'g', 'kg'"),
    "two things said": (["1", "2"], {"number": ["c"], "text": ["c"]}, "cannot be both text and number"),
    "no such column": (["1", "2"], {"number": ["d"]}, "'d', which should be read as number, is no column"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_said_and_does_not_hold_is_refused(kind: str) -> None:
    """A column that is not what somebody says is refused with a value and the row in which it stands."""
    values, wishes, reason = REFUSED[kind]
    with pytest.raises(UserError) as refused:
        take(table(c=rows_of(values)), **wishes)
    assert reason in str(refused.value)


LATER: dict[str, tuple[list[str], list[str], Any]] = {
    "dates that were clear before": (["31/01/2024", "01/12/2023"], ["02/03/2024"], pd.Timestamp("2024-03-02")),
    "decimals that were clear before": (["1,5", "1,25"], ["1,234"], 1.234),
    "thousands that were clear before": (["1,234.5", "2"], ["1,234"], 1234),
    "amounts without their unit": (["$1,234.50", "$3"], ["7.5"], 7.5),
    "whole numbers as floats": (["1", "55"], ["55.0", "7.0"], 55),
    "whole numbers with gaps": (["1", "55", "", ""], ["55.0", ""], 55),
    "dates of digits": ([f"202401{n:02d}" for n in range(1, 31)], ["20240229"], pd.Timestamp("2024-02-29")),
    "a word that is a value": (["None", "Some"], ["None"], "None"),
    "another form of a date": (["31.01.2024", "01.12.2023"], ["2024-03-05"], pd.Timestamp("2024-03-05")),
}


@pytest.mark.parametrize("kind", LATER)
def test_a_later_file_is_read_as_the_first(kind: str) -> None:
    """What was recognised stands in schema.yaml, and a batch of which it could not be told is read by it."""
    before, after, expected = LATER[kind]
    take(table(c=rows_of(before)), name="first.csv")
    schema = Path("schema.yaml").read_text()
    take(table(c=rows_of(after)), target=None, name="second.csv")
    assert stored()[ROWS] == expected
    assert Path("schema.yaml").read_text() == schema


CONTRARY: dict[str, tuple[list[str], list[str], str]] = {
    "another order": (["31/01/2024", "01/12/2023"], ["12/31/2024"], "should hold dates written day-first, but has"),
    "another unit": (["1 kg", "2.5 kg"], ["3 lb"], "amounts in 'lb', and the schema has them in 'kg'"),
    "words": (["1", "55"], ["many"], "should hold whole numbers, but has 'many' (60 of 60 values, the first in row 1)"),
    "commas of two meanings": (["1.5", "2.5"], ["1,234"], "say DECIMAL=, or DECIMAL=."),
}


@pytest.mark.parametrize("kind", CONTRARY)
def test_a_later_file_that_is_written_otherwise_is_refused(kind: str) -> None:
    """A batch that cannot be read as the schema says is refused, and nothing is guessed anew."""
    before, after, reason = CONTRARY[kind]
    take(table(c=rows_of(before)), name="first.csv")
    with pytest.raises(UserError) as refused:
        take(table(c=rows_of(after)), target=None, name="second.csv")
    assert reason in str(refused.value)


def test_json_that_mixes_types_is_read_as_text_is() -> None:
    """A title that is a number in a JSON file is a title; numbers of which a few are text are still asked about."""
    titles = RANDOM.choice(["Up", "Jaws", 1776, 300], ROWS).tolist()
    titles = [int(title) if title.isdecimal() else title for title in titles]
    rows = [{"x": n % 7, "c": title, "y": label} for n, (title, label) in enumerate(zip(titles, LABEL, strict=True))]
    take("\n".join(map(json.dumps, rows)), name="table.jsonl")
    assert sorted(set(stored())) == ["1776", "300", "Jaws", "Up"]
    rows = [row | {"c": "many" if number == 7 else number} for number, row in enumerate(rows)]
    with pytest.raises(UserError, match=r"column 'c' mixes numbers and text, such as 'many' \(1 of 60"):
        take("\n".join(map(json.dumps, rows)), name="table.jsonl")
