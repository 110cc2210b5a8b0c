"""`make data` settles how a table's model will be judged: by time where time is known, on each row once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gitops_ml.core import project as project_settings
from gitops_ml.core.revision import Revision
from gitops_ml.gate import judge
from pipeline.stages import files

from tests.automation.intake.test_intake import fitting, project, run_quickly, take

__all__ = ["project"]

ROWS = 400
DAYS = pd.Series(pd.date_range("2023-01-01", periods=ROWS).astype(str))


def walk(**columns: Any) -> pd.DataFrame:
    """A target that wanders with time, beside noise that says nothing of it."""
    random = np.random.default_rng(2)
    wandering = np.cumsum(random.normal(0, 1, ROWS)).round(3)
    return pd.DataFrame({"noise": random.normal(size=ROWS).round(3), **columns, "y": wandering})


@pytest.fixture(autouse=True)
def _inside(project: Path) -> Iterator[None]:  # noqa: F811
    """Every test stands in a project."""
    yield


def split() -> tuple[str, list[str]]:
    """How the rows that judge are set apart."""
    found = files.params().prepare.split
    return found.by, found.columns


def test_the_one_column_that_tells_when_a_row_was_made_is_taken() -> None:
    """A single date orders the rows without being asked, and what that changes is said in figures."""
    outcome = take(walk(day=DAYS))
    assert split() == ("time", ["day"])
    (said,) = [note for note in outcome.notes if "'day' tells when a row was made" in note]
    assert "TIME=none draws them at random" in said
    figures = re.search(r"R² (-?[\d.]+) by time, (-?[\d.]+) at random", said)
    assert figures
    assert float(figures[1]) < float(figures[2])


def test_nobody_needs_to_judge_by_time() -> None:
    """TIME=none draws the rows at random, and changes nothing else."""
    outcome = take(walk(day=DAYS), time_column="none")
    assert split() == ("random", [])
    assert "day" in fitting().features
    assert not any("when a row was made" in told for told in outcome.notes + outcome.warnings)


ASKED = {
    "two dates": (dict(ordered=DAYS, paid=DAYS[::-1].tolist()), {}, "TIME=ordered or TIME=paid"),
    "a year": (dict(year=np.arange(ROWS) % 30 + 1980), {}, "TIME=year"),
    "a date beside a key": (dict(day=DAYS, who=np.arange(ROWS) % 40), {"key": "who"}, "TIME=day"),
    "a date with gaps": (dict(day=[*DAYS[:-1], None]), {}, "TIME=day"),
}


@pytest.mark.parametrize("kind", ASKED)
def test_where_it_is_not_clear_what_tells_the_time_it_is_asked(kind: str) -> None:
    """Several dates, a year, a key or gaps leave the split as it was said, and each column that may be meant is named."""
    columns, wishes, option = ASKED[kind]
    outcome = take(walk(**columns), **wishes)
    assert split()[0] in ("random", "group")
    assert any("when a row was made" in warning and option in warning for warning in outcome.warnings)


def test_a_date_of_birth_is_no_time() -> None:
    """A date that tells something else of what the row is about orders nothing."""
    take(walk(date_of_birth=DAYS))
    assert split() == ("random", [])


def test_a_model_that_is_worse_than_what_needs_no_model_is_blocked() -> None:
    """Along time the best of the trivial models counts, and no R² below 0 passes, however bad the mean label is."""
    random = np.random.default_rng(4)
    level = np.where(np.arange(ROWS) < 280, 0.0, 30.0) + np.arange(ROWS) * 0.02
    take(pd.DataFrame({"day": DAYS, "noise": random.normal(size=ROWS).round(3), "y": level.round(3)}))
    run_quickly()
    metrics = json.loads((files.REPORTS / "metrics.json").read_text())
    assert metrics["r2"]["value"] < 0
    result = judge.compare(Revision(Path.cwd(), None), None, project_settings.read(Path.cwd()))
    assert not result.passes
    assert any("against the trivial baseline (last label)" in reason for reason in result.reasons)
    assert any(reason.startswith("r2 ") for reason in result.reasons)


def test_copies_judge_nothing_and_raise_no_limit() -> None:
    """Fifty rows of noise, each six times, are judged once each: no figure is too good, and the overlap's limit stays."""
    random = np.random.default_rng(0)
    once = pd.DataFrame(random.normal(size=(50, 4)).round(4), columns=list("abcd"))
    once["y"] = random.permutation(["yes", "no"] * 25)
    outcome = take(pd.concat([once] * 6).sample(frac=1, random_state=0))
    assert any(note.startswith("250 rows repeat others") for note in outcome.notes)
    settings = project_settings.read(Path.cwd())
    assert settings.gate.overlap == 0.01
    run_quickly()
    train, test = (pd.read_parquet(path) for path in (files.TRAIN, files.TEST))
    assert not test.duplicated().any()
    assert not set(map(tuple, train.to_numpy())) & set(map(tuple, test.to_numpy()))
    assert json.loads((files.REPORTS / "metrics.json").read_text())["roc_auc"]["value"] < 0.9


def test_rows_that_are_equal_by_chance_are_all_judged() -> None:
    """Where three columns have two values each, equal rows are no copies: all train and judge, and nothing is blocked."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({name: random.choice(["a", "b"], ROWS) for name in ("c", "d", "e")})
    frame["y"] = np.where((frame["c"] == "a") ^ (random.random(ROWS) < 0.2), "yes", "no")
    outcome = take(frame)
    assert not any("repeat others" in note for note in outcome.notes)
    run_quickly()
    assert len(pd.read_parquet(files.TEST)) == pytest.approx(ROWS / 4, abs=2)
    result = judge.compare(Revision(Path.cwd(), None), None, project_settings.read(Path.cwd()))
    assert not any("trained the challenger" in reason for reason in result.reasons)
