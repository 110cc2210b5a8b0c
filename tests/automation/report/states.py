"""Reports of all kinds of changes, each judged by the gate on rows of a known truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from gitops_ml.gate import verdict
from gitops_ml.gate.candidates import Candidate, Evaluation
from gitops_ml.gate.result import Measured
from gitops_ml.report import figures
from gitops_ml.report.compared import Choice, Compared
from gitops_ml.report.content import Change, Decisive, Report, Shift, Stage, Table
from gitops_ml.report.cost import Cost, Job, Ran, Repro, Rows, Usual
from gitops_ml.versions.requirements import PackageChange

from tests.automation.gate.test_verdict import BAD, EVALUATION, GOOD, MEDIUM, ROWS, SETTINGS, candidate

LONG = "a_name_that_somebody_generated_from_a_query_and_never_looked_at_again_" * 3
HOSTILE = "<b>x</b> | `y` @everyone \u202e https://example.org \x07"
RIGHT_TO_LEFT = "مدة_التأخير"
FLOOR = Decisive(
    path="project.yaml",
    name="gate.floors.roc_auc",
    what="what no model may fall below",
    before="0.65",
    after="0.01",
    owners=["@my-org/ml-engineers"],
)


# A run that computed two stages of four, with jobs of all kinds.
COST = Cost(
    repro=Repro.model_validate(
        {
            "lock": "4" * 64,
            "stages": {
                "validate": {"state": "unchanged"},
                "prepare": {"state": "restored"},
                "train": {"state": "computed", "seconds": 8.25},
                "evaluate": {"state": "computed", "seconds": 131.0},
            },
            "computed": {"files": 12, "octets": 1_250_000},
            "brought": {"files": 3, "octets": 3_400_000},
        }
    ),
    rows=Rows(read=112_776, trained=84_582, judged=28_194),
    jobs=[
        Job(name="what there is to do", conclusion="success", seconds=9),
        Job(
            name="lint, types, tests",
            conclusion="success",
            seconds=412,
            usual=Usual(runs=10, median=180, low=170, high=199),
        ),
        Job(
            name="train and evaluate",
            conclusion="success",
            seconds=200,
            usual=Usual(runs=9, median=188.5, low=180, high=222),
        ),
        Job(name="package and try out", conclusion="timed_out", seconds=2400),
    ],
)


def judged(
    challenger: Candidate, champion: Candidate | None, evaluation: Evaluation = EVALUATION, **settings: Any
) -> Report:
    """The report of a change whose model was judged."""
    gate = verdict.judge(evaluation, challenger, champion, SETTINGS.model_copy(update=settings))
    return Report(
        title="Late Flights",
        branch="better-weather",
        base="0" * 40,
        commit="1" * 40,
        changed=True,
        gate=gate,
        metrics=figures.metrics(evaluation, gate, {}),
        rows_are="21 March to 30 April 2013",
        params=[Change(name="train.max_iter", before="100", after="200")],
        stages=[Stage(name=name, fate="new result") for name in ("prepare", "train", "evaluate")],
        curves=figures.curves(evaluation, {"this change": challenger, "champion": champion}),
        importance=[("dep_delay", 0.12), ("carrier", 0.03), ("temp", 0.004)],
        importance_is="loss of ROC AUC",
        needless=["temp"],
        lineage={"Model (sha256)": "2" * 64, "Champion (sha256)": "3" * 64},
        cost=COST.model_copy(update={"jobs": []}),
    )


def unjudged(**facts: Any) -> Report:
    """The report of a change of which no model was judged."""
    known = {"title": "Late Flights", "branch": "better-weather", "base": "0" * 40, "commit": "1" * 40}
    return Report.model_validate(known | {"changed": False} | facts)


def many_slices() -> Report:
    """A change judged on sixty slices, with all that can be listed."""
    groups = np.array([f"station {number}" for number in range(60)], dtype=object)[np.arange(ROWS) % 60]
    evaluation = replace(EVALUATION, slices={"station": groups}, slice_minimum=10)
    report = judged(MEDIUM, candidate("other", 0.27), evaluation)
    report.packages = [PackageChange(name=f"package-{n}", before="1.0", after="1.1", use="trains") for n in range(30)]
    return report


def many_columns() -> Report:
    """A change of two hundred columns that all moved, with as many settings and long names."""
    report = judged(GOOD, MEDIUM)
    names = [f"{LONG}{number}" for number in range(200)]
    report.shifts = [Shift(column=name, measure="standard deviations", size=0.5) for name in names]
    report.schema_changes = [Change(name=f"columns.{name}.nullable", before="false", after="true") for name in names]
    report.importance = [(name, 0.1) for name in names]
    report.needless = names
    new = {name: {LONG: 3} for name in names[:50]}
    report.tables = [Table(file=f"{LONG}.parquet", rows_before=10, rows_after=20, new_values=new)]
    return report


def named(text: str) -> Report:
    """A change in which all names are of this text."""
    evaluation = replace(EVALUATION, slices={text: np.where(EVALUATION.slices["group"] == "small", text, "other")})
    report = judged(GOOD, MEDIUM, evaluation)
    report.title = report.branch = text
    repro = COST.repro.model_copy(update={"stages": {text: Ran(state="computed")}}) if COST.repro else None
    report.cost = Cost(repro=repro, jobs=[Job(name=text, conclusion=text, seconds=1)], jobs_unknown=text)
    report.decisive = [FLOOR.model_copy(update={"path": text, "name": text, "before": text, "after": text})]
    report.params = [Change(name=text, before=text, after=text)]
    report.tables = [Table(file=text, rows_before=None, rows_after=7, new_values={text: {text: 1}})]
    report.importance = [(text, 0.1)]
    report.needless = [text]
    return report


def other_rows() -> Report:
    """A change that moved its own exam, with everything else that is to be looked at."""
    report = judged(MEDIUM, candidate("other", 0.27), floors={"roc_auc": 0.79})
    report.decisive, report.same_rows = [FLOOR], False
    report.params = [Change(name="prepare.test_fraction", before="0.25", after="0.35")]
    new = {"dest": {"ABQ": 9}}
    report.tables = [Table(file="2013-04.parquet", rows_before=None, rows_after=28330, new_values=new)]
    return report


def compared() -> Report:
    """A change that compared models, one of which failed, with predictions beside true values, and what jobs took."""
    report = judged(GOOD, MEDIUM)
    report.cost = COST
    report.choice = Choice(
        metric="rmse",
        lower_is_better=True,
        margin=0.01,
        taken="Ridge",
        reason="the simplest whose difference to the best, HistGradientBoostingRegressor, lies within the margin of "
        "0.01",
        cost="25 fits to two thirds or less of 112,776 rows",
        compared=[
            Compared(name="mean", value=41.2, says="trivial"),
            Compared(name="the same season before", value=38.07, says="trivial"),
            Compared(
                name="Ridge", value=31.197, difference=Measured(value=0.004, low=-0.0012, high=0.0081), says="taken"
            ),
            Compared(name="KNeighborsRegressor", value=None, says="stopped, since it took longer than 600 seconds"),
            Compared(name="HistGradientBoostingRegressor", value=31.193),
        ],
    )
    random = np.random.default_rng(7)
    true = random.gamma(2, 20, 400)
    found = zip((true * 0.6 + random.normal(14, 9, 400)).tolist(), true.tolist(), strict=True)
    report.predicted = list(found)
    return report


STATES: dict[str, Callable[[], Report]] = {
    "promote": lambda: judged(GOOD, MEDIUM),
    "keep": lambda: judged(BAD, MEDIUM),
    "keep the same": lambda: judged(GOOD, GOOD),
    "insufficient evidence": lambda: judged(GOOD, candidate("a twin", 0.02), margin=0.00001),
    "first model": lambda: judged(GOOD, None),
    "first model, unfit": lambda: judged(BAD, None),
    "nothing changed": unjudged,
    "rules changed only": lambda: unjudged(decisive=[FLOOR]),
    "failed training": lambda: unjudged(
        stale=["train of params.yaml"], params=[Change(name="train.max_iter", before="1", after="2")]
    ),
    "not judged": lambda: unjudged(changed=True, cost=Cost(jobs_unknown="none ran here", stages_unknown="no repro")),
    "other rows": other_rows,
    "models compared": compared,
    "60 slices": many_slices,
    "200 columns": many_columns,
    "hostile names": lambda: named(HOSTILE),
    "right to left": lambda: named(RIGHT_TO_LEFT),
    "long names": lambda: named(LONG),
}
