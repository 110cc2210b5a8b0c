"""The report: what a reviewer needs to decide about a change, read from Git and DVC alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline import tasks
from pipeline.params import Params
from pipeline.persistence import ModelFacts
from pipeline.schema import Schema

from gitops_ml.core import pointers, progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.gate import judge, verdict
from gitops_ml.report import compared, cost, facts, figures, rows, searched, shifts
from gitops_ml.report.content import Report, Stage, Table
from gitops_ml.versions.git import Git
from gitops_ml.versions.recomputed import recomputed
from gitops_ml.versions.revision import Revision, resolve

METRICS = "reports/metrics.json"
DATA = "reports/data.json"
ROUNDED = "as at the base, but for the last bits of {}: another processor computed it"
AGAIN = "another result from the same inputs: {}"


@progress.doing("writing the report")
def build(root: Path, base_branch: str, champion_branch: str | None = None) -> Report:
    """Compare the working tree with the commit at which it left the base branch.

    Nothing is trained. If no stage has another result than at the base, the report says so and reads no data.

    Raises:
        UserError: the base does not exist, or something that should be compared cannot be read.
    """
    settings, git = project.read(root), Git(root)
    main, left = _base(git, base_branch)
    here, base = Revision(root, None), Revision(root, left)
    if here.text("dvc.lock") is None:
        raise UserError("there is no dvc.lock yet; `make repro` trains the first model")
    branch, commit = git.said("rev-parse", "--abbrev-ref", "HEAD"), git.said("rev-parse", "HEAD")
    found = facts.read(git, left, facts.working_tree(git), main)
    found.stale = sorted({*found.stale, *pointers.differing(root)})
    found.stages = stages(base, here)
    report = Report(
        **dict(found), title=settings.title, branch=branch, base=left, commit=commit, cost=(spent := cost.read(root))
    )
    if not report.changed:
        return report
    evaluation, challenger, champion = judge.candidates(root, champion_branch)
    gate = verdict.judge(evaluation, challenger, champion, settings.gate, settings.fairness)
    before, after = (facts.stages(revision.text("dvc.lock")) for revision in (base, here))
    # Another task before this change has no metrics and no curves in common with this one.
    task = here.settings("schema.yaml", Schema).task
    same_task = bool(before) and base.settings("schema.yaml", Schema).task == task
    same_rows = same_task and _hash(before, judge.TEST) == _hash(after, judge.TEST)
    report.gate, report.same_rows = gate, same_rows or not same_task
    params = here.settings("params.yaml", Params)
    report.rows_are = rows.evaluated(here, params.prepare.split)
    report.metrics = figures.metrics(evaluation, gate, _json(base, METRICS) if same_rows else {})
    report.tables = _tables(_json(base, DATA) if before else {}, _json(here, DATA))
    report.shifts = shifts.read(base, here) if before and before["prepare"] != after["prepare"] else []
    report.curves = figures.curves(evaluation, {"this change": challenger, "champion": champion})
    report.choice = compared.read(here, task)
    report.searched = searched.read(base, here)
    report.confusion, report.predicted = figures.outcomes(here, task)
    report.importance = figures.importance(here)
    report.needless = figures.needless(here, params.evaluate.importance.repeats)
    report.importance_is = tasks.MEASURES[task].IMPORTANCE
    read, trained = sum(each["rows"] for each in _json(here, DATA).values()), here.facts(judge.FACTS, ModelFacts).rows
    spent.rows = cost.Rows(read=read, trained=trained, judged=gate.rows)
    report.lineage = {
        "Source commit": commit,
        "Base commit": left,
        "Model (sha256)": gate.challenger,
        "Champion (sha256)": gate.champion or "none",
        "Evaluation set (sha256)": gate.evaluation,
        "Raw data (DVC)": after["validate"]["deps"][0]["md5"],
    }
    return report


def _base(git: Git, branch: str) -> tuple[str, str]:
    """The commit of a branch, and the one at which HEAD left it."""
    tip = resolve(git.root, branch) or git.commit_of(branch)
    if tip is None:
        raise UserError(f"there is no branch or commit {branch!r} to compare with; name another one with --base")
    base = git.merge_base(tip, "HEAD")
    if base is None:
        raise UserError(f"{branch} and this commit share no history here; in a shallow clone, `git fetch --unshallow`")
    return tip, base


def stages(base: Revision, here: Revision) -> list[Stage]:
    """What became of each stage's result since the base.

    Raises:
        UserError: an output that was computed twice cannot be had.
    """
    before, after = (facts.stages(revision.text("dvc.lock")) for revision in (base, here))
    again = recomputed(base, here) if before != after else {}
    return [Stage(name=name, fate=_fate(before.get(name), after[name], again)) for name in after]


def _fate(before: dict[str, Any] | None, after: dict[str, Any], again: dict[str, bool]) -> str:
    if before == after:
        return facts.UNCHANGED
    if before is None or (before["cmd"], before.get("params")) != (after["cmd"], after.get("params")):
        return facts.COMPUTED
    old, new = ({entry["path"]: entry["md5"] for entry in stage.get("outs", [])} for stage in (before, after))
    differing = [path for path in new if old.get(path) != new[path]]
    if not differing or not all(path in again for path in differing):
        return facts.COMPUTED
    return (ROUNDED if all(again[path] for path in differing) else AGAIN).format(", ".join(differing))


def _hash(stages: dict[str, Any], path: str) -> str | None:
    """The hash of an output."""
    entries = (entry for stage in stages.values() for entry in stage.get("outs", []))
    return next((entry["md5"] for entry in entries if entry["path"] == path), None)


def _json(revision: Revision, path: str) -> Any:
    return json.loads(revision.output(path))


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
