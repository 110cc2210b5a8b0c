"""Predictions go when their time is over, or when somebody's rows must; what holds them still is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from gitops_ml.core.errors import UserError
from gitops_ml.predictions import erasure, stored

from tests.automation.cli.test_commands import gitops
from tests.automation.tables import PROJECT

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
COLUMNS = {
    "customer": {"type": "integer", "nullable": True},
    "plan": {"type": "category", "categories": ["1", "01"]},
    "phone": {"type": "category", "open": True, "personal": True},
    "person": {"type": "integer", "role": "key"},
    "y": {"type": "integer", "role": "target", "minimum": 0, "maximum": 1},
}


def answered(day: str, *rows: dict[str, Any]) -> pd.DataFrame:
    """Rows that were answered on a day."""
    return pd.DataFrame(
        [{"time": f"{day}T10:00:00+00:00", "row": 0, "model": "m", "score": 0.5, **row} for row in rows]
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with two environments, in whose stores there is something."""
    settings = yaml.safe_load((PROJECT / "project.yaml").read_text())
    settings["monitor"]["labels"] = "labels"
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "vendor").symlink_to(PROJECT / "vendor")
    (tmp_path / "schema.yaml").write_text(yaml.safe_dump({"columns": COLUMNS}))
    for environment in ("staging", "production"):
        store = str(tmp_path / ".deploy/predictions" / environment)
        first = answered(
            "2026-05-01",
            {"answer": "a1", "request": "s", "input.customer": 1.0, "input.plan": "1"},
            {"answer": "a2", "request": "s", "input.customer": 2.0, "input.plan": "01"},
        )
        stored.write(first, store, stored.ANSWERS, "20260501T100000-a")
        # What an older service wrote, without ids of answers.
        old = answered("2026-04-01", {"request": "t", "input.customer": 1.0, "input.plan": "01"})
        stored.write(old, store, stored.ANSWERS, "20260401T100000-b")
        asked = pd.DataFrame({"time": first["time"], "answer": ["a1", "a2"], "request": "s", "status": 200, "ms": 1.0})
        stored.write(asked, store, stored.REQUESTS, "20260501T100000-a")
    return tmp_path


def left(root: Path, kind: str = stored.ANSWERS) -> list[str]:
    """The ids that production's store still has."""
    table = stored.read(str(root / ".deploy/predictions/production"), kind, NOW - timedelta(days=999), NOW)
    return [] if table.empty else table["answer" if "answer" in table else "request"].fillna("old").tolist()


def test_all_rows_of_a_value_are_erased_and_no_others(root: Path) -> None:
    """Every environment loses the value's rows, of old logs too; a file without any other row goes altogether."""
    done = erasure.erase(root, "customer", "1")
    assert (done.answers, done.requests) == (4, 0)
    assert left(root) == ["a2"]
    assert len(list(root.glob(".deploy/predictions/*/answers/*.parquet"))) == 2
    assert erasure.erase(root, "customer", "1").answers == 0


def test_a_number_is_no_text_that_looks_like_it(root: Path) -> None:
    """In a column of categories the value is the text itself."""
    assert erasure.erase(root, "plan", "1").answers == 2
    assert left(root) == ["old", "a2"]


@pytest.mark.parametrize(("column", "value", "count"), [("request", "s", (4, 4)), ("answer", "a2", (2, 2))])
def test_what_belongs_to_an_id_is_erased_with_its_request(
    root: Path, column: str, value: str, count: tuple[int, int]
) -> None:
    """By an id the lines about the request itself go, too."""
    done = erasure.erase(root, column, value)
    assert (done.answers, done.requests) == count
    assert value not in left(root, stored.REQUESTS)


def test_what_holds_the_value_still_is_said(root: Path) -> None:
    """Training data, labels, other hosts, and what a service is writing are named with their numbers."""
    (root / "labels").mkdir()
    pd.DataFrame({"answer": ["a1", "a2"], "row": 0, "y": 1}).to_parquet(root / "labels/1.parquet")
    (root / "data/raw").mkdir(parents=True)
    pd.DataFrame({"customer": [1, 1, 2]}).to_parquet(root / "data/raw/1.parquet")
    said = erasure.erase(root, "customer", "1").held
    assert any(
        sentence.endswith("labels has 1 labels of erased answers: whoever brings them takes them out")
        for sentence in said
    )
    assert "data/raw/1.parquet has it in 2 rows: take them out, then `make repro` and release" in said
    assert any(sentence.startswith("models and releases that were trained on these rows") for sentence in said)
    assert any(sentence.startswith("other hosts have") for sentence in said)
    said = erasure.erase(root, "customer", "3").held
    assert [sentence.partition(" ")[0] for sentence in said] == ["other"]


@pytest.mark.parametrize("column", ["phone", "person"])
def test_what_was_never_written_down_is_not_said_to_be_erased(root: Path, column: str) -> None:
    """A key that no request has, or a personal column, finds no rows; the sentence says what does."""
    done = erasure.erase(root, column, "1")
    assert done.answers == 0
    assert any("is not written down: rows about it can be erased by answer or request" in each for each in done.held)
    assert any("data/raw is not here, and was not looked at" in each for each in done.held)


def test_a_column_that_does_not_exist_is_an_error(root: Path) -> None:
    """A name that is misspelt erases nothing and says which names there are."""
    with pytest.raises(UserError, match="there is no column 'custmer': name answer, request, or a column of"):
        erasure.erase(root, "custmer", "1")


def test_what_the_service_has_finished_is_erased_too(root: Path) -> None:
    """Finished files that nobody has collected are, before their rows are erased."""
    folder = root / ".deploy/production/predictions"
    folder.mkdir(parents=True)
    line = {"time": "2026-05-02T10:00:00+00:00", "answer": "a9", "request": "u", "release": "r", "model": "m"}
    columns = {"input.customer": [1], "input.plan": ["1"], "score": [0.5]}
    (folder / "20260502T100000-c.jsonl").write_text(json.dumps(line | {"columns": columns}) + "\n")
    done = gitops("watch", "erase", "customer", "1", "--json", cwd=root)
    assert json.loads(done.stdout)["answers"] == 5, done.stderr
    assert list(folder.iterdir()) == []


def test_what_is_older_than_its_time_goes(root: Path) -> None:
    """Files go once their newest line can be no younger than the setting says, and files of others stay."""
    store = str(root / ".deploy/predictions/production")
    stored.write(answered("2026-01-01", {}), store, stored.ANSWERS, "notes")
    day = datetime(2026, 5, 31, tzinfo=UTC)
    assert stored.expire(store, day, 60) == 0
    assert stored.expire(store, day + timedelta(days=2), 60) == 1
    assert stored.expire(store, day + timedelta(days=2), 60) == 0
    assert stored.expire(store, day + timedelta(days=60), 60) == 2
    assert [path.stem for path in (root / ".deploy/predictions/production").rglob("*.parquet")] == ["notes"]


def test_collecting_keeps_to_the_setting(root: Path) -> None:
    """`watch predictions` removes what is too old, and says so; a time that the monitor needs is refused."""
    path = root / "project.yaml"
    settings = yaml.safe_load(path.read_text())
    (root / ".deploy/production/predictions").mkdir(parents=True)
    settings["monitor"]["keep_days"] = 28
    path.write_text(yaml.safe_dump(settings))
    assert "3 files older than 28 days were removed" in gitops("watch", "predictions", cwd=root).stdout
    settings["monitor"]["keep_days"] = 27
    path.write_text(yaml.safe_dump(settings))
    refused = gitops("watch", "predictions", cwd=root)
    assert (refused.returncode, "keep_days is 27, and the monitor looks at 28 days" in refused.stderr) == (1, True)
