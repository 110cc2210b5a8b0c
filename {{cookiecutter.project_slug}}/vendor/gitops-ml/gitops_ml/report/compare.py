"""The report: what a reviewer needs to decide about a change, read from Git and DVC alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml
from pipeline import tasks
from pipeline.schema import Schema

from gitops_ml.core import project, requirements
from gitops_ml.core.errors import UserError
from gitops_ml.core.git import Git
from gitops_ml.core.recomputed import recomputed
from gitops_ml.core.revision import Revision, resolve
from gitops_ml.gate import judge
from gitops_ml.gate.result import Measured, Result
from gitops_ml.report.content import Change, Curve, Metric, Report, Shift, Stage, Table

METRICS = "reports/metrics.json"
DATA = "reports/data.json"
PLOTS = "reports/plots"
# From here on a column's change is shown: a fifth of a standard deviation is a small effect (Cohen 1988).
SHIFT = 0.2
UNCHANGED = "as at the base: restored, not computed"
COMPUTED = "new result"
ROUNDED = "as at the base, but for the last bits of {}: another processor computed it"
AGAIN = "another result from the same inputs: {}"
CURVES = {
    "binary": [
        ("ROC", "roc.csv", "false_positive_rate", "true_positive_rate"),
        ("Precision and recall", "precision_recall.csv", "recall", "precision"),
        ("Calibration", "calibration.csv", "score", "positive_rate"),
    ],
    "multiclass": [
        ("Accuracy where it is surest", "coverage.csv", "share", "accuracy"),
        ("Calibration of the highest score", "calibration.csv", "score", "accuracy"),
    ],
    "regression": [
        ("Share of rows with at most this error", "errors.csv", "error", "share"),
        ("Mean label at each prediction", "calibration.csv", "score", "label"),
    ],
}


def build(root: Path, base_branch: str, champion_branch: str | None = None) -> Report:
    """Compare the working tree with the commit at which it left the base branch.

    Nothing is trained. If no stage has another result than at the base, the report says so and reads no data.

    Raises:
        UserError: the base does not exist, or something that should be compared cannot be read.
    """
    settings, git = project.read(root), Git(root)
    here, base = Revision(root, None), Revision(root, _base(root, base_branch))
    found = stages(base, here)
    report = Report(
        title=settings.title,
        branch=git.said("rev-parse", "--abbrev-ref", "HEAD"),
        base=base.commit or "",
        commit=git.said("rev-parse", "HEAD"),
        changed=any(stage.fate != UNCHANGED for stage in found),
        params=[
            *_changes(base.text("params.yaml"), here.text("params.yaml")),
            *_changes(*(_decision(each.text("project.yaml")) for each in (base, here))),
        ],
        schema_changes=_changes(base.text("schema.yaml"), here.text("schema.yaml")),
        packages=_packages(base, here),
        stages=found,
    )
    if not report.changed:
        return report
    report.gate = judge.judge(root, champion_branch)
    had_results = base.text("dvc.lock") is not None
    # Another task before this change has no metrics and no curves in common with this one.
    task = here.settings("schema.yaml", Schema).task
    comparable = base if had_results and base.settings("schema.yaml", Schema).task == task else None
    report.metrics = _metrics(comparable, here, report.gate)
    report.tables = _tables(_json(base, DATA) if had_results else {}, _json(here, DATA))
    report.shifts = _shifts(base, here) if had_results else []
    report.curves = [_curve(*each, base=comparable, here=here) for each in CURVES[task]]
    report.confusion = _confusion(here) if task == "multiclass" else []
    report.importance = _importance(here)
    report.importance_is = tasks.MEASURES[task].IMPORTANCE
    report.lineage = {
        "Source commit": report.commit,
        "Base commit": report.base,
        "Model (sha256)": report.gate.challenger,
        "Champion (sha256)": report.gate.champion or "none",
        "Evaluation set (sha256)": report.gate.evaluation,
        "Raw data (DVC)": _lock(here)["validate"]["deps"][0]["md5"],
    }
    return report


def _base(root: Path, branch: str) -> str:
    tip = resolve(root, branch) or Git(root).commit_of(branch)
    if tip is None:
        raise UserError(f"there is no branch or commit {branch!r} to compare with; name another one with --base")
    base = Git(root).merge_base(tip, "HEAD")
    if base is None:
        raise UserError(f"{branch} and this commit share no history here; in a shallow clone, `git fetch --unshallow`")
    return base


def _lock(revision: Revision) -> dict[str, Any]:
    text = revision.text("dvc.lock")
    stages: dict[str, Any] = yaml.safe_load(text)["stages"] if text else {}
    return stages


def stages(base: Revision, here: Revision) -> list[Stage]:
    """What became of each stage's result since the base.

    Raises:
        UserError: nothing was trained yet, or an output that was computed twice cannot be had.
    """
    before, after = _lock(base), _lock(here)
    if not after:
        raise UserError("there is no dvc.lock yet; `make repro` trains the first model")
    again = recomputed(base, here) if before != after else {}
    return [Stage(name=name, fate=_fate(before.get(name), after[name], again)) for name in after]


def _fate(before: dict[str, Any] | None, after: dict[str, Any], again: dict[str, bool]) -> str:
    if before == after:
        return UNCHANGED
    if before is None or (before["cmd"], before.get("params")) != (after["cmd"], after.get("params")):
        return COMPUTED
    old, new = ({entry["path"]: entry["md5"] for entry in stage.get("outs", [])} for stage in (before, after))
    differing = [path for path in new if old.get(path) != new[path]]
    if not differing or not all(path in again for path in differing):
        return COMPUTED
    return (ROUNDED if all(again[path] for path in differing) else AGAIN).format(", ".join(differing))


def _changes(before: str | None, after: str | None) -> list[Change]:
    """The settings that differ between two YAML texts, by their dotted names."""
    old, new = (flat(yaml.safe_load(text) if text else {}) for text in (before, after))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [Change(name=name, before=old.get(name), after=new.get(name)) for name in names]


def _packages(base: Revision, here: Revision) -> list[requirements.PackageChange]:
    before, after = (
        {path: revision.text(path) for path in (requirements.LOCK, requirements.TRAIN, requirements.SERVE)}
        for revision in (base, here)
    )
    # The lock is long, and mostly the same.
    return requirements.changes(before, after) if before != after else []


def _decision(text: str | None) -> str:
    """What project.yaml says is decided, as YAML by itself."""
    settings = yaml.safe_load(text) if text else {}
    return yaml.safe_dump({"decision": settings.get("decision")})


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings by their dotted names, each value as JSON."""
    if isinstance(value, dict) and value:
        return {
            name: text
            for key, child in value.items()
            for name, text in flat(child, f"{prefix}.{key}" if prefix else str(key)).items()
        }
    return {prefix: json.dumps(value, ensure_ascii=False, default=str)}


def _json(revision: Revision, path: str) -> Any:
    return json.loads(revision.output(path))


def _metrics(base: Revision | None, here: Revision, found: Result) -> list[Metric]:
    before = _json(base, METRICS) if base else {}
    after = _json(here, METRICS)
    champion = found.champion_metrics or {}
    return [
        Metric(
            name=name,
            base=Measured.model_validate(before[name]) if name in before else None,
            here=Measured.model_validate(after[name]) if name in after else None,
            champion=champion.get(name),
        )
        for name in found.challenger_metrics
    ]


def _tables(before: dict[str, Any], after: dict[str, Any]) -> list[Table]:
    return [
        Table(
            file=name,
            rows_before=before[name]["rows"] if name in before else None,
            rows_after=after[name]["rows"] if name in after else None,
            new_values=after.get(name, {}).get("new_values", {}),
        )
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _shifts(base: Revision, here: Revision) -> list[Shift]:
    """The features of the training data that moved, the largest first."""
    if _lock(base)["prepare"] == _lock(here)["prepare"]:
        return []
    before, after = (pd.read_parquet(io.BytesIO(revision.output(judge.TRAIN))) for revision in (base, here))
    schema = here.settings("schema.yaml", Schema)
    moved = [
        _shift(name, before[name], after[name], column.type == "category")
        for name, column in schema.features.items()
        if name in before and name in after and before[name].dtype == after[name].dtype and column.type != "text"
    ]
    return sorted((shift for shift in moved if shift.size >= SHIFT), key=lambda shift: -shift.size)


def _shift(name: str, before: pd.Series, after: pd.Series, category: bool) -> Shift:
    if category:
        shares = [values.value_counts(normalize=True, dropna=False) for values in (before, after)]
        old, new = pd.concat(shares, axis=1).fillna(0).to_numpy().T
        distance = float(np.abs(new - old).sum() / 2)
        return Shift(column=name, measure="share of rows (total variation)", size=distance)
    old, new = (_numbers(values) for values in (before, after))
    spread = np.sqrt((np.nanvar(old) + np.nanvar(new)) / 2)
    size = abs(np.nanmean(new) - np.nanmean(old)) / spread if spread > 0 else 0.0
    return Shift(column=name, measure="standard deviations", size=float(size))


def _numbers(values: pd.Series) -> npt.NDArray[np.float64]:
    """Numbers as they are, moments as seconds since 1970; NaN where missing."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return np.asarray((values - pd.Timestamp(0, tz=values.dt.tz).as_unit("us")).dt.total_seconds(), dtype="float64")
    return values.to_numpy(dtype="float64")


def _curve(name: str, file: str, x: str, y: str, *, base: Revision | None, here: Revision) -> Curve:
    series = {}
    for label, revision in (("base", base), ("this change", here)):
        if revision is not None:
            points = pd.read_csv(io.BytesIO(revision.output(f"{PLOTS}/{file}")))
            series[label] = list(zip(points[x].tolist(), points[y].tolist(), strict=True))
    return Curve(name=name, x=x.replace("_", " "), y=y.replace("_", " "), series=series)


def _confusion(here: Revision) -> list[tuple[str, str, int]]:
    table = pd.read_csv(io.BytesIO(here.output(f"{PLOTS}/confusion.csv")), keep_default_na=False)
    columns = (table["actual"].astype(str), table["predicted"].astype(str), table["rows"].astype(int))
    return list(zip(*columns, strict=True))


def _importance(here: Revision) -> list[tuple[str, float]]:
    table = pd.read_csv(io.BytesIO(here.output(f"{PLOTS}/importance.csv")), keep_default_na=False)
    return list(zip(table["feature"].astype(str), table["importance"].astype(float), strict=True))
