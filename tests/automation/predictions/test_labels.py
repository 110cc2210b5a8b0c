"""A label is about exactly one answer, or the monitor says that it cannot know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.predictions import labels
from pipeline.schema import Column, Schema

SCHEMA = Schema(
    columns={"x": Column(type="number"), "y": Column(type="integer", role="target", minimum=0, maximum=1)},
)
ANSWERS = pd.DataFrame(
    {
        "answer": ["a1", "a2", "a2", "a3"],
        "request": ["s", "s", "s", "t"],
        "row": [0, 0, 1, 0],
        "score": [0.1, 0.2, 0.3, 0.4],
    }
)
REQUESTS = pd.DataFrame({"answer": ["a1", "a2", "a3"], "request": ["s", "s", "t"], "status": 200})
REFUSED = pd.DataFrame({"answer": ["a4"], "request": ["t"], "status": [503]})


def arrived(place: Path, *files: dict[str, Any]) -> pd.DataFrame:
    """What is read where these files of labels arrived, one after the other."""
    for number, columns in enumerate(files):
        pd.DataFrame(columns).to_parquet(place / f"{number}.parquet")
    return labels.read(str(place), SCHEMA)


def scores(found: pd.DataFrame) -> dict[float, Any]:
    """The label of each answer, by its score."""
    return dict(zip(found["score"], found["y"], strict=True))


def test_labels_by_the_id_of_the_answer_need_nothing_else(tmp_path: Path) -> None:
    """Calls that share the caller's id are told apart by the answer's own, whatever the types of the files."""
    found = arrived(tmp_path, {"answer": ["a1", "a2", "a2"], "row": [0.0, 0.0, 1.0], "y": [1.0, 0.0, 1.0]})
    assert scores(labels.joined(ANSWERS, REQUESTS, found, "y")) == {0.1: 1, 0.2: 0, 0.3: 1}


def test_an_id_of_several_answers_is_an_error_with_its_numbers(tmp_path: Path) -> None:
    """Labels by a caller's id that came with several calls join to nothing, and the sentence says what to do."""
    found = arrived(tmp_path, {"request": ["s", "s", "t"], "row": [0, 1, 0], "y": [1, 0, 1]})
    with pytest.raises(
        UserError, match=r"1 ids in the column 'request' .* such as 's': .* 2 of 3 labels .* x-answer-id"
    ):
        labels.joined(ANSWERS, REQUESTS, found, "y")


def test_an_id_is_shared_though_one_call_alone_was_written_down(tmp_path: Path) -> None:
    """Where a sample of the answers is logged, the lines of all requests tell that an id came twice."""
    found = arrived(tmp_path, {"request": ["s"], "row": [0], "y": [1]})
    with pytest.raises(UserError, match="stand for more than one answer"):
        labels.joined(ANSWERS.iloc[:1], REQUESTS, found, "y")
    with pytest.raises(UserError, match="stand for more than one answer"):
        labels.joined(ANSWERS, pd.DataFrame(), found, "y")


def test_answers_that_stand_twice_in_the_store_are_an_error(tmp_path: Path) -> None:
    """A copy of a store's file is no second answer, and no figure comes of it."""
    found = arrived(tmp_path, {"answer": ["a3"], "row": [0], "y": [1]})
    with pytest.raises(UserError, match="1 ids in the column 'answer'"):
        labels.joined(pd.concat([ANSWERS, ANSWERS.tail(1)]), REQUESTS, found, "y")


def test_an_id_that_nobody_labels_may_be_shared(tmp_path: Path) -> None:
    """Only what labels are about must be unique; a call that was refused before it was repeated is no answer."""
    found = arrived(tmp_path, {"request": ["t"], "row": [0], "y": [1]})
    asked = pd.concat([REFUSED, REQUESTS], ignore_index=True)
    assert scores(labels.joined(ANSWERS, asked, found, "y")) == {0.4: 1}


def test_what_an_older_service_wrote_is_joined_by_the_callers_id(tmp_path: Path) -> None:
    """A log without the answers' own ids stays readable, alone and beside a newer one, and its gaps join to nothing."""
    old = ANSWERS.iloc[3:].drop(columns="answer")
    found = arrived(tmp_path, {"answer": ["a1", None], "request": [None, "t"], "row": [0, 0], "y": [0, 1]})
    asked = REQUESTS.drop(columns="answer")
    assert scores(labels.joined(old, asked, found, "y")) == {0.4: 1}
    both = pd.concat([ANSWERS.head(1), old], ignore_index=True)
    assert scores(labels.joined(both, asked, found, "y")) == {0.1: 0, 0.4: 1}


def test_the_label_that_arrived_last_counts(tmp_path: Path) -> None:
    """A later file corrects or withdraws a label, by either id."""
    first = {"request": ["t"], "row": [0], "y": [1]}
    corrected = arrived(tmp_path, first, {"answer": ["a3"], "row": [0], "y": [0]})
    assert scores(labels.joined(ANSWERS, REQUESTS, corrected, "y")) == {0.4: 0}
    withdrawn = arrived(tmp_path, first, {"request": ["t"], "row": [0], "y": pd.array([None], dtype="Int64")})
    assert labels.joined(ANSWERS, REQUESTS, withdrawn, "y").empty


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"id": [1]}, r"have no column 'answer'; they need answer \(or request"),
        ({"request": ["s"], "y": [1]}, "have no column 'row'"),
        ({"request": ["s", None], "row": [0, 0], "y": [1, 1]}, "1 labels in .* have no id or no number of a row"),
        ({"request": ["s"], "row": ["first"], "y": [1]}, "1 labels in .* have no id or no number of a row"),
        ({"request": ["s", "s"], "row": [0, 1], "y": [2, 1]}, r"1 labels in .* are no 'y' of schema\.yaml, such as 2"),
        ({"request": ["s"], "row": [0], "y": ["late"]}, r"are no 'y' of schema\.yaml, such as 'late'"),
    ],
)  # fmt: skip
def test_labels_of_another_form_are_an_error(tmp_path: Path, columns: dict[str, Any], sentence: str) -> None:
    """What cannot be a label of this project's answers ends in one sentence."""
    with pytest.raises(UserError, match=sentence):
        arrived(tmp_path, columns)


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    """A file whose ids look like numbers joins as one whose ids are text."""
    found = arrived(tmp_path, {"request": [7], "row": [0], "y": [1]})
    assert scores(labels.joined(ANSWERS.assign(request="7").tail(1), pd.DataFrame(), found, "y")) == {0.4: 1}
