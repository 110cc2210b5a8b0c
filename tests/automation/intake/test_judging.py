"""`make data` settles how a table's model will be judged: by time where time is known, on each row once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gitops_ml.core import project as project_settings
from gitops_ml.gate import judge
from gitops_ml.versions.revision import Revision
from pipeline.stages import files, prepare, train, validate

from tests.automation.intake.bringing import fitting, run_quickly, take

ROWS = 400
DAYS = pd.Series(pd.date_range("2023-01-01", periods=ROWS).astype(str))


def walk(**columns: Any) -> pd.DataFrame:
    """A target that wanders with time, beside noise that says nothing of it."""
    random = np.random.default_rng(2)
    wandering = np.cumsum(random.normal(0, 1, ROWS)).round(3)
    return pd.DataFrame({"noise": random.normal(size=ROWS).round(3), **columns, "y": wandering})


@pytest.fixture(autouse=True)
def _inside(project: Path) -> None:
    """Every test stands in a project."""


def split() -> tuple[str, list[str]]:
    """How the rows that judge are set apart."""
    found = files.params().prepare.split
    return found.by, found.columns


def test_a_line_follows_the_year() -> None:
    """What comes and goes with the seasons is predicted for the year after by a plain line."""
    days = pd.date_range("2020-01-01", periods=4 * 365, freq="D")
    warm = 10 + 8 * np.sin(np.arange(len(days)) / 365.25 * 2 * np.pi) + np.random.default_rng(0).normal(0, 1, len(days))
    take(pd.DataFrame({"day": days.astype(str), "x": np.arange(len(days)) % 7, "y": warm.round(2)}))
    fitting()
    Path("params.yaml").write_text(
        re.sub(
            r"  candidates:.*?(?=\n\S|\n\n)",
            "  estimator: {path: sklearn.linear_model.Ridge}",
            Path("params.yaml").read_text(),
            flags=re.DOTALL,
        )
    )
    run_quickly()
    assert json.loads((files.REPORTS / "metrics.json").read_text())["r2"]["value"] > 0.9


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
    "two dates": ({"ordered": DAYS, "paid": DAYS[::-1].tolist()}, {}, "TIME=ordered or TIME=paid"),
    "a year": ({"year": np.arange(ROWS) % 30 + 1980}, {}, "TIME=year"),
    "a date beside a key": ({"day": DAYS, "who": np.arange(ROWS) % 40}, {"key": "who"}, "TIME=day"),
    "a date with gaps": ({"day": [*DAYS[:-1], None]}, {}, "TIME=day"),
}


@pytest.mark.parametrize("kind", ASKED)
def test_where_it_is_not_clear_what_tells_the_time_it_is_asked(kind: str) -> None:
    """Several dates, a year, a key or gaps leave the split as it was said, and each column in question is named."""
    columns, wishes, option = ASKED[kind]
    outcome = take(walk(**columns), **wishes)
    assert split()[0] in ("random", "group")
    assert any("when a row was made" in warning and option in warning for warning in outcome.warnings)


def test_a_date_of_birth_is_no_time() -> None:
    """A date that tells something else of what the row is about orders nothing."""
    take(walk(date_of_birth=DAYS))
    assert split() == ("random", [])


COUNTED: dict[str, tuple[list[int], list[int], str, str]] = {
    "children": ([0, 1, 2, 3, 4, 6], [150, 120, 80, 30, 15, 5], "children", "a regression of counts, Poisson"),
    "a scale": ([3, 4, 5, 6, 7], [10, 80, 200, 90, 20], "quality", "a regression: 'quality' has the whole"),
    "balanced codes": ([0, 1, 2], [133, 134, 133], "outcome", "a multiclass task"),
    "codes by name": ([1, 2, 3], [300, 80, 20], "cover_type", "a multiclass task"),
    "codes far apart": ([10, 20, 30], [300, 80, 20], "outcome", "a multiclass task"),
    "two peaks": ([1, 2, 3], [190, 30, 180], "outcome", "a multiclass task"),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_few_whole_numbers_are_counts_a_scale_or_classes(kind: str) -> None:
    """What was taken and why is said; counts go to Poisson regression, and the whole pipeline runs on each."""
    values, frequencies, name, sentence = COUNTED[kind]
    random = np.random.default_rng(0)
    labels = np.repeat(values, frequencies)
    frame = pd.DataFrame({"x": (labels + random.normal(0, 1, ROWS)).round(2), "z": random.normal(size=ROWS).round(2)})
    outcome = take(frame.assign(**{name: labels}), target=name)
    assert outcome.notes[0].startswith(sentence)
    assert ("TASK=multiclass" in outcome.notes[0]) == ("regression" in sentence)
    paths = [each.path for each in files.params().train.candidates]
    assert ("sklearn.linear_model.PoissonRegressor" in paths) == ("Poisson" in sentence)
    run_quickly()


def test_every_kind_of_candidate_can_be_saved() -> None:
    """Each candidate that `make data` offers for counts is one that the service may load."""
    random = np.random.default_rng(0)
    x = random.normal(size=ROWS).round(2)
    take(pd.DataFrame({"x": x, "z": x, "n": random.poisson(np.exp(x / 2)).clip(0, 8)}), target="n")
    for candidate in files.params().train.candidates:
        params = files.params()
        params.train = params.train.naming(candidate)
        Path("params.yaml").write_text(json.dumps(params.model_dump()))
        for stage in (validate, prepare, train):
            stage.main()


def test_a_class_with_a_handful_of_rows_is_warned_about() -> None:
    """Rare classes are named with their rows, and it is said what the model can know of them."""
    labels = np.repeat(["often", "at times", "hardly"], [250, 145, 5])
    outcome = take(walk().assign(y=labels))
    (said,) = [warning for warning in outcome.warnings if "handful" in warning]
    assert "('hardly' 5)" in said
    assert "no figure says how well" in said


def test_a_model_that_is_worse_than_what_needs_no_model_is_blocked() -> None:
    """Along time the best of the trivial models counts, and no R² below 0 passes, however bad the mean label is."""
    random = np.random.default_rng(4)
    level = np.minimum(np.arange(ROWS), 250) * 0.1 + random.normal(0, 0.05, ROWS)
    take(pd.DataFrame({"day": DAYS, "noise": random.normal(size=ROWS).round(3), "y": level.round(3)}))
    run_quickly()
    metrics = json.loads((files.REPORTS / "metrics.json").read_text())
    assert metrics["r2"]["value"] < 0
    result = judge.compare(Revision(Path.cwd(), None), None, project_settings.read(Path.cwd()))
    assert not result.passes
    assert any("against the trivial baseline (" in reason for reason in result.reasons)
    assert any(reason.startswith("R² ") for reason in result.reasons)


def test_copies_judge_nothing_and_raise_no_limit() -> None:
    """Fifty rows of noise, each six times, are judged once each: no figure is too good, and no limit is raised."""
    random = np.random.default_rng(0)
    once = pd.DataFrame(random.normal(size=(50, 4)).round(4), columns=list("abcd"))
    once["y"] = random.permutation(["yes", "no"] * 25)
    outcome = take(pd.concat([once] * 6).sample(frac=1, random_state=0))
    assert any(note.startswith("250 rows repeat others") for note in outcome.notes)
    settings = project_settings.read(Path.cwd())
    assert settings.gate.overlap == 0.01
    run_quickly()
    known, judging = (pd.read_parquet(path) for path in (files.TRAIN, files.TEST))
    assert not judging.duplicated().any()
    assert not set(map(tuple, known.to_numpy())) & set(map(tuple, judging.to_numpy()))
    assert json.loads((files.REPORTS / "metrics.json").read_text())["roc_auc"]["value"] < 0.9


def test_rows_that_are_equal_by_chance_are_all_judged() -> None:
    """Where three columns have two values each, equal rows are no copies: all train or judge, none blocks."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({name: random.choice(["a", "b"], ROWS) for name in ("c", "d", "e")})
    frame["y"] = np.where((frame["c"] == "a") ^ (random.random(ROWS) < 0.2), "yes", "no")
    outcome = take(frame)
    assert not any("repeat others" in note for note in outcome.notes)
    run_quickly()
    assert len(pd.read_parquet(files.TEST)) == pytest.approx(ROWS / 4, abs=2)
    result = judge.compare(Revision(Path.cwd(), None), None, project_settings.read(Path.cwd()))
    assert not any("trained the challenger" in reason for reason in result.reasons)
