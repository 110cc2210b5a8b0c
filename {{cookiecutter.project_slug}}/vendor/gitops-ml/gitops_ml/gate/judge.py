"""Brings champion and challenger before the gate: reads both from Git and DVC and has them score the same rows."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pipeline import copies, data, model, persistence, trivial
from pipeline.model import PIECE_ROWS
from pipeline.params import Params
from pipeline.schema import Schema
from pipeline.validation import cast

from gitops_ml.core import progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.gate import fairness, verdict
from gitops_ml.gate.candidates import Candidate, Evaluation, Sensitive
from gitops_ml.gate.result import Fairness, Result
from gitops_ml.gate.rollout import Answers, Promise
from gitops_ml.versions import environment, lock
from gitops_ml.versions.git import Git
from gitops_ml.versions.objects import REMOTE
from gitops_ml.versions.revision import Revision, resolve
from gitops_serving.fast import Scorer, compiled

TEST = "data/prepared/test.parquet"
TRAIN = "data/prepared/train.parquet"
MODEL = "models/model.skops"
FACTS = "models/model.json"
TIMED_ROWS = 50


def judge(root: Path, champion_branch: str | None = None) -> Result:
    """Judge the model in the working tree against the one that the champion's branch names: the last environment's.

    Raises:
        UserError: something that the judgement needs cannot be read or trusted; nothing was judged.
    """
    settings = project.read(root)
    return verdict.judge(*candidates(root, champion_branch), settings.gate, settings.fairness)


@progress.doing("judging the model")
def candidates(root: Path, champion_branch: str | None = None) -> tuple[Evaluation, Candidate, Candidate | None]:
    """The rows of the working tree's evaluation set, and what its model and the champion's say of them.

    Raises:
        UserError: something cannot be read or trusted.
    """
    settings = project.read(root)
    lock.require(root, [TEST, TRAIN, MODEL, FACTS, "schema.yaml"])
    branch = champion_branch or environment.branch(settings.environments[-1].name)
    return _scored(Revision(root, None), champion(root, branch), settings)


@progress.doing("judging the model")
def compare(revision: Revision, champion: Revision | None, settings: project.Project) -> Result:
    """Judge a revision's model against the champion's, on the revision's evaluation set, by the given settings.

    Raises:
        UserError: something that the judgement needs cannot be read or trusted; nothing was judged.
    """
    return verdict.judge(*_scored(revision, champion, settings), settings.gate, settings.fairness)


def treated(root: Path) -> Fairness | None:
    """How the working tree's model treats the groups of sensitive columns; None where project.yaml names none.

    Raises:
        UserError: something that this needs cannot be read or trusted.
    """
    settings = project.read(root)
    if settings.fairness is None:
        return None
    evaluation, model_, _ = _scored(Revision(root, None), None, settings)
    return fairness.judge(evaluation, model_, None, settings.fairness, settings.gate)


@progress.doing("comparing what the two releases say of the evaluation's rows")
def promised(new: Revision, old: Revision, settings: project.Project) -> tuple[Promise, list[str]]:
    """How far the models of two revisions answer apart on the new one's evaluation set, and the actions that it takes.

    Raises:
        UserError: something that this needs cannot be read or trusted.
    """
    evaluation, challenger, serving = _scored(new, old, settings)
    assert serving is not None  # noqa: S101 - for the type checker
    policy, answers = evaluation.policy, []
    for each in (serving, challenger):
        chosen = policy.choose(each.scores) if policy else np.full(len(each.scores), -1)
        answers.append(Answers.of_rows(each.scores, chosen))
    return Promise.of(*answers), policy.actions if policy else []


def champion(root: Path, branch: str) -> Revision | None:
    """The source revision of the model that serves; None if the branch does not exist, or never had a release.

    A branch that exists without a readable record is an error: silence would let anything pass as the first model.
    """
    tip = resolve(root, branch)
    if tip is None:
        _require_none_at_origin(root, branch)
        return None
    try:
        release = environment.serving(Git(root), tip)
    except UserError as error:
        raise UserError(f"{error}, so nothing was judged against {branch}") from error
    return Revision(root, release.commit) if release else None


def _scored(
    revision: Revision, champion: Revision | None, settings: project.Project
) -> tuple[Evaluation, Candidate, Candidate | None]:
    schema, params = revision.settings("schema.yaml", Schema), revision.settings("params.yaml", Params)
    content = revision.output(TEST)
    table = pd.read_parquet(io.BytesIO(content))
    rows = cast(table, schema.columns)
    split = params.prepare.split
    known = _read(revision.output(TRAIN), schema, trivial.columns(schema, split))
    sensitive = _sensitive(rows, schema, settings.fairness)
    evaluation = Evaluation(
        labels=data.labels(rows, schema).to_numpy(),
        clusters=data.clusters(rows, params.evaluate.resample_by),
        slices={name: _named(rows[name]) for name in params.evaluate.slices}
        | {each.name: each.values for each in sensitive if each.values is not None},
        slice_minimum=params.evaluate.slice_minimum,
        calibration_bins=params.evaluate.calibration_bins,
        trivial=trivial.answers(known, rows, schema, split),
        seed=params.evaluate.seed,
        task=schema.task,
        digest=hashlib.sha256(content).hexdigest(),
        # By its own payoffs, which it would serve by, whatever main says by now.
        policy=project.policy(revision.settings("project.yaml", project.Decided).decision, schema),
        sensitive=sensitive,
        classes=[f"{schema.target} = {name}" for name in schema.classes],
    )
    challenger = _candidate(revision, table, schema, "challenger", settings.trusted_types)
    serving = _candidate(champion, table, schema, "champion", settings.trusted_types) if champion else None
    return evaluation, challenger, serving


def _sensitive(rows: pd.DataFrame, schema: Schema, settings: project.Fairness | None) -> list[Sensitive]:
    return [
        Sensitive(name, _named(rows[name]) if name in schema.columns else None, name in schema.features)
        for name in (settings.columns if settings else [])
    ]


def _require_none_at_origin(root: Path, branch: str) -> None:
    """A branch that was only not fetched, as in a shallow checkout, must not look like one that does not exist."""
    git = Git(root)
    if REMOTE not in git.said("remote").split():
        return
    try:
        found = git.at_origin(f"refs/heads/{branch}")
    except UserError as error:
        raise UserError(f"whether {branch} exists at origin cannot be asked, so nothing was judged: {error}") from error
    if found:
        raise UserError(
            f"{branch} exists at origin and was not fetched; "
            "run `git fetch origin '+refs/heads/*:refs/remotes/origin/*'`, then this again"
        )


def _candidate(revision: Revision, table: pd.DataFrame, problem: Schema, role: str, trusted: list[str]) -> Candidate:
    """Load a revision's model and have it score the evaluation's rows, by its own schema."""
    schema, facts = revision.settings("schema.yaml", Schema), revision.facts(FACTS, persistence.ModelFacts)
    if (schema.task, schema.target, schema.classes) != (problem.task, problem.target, problem.classes):
        raise UserError(f"the {role} predicts {_problem(schema)}, not {_problem(problem)}: they cannot be compared")
    content = revision.output(MODEL)
    if missing := [name for name in schema.features if name not in table]:
        raise UserError(f"the {role} needs columns that the evaluation set lacks: {', '.join(missing)}")
    try:
        fitted = persistence.load(content, facts, trusted)
        rows = data.features(cast(table, schema.features), schema)
        scores = model.score(fitted, rows)
        scorer = compiled(fitted, schema)
    except (persistence.ModelError, ValueError, TypeError) as error:
        raise UserError(f"the {role} cannot be judged: {error}") from error
    return Candidate(
        model=facts.sha256,
        scores=scores,
        overlap=_overlap(table, revision.output(TRAIN), problem),
        latency_ms=_latency(scorer, rows),
        tier=scorer.tier,
        size=len(content),
    )


def _read(content: bytes, schema: Schema, names: list[str]) -> pd.DataFrame:
    """These columns of a Parquet file, in the schema's types."""
    return cast(pd.read_parquet(io.BytesIO(content), columns=names), {name: schema.columns[name] for name in names})


def _overlap(table: pd.DataFrame, train: bytes, problem: Schema) -> float:
    """The share of the evaluation's rows that are copies of rows which trained, read in pieces."""
    file = pq.ParquetFile(io.BytesIO(train))
    common = [str(name) for name in table if name in file.schema_arrow.names]

    def pieces(names: list[str] | None) -> Iterator[pd.DataFrame]:
        for batch in file.iter_batches(PIECE_ROWS, columns=names):
            yield batch.to_pandas()[names or common]

    return copies.known(data.whole(table), pieces, common, problem)


def _problem(schema: Schema) -> str:
    classes = f" with the classes {', '.join(map(str, schema.classes))}" if schema.classes else ""
    return f"{schema.target!r} ({schema.task}){classes}"


def _latency(scorer: Scorer, rows: pd.DataFrame) -> float:
    """The 95th percentile, in milliseconds, of scoring one row as the service does."""
    first, times = rows.head(TIMED_ROWS), []
    cells = [first[name].astype(object).where(first[name].notna(), None) for name in first]
    for row in zip(*cells, strict=True):
        start = time.perf_counter()
        scorer.one(row)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.quantile(times, 0.95))


def _named(values: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return values.astype(object).where(values.notna(), "(missing)").astype(str).to_numpy(dtype=object)
