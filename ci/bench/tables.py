"""`make tables`: each real table from file to judged model, beside scikit-learn's defaults on the same split."""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gitops_ml.intake import bring
from gitops_ml.pages import words
from pipeline import compare, data, metrics, model, persistence, trivial
from pipeline.params import Estimator
from pipeline.stages import evaluate, files, prepare, rows, train, validate
from pipeline.tasks import MEASURES

from ci.shell import ROOT
from ci.tables import TABLES, TESTED, Table

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
REPORT = ROOT / "docs" / "tables.md"
MARK = "## What came of them"
STRETCHES = 20
LEAST = -0.0005
SHORT = {"HistGradientBoostingRegressor": "boosting", "HistGradientBoostingClassifier": "boosting"} | {
    "RandomForestRegressor": "forest", "RandomForestClassifier": "forest", "BoostedLine": "line and boosting"
}  # fmt: skip
DEFAULTS = {
    True: (
        "sklearn.linear_model.Ridge",
        "sklearn.ensemble.RandomForestRegressor",
        "sklearn.ensemble.HistGradientBoostingRegressor",
    ),
    False: (
        "sklearn.linear_model.LogisticRegression",
        "sklearn.ensemble.RandomForestClassifier",
        "sklearn.ensemble.HistGradientBoostingClassifier",
    ),
}


@dataclass(frozen=True)
class Measured:
    """What came of a table; `difference` is the model's metric minus the best default's, positive where better."""

    name: str
    source: str
    rows: int
    target: str
    task: str
    said: str
    metric: str
    taken: str
    value: float
    trivial: float
    trivial_name: str
    default: float
    default_name: str
    difference: float
    low: float
    high: float
    seconds: float
    as_expected: bool

    @property
    def worse(self) -> bool:
        """Whether it is worse beyond chance, by what three digits show."""
        return self.high < 0 and self.difference <= LEAST


def main() -> int:
    """Measure the tables that are named and print them, or all and write them into docs/tables.md."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", help="of ci/tables.py; all without")
    names = asked.parse_args().names
    found = []
    for name in names or TABLES:
        with project() as folder:
            (folder.parent / name).write_bytes(TABLES[name].content())
            found.append(measured(folder.parent / name, TABLES[name]))
        sys.stdout.write(f"{_line(found[-1])}\n")
        sys.stdout.flush()
    if not names:
        text = REPORT.read_text()
        REPORT.write_text(text[: text.index(MARK)] + f"{MARK}\n\n{_report(found)}")
    return 0


def _report(found: list[Measured]) -> str:
    worse = [each for each in found if each.worse]
    wrong = [each for each in found if not each.as_expected]
    return (
        f"{len(found)} tables, {len(worse)} of them ({len(worse) / len(found):.0%}) worse than the best of "
        f"scikit-learn's defaults by more than noise, and {len(wrong)} taken for another task than a person would.\n\n"
        "| table | from | rows | target | said | task | metric | taken | model | trivial | best default | difference"
        " | seconds |\n|---|---|---:|---|---|---|---|---|---:|---:|---|---|---:|\n"
        + "".join(f"{_line(each)}\n" for each in found)
    )


def _line(each: Measured) -> str:
    mark = " **worse**" if each.worse else ""
    cells = [
        each.name + ("" if each.name in TESTED else " *"),
        each.source,
        f"{each.rows:,}",
        f"`{each.target}`",
        each.said and f"`{each.said}`",
        each.task,
        words.metric(each.metric),
        _short(each.taken),
        f"{each.value:.3f}",
        f"{each.trivial:.3f}",
        f"{each.default:.3f} {_short(each.default_name)}",
        f"{each.difference:+.3f} ({each.low:+.3f} to {each.high:+.3f}){mark}",
        f"{each.seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _short(estimator: str) -> str:
    return SHORT.get(estimator, estimator).replace("Regressor", "").replace("Classifier", "")


@contextlib.contextmanager
def project() -> Iterator[Path]:
    """A project without history, in which to stand."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "project"
        (folder / "data" / "raw").mkdir(parents=True)
        for name in bring.SETTINGS:
            shutil.copy(PROJECT / name, folder)
        with contextlib.chdir(folder):
            yield folder


def said(table: Table) -> bring.Said:
    """What is said of a table at the command line."""
    options = dict(word.split("=") for word in table.said)
    several = {name: options[name].split(",") if name in options else [] for name in ("DROP", "MISSING")}
    return bring.Said(
        table.target, "auto", options.get("TIME"), options.get("KEY"), several["DROP"], None, None, None, None,
        several["MISSING"],
    )  # fmt: skip


def measured(file: Path, table: Table) -> Measured:
    """Bring a table, run the stages, and fit scikit-learn's defaults to the same rows."""
    start = time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()):
        bring.bring(file, said(table), dry_run=False)
        for stage in (validate, prepare, train, evaluate):
            stage.main()
    return _beside_defaults(file.name, table, time.monotonic() - start)


def _beside_defaults(name: str, table: Table, seconds: float) -> Measured:
    schema, params, rule = files.schema(), files.params(), files.rule()
    known, judging = (rows.prepared(path, schema) for path in (files.TRAIN, files.TEST))
    features, labels = data.features(judging, schema), data.labels(judging, schema).to_numpy()
    measures = MEASURES[schema.task]
    ours = model.score(persistence.load(*files.model_file(), files.trusted_types()), features)
    fitted = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in DEFAULTS[schema.task == "regression"]:
            named = params.train.naming(Estimator(path=path))
            pipeline = model.build(schema, named, model.categories(known, schema))
            model.fit(pipeline, data.features(known, schema), data.labels(known, schema), 1)
            fitted[path.rpartition(".")[2]] = model.score(pipeline, features)
    needless = trivial.answers(known, judging, schema, params.prepare.split)
    simplest = trivial.best(measures, labels, needless)
    sign = -1 if rule.metric in measures.LOWER_IS_BETTER else 1
    reached = {each: measures.measure(labels, scores)[rule.metric] for each, scores in fitted.items()}
    best = max(reached, key=lambda each: sign * reached[each])
    clusters = data.clusters(judging, params.evaluate.resample_by)
    if params.prepare.split.by == "time":
        moments = data.clusters(judging, params.prepare.split.columns)
        # Rows of one series go on as they were: stretches of time are drawn, not rows.
        clusters = np.unique(moments * STRETCHES // (moments.max() + 1), return_inverse=True)[1]
    drawn = [
        sign * measures.resampled(labels, scores, metrics.draws(labels, clusters, 1000, 0))[rule.metric]
        for scores in (ours, fitted[best])
    ]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975]).tolist()
    value = measures.measure(labels, ours)[rule.metric]
    compared = compare.Comparison.model_validate_json(files.CANDIDATES.read_bytes())
    return Measured(
        name=name,
        source=table.source,
        rows=len(known) + len(judging),
        target=table.target,
        task=schema.task,
        said=" ".join(table.said),
        metric=rule.metric,
        taken=compared.taken.path.rpartition(".")[2],
        value=value,
        trivial=measures.measure(labels, needless[simplest])[rule.metric],
        trivial_name=simplest,
        default=reached[best],
        default_name=best,
        difference=sign * (value - reached[best]),
        low=low,
        high=high,
        seconds=seconds,
        as_expected=schema.task == table.task,
    )


if __name__ == "__main__":
    raise SystemExit(main())
