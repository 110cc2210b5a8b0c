"""Scores inputs with a release on an engine: what is missing is done, and nothing twice."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow.parquet as pq
import yaml
from pipeline.schema import Schema
from pydantic import BaseModel

from gitops_ml.batch import plan
from gitops_ml.batch import release as releases
from gitops_ml.batch.join import Joined, Whole, join
from gitops_ml.batch.look import Input, Wanted, look
from gitops_ml.batch.piece import REASON, Done, Piece, score
from gitops_ml.batch.plan import Job
from gitops_ml.batch.release import Scoring
from gitops_ml.batch.store import Store
from gitops_ml.core import progress, project
from gitops_ml.core.errors import UserError
from gitops_ml.engine import engine
from gitops_ml.engine.engine import Engine
from gitops_ml.predictions import stored
from gitops_serving.records import logged

MANIFEST = "manifest.json"
# A share of fewer rows says nothing.
FEWEST_ROWS = 1000


class TooManyError(UserError):
    """More rows do not fit the schema than project.yaml allows."""


class Output(BaseModel):
    """What was made of an input."""

    input: str
    sha256: str
    output: str
    rows: int
    rejected: int


class Manifest(BaseModel):
    """manifest.json: which release scored what. It is written last, and says nothing that another run would not."""

    version: Literal[1] = 1
    release: str
    model: str
    bento: str
    rows: int
    rejected: int
    outputs: list[Output]


class Outcome(BaseModel):
    """What was done; the JSON that other programs read. `left_out`: files of kinds that are not read."""

    version: Literal[1] = 1
    release: str
    manifest: str
    rows: int
    rejected: int
    scored: int
    kept: int
    left_out: list[str]
    notes: list[str]

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        kept = f", {self.kept:,} of them were there" if self.kept else ""
        files = self.scored + self.kept
        return (
            f"{self.rows:,} rows of {files:,} file{'s' * (files != 1)}{kept}, {self.rejected:,} rejected, by "
            f"{self.release}: {self.manifest}"
        )


def predict(
    root: Path, where: str | None, out: str | None, wanted: str | None = None, on: str | None = None
) -> Outcome:
    """Score a file, a folder, or what a pattern matches, into a folder.

    Args:
        root: the project's folder.
        where: path or URL of CSV, JSON Lines or Parquet; None for `batch.rows` of project.yaml.
        out: path or URL of a folder, of this release and these inputs alone; None for the release's in `batch.scores`.
        wanted: a release; by default the one that the last environment serves.
        on: the engine; by default the one of project.yaml.

    Raises:
        UserError: something is missing, damaged or not trusted; what was done stays, and is not done again.
        TooManyError: too many rows do not fit the schema.
    """
    settings = project.read(root)
    where_to = on or settings.engine
    scoring = releases.found(root, wanted, here=engine.parsed(where_to)[1] is None)
    store = Store(out or stored.place(root, settings.batch.scores, scoring.release.short))
    inputs, left_out = plan.inputs(where or stored.place(root, settings.batch.rows), store)
    schema = _schema(scoring)
    carried = tuple(name for name, column in schema.columns.items() if column.role in ("time", "key"))
    wishes = [Wanted(name, url, tuple(schema.features), carried) for name, url in sorted(inputs.items())]
    with engine.opened(where_to, scoring.code) as workers:
        looked = sorted((found for _, found in _told("looking at", workers.map(look, wishes), len(wishes))), key=_name)
        jobs = [plan.planned(source, scoring) for source in looked]
        there = plan.there(store, jobs, scoring)
        missing = [job for job in jobs if job.target not in there]
        done = _score(workers, store, missing, scoring, settings)
        whole = [
            Whole(store.url, job.work, job.target, len(job.source.pieces), plan.facts(job, scoring)) for job in missing
        ]
        for _, joined in _told("writing", workers.map(join, whole), len(whole)):
            there[joined.target] = joined
    manifest = _manifest(jobs, there, scoring)
    _write_log(root, settings, store, missing, manifest)
    store.put(MANIFEST, (json.dumps(manifest.model_dump(), indent=2, ensure_ascii=False) + "\n").encode())
    store.remove(plan.WORK)
    return Outcome(
        release=scoring.release.release,
        manifest=f"{store.url}/{MANIFEST}",
        rows=manifest.rows,
        rejected=manifest.rejected,
        scored=len(missing),
        kept=len(jobs) - len(missing),
        left_out=left_out,
        notes=_ways(done),
    )


def _schema(scoring: Scoring) -> Schema:
    return Schema.model_validate(yaml.safe_load(scoring.files["schema.yaml"]))


def _name(source: Input) -> str:
    return source.name


def _score(workers: Engine, store: Store, jobs: list[Job], scoring: Scoring, settings: project.Project) -> list[Done]:
    """Score all pieces that are not there yet.

    Raises:
        TooManyError: too many of their rows do not fit.
    """
    facts = scoring.release.release, scoring.release.model, scoring.release.tier
    logs = tuple(logged(_schema(scoring), settings.log.redact))
    names = store.find()
    done, missing = list[Done](), list[Piece]()
    for job in jobs:
        for number in range(len(job.source.pieces)):
            name = f"{job.work}/{number:06}.said"
            said = _piece(store, name) if name in names else None
            if said:
                done.append(said)
            else:
                missing.append(Piece(job.source, number, store.url, job.work, *facts, settings.batch.sample, logs))
    pace = progress.Pace("scoring", sum(job.source.bytes for job in jobs) - sum(each.bytes for each in done), "rows")
    for _, piece in workers.map(score, missing):
        done.append(piece)
        pace.add(piece.bytes, piece.rows)
        _require_few(store, jobs, done, settings.batch, all_of_them=False)
    _require_few(store, jobs, done, settings.batch, all_of_them=True)
    return done


def _piece(store: Store, name: str) -> Done | None:
    """What came of a piece that is there; None if it is damaged."""
    facts = plan.read_facts(store, name)
    return Done(**json.loads(facts["done"])) if "done" in facts else None


def _require_few(store: Store, jobs: list[Job], done: list[Done], limits: project.Batch, all_of_them: bool) -> None:
    rows, rejected = sum(each.rows for each in done), sum(each.rejected for each in done)
    if rejected <= limits.rejected * (rows if all_of_them else max(rows, FEWEST_ROWS)):
        return
    raise TooManyError(
        f"{rejected:,} of {rows:,} rows do not fit the schema, and batch.rejected of project.yaml allows "
        f"{limits.rejected:.1%}: {_example(store, jobs)}; mend the input, or allow more"
    )


def _example(store: Store, jobs: list[Job]) -> str:
    """One of the rejected rows."""
    by_work = {job.work: job.source.name for job in jobs}
    for name in sorted(store.find()):
        work = name.rpartition("/")[0]
        if work in by_work and name.endswith(".rejected"):
            with store.open(name) as file:
                return f"in {by_work[work]}, {pq.read_table(file).column(REASON)[0].as_py()}"
    return "none is at hand"


def _ways(done: list[Done]) -> list[str]:
    """How rows were scored, where that was not the fastest way."""
    return sorted({f"scored by way of {each.way!r}, since {each.reason}" for each in done if each.reason})


def _manifest(jobs: list[Job], there: dict[str, Joined], scoring: Scoring) -> Manifest:
    outputs = [
        Output(
            input=job.source.name, sha256=job.source.sha256, output=job.target, rows=made.rows, rejected=made.rejected
        )
        for job in jobs
        for made in [there[job.target]]
    ]
    return Manifest(
        release=scoring.release.release,
        model=scoring.release.model,
        bento=scoring.release.bento.digest,
        rows=sum(each.rows for each in outputs),
        rejected=sum(each.rejected for each in outputs),
        outputs=outputs,
    )


def _write_log(root: Path, settings: project.Project, store: Store, jobs: list[Job], manifest: Manifest) -> None:
    """Put the sample of rows where batches of the last environment are watched, apart from what its service says."""
    works = {job.work for job in jobs}
    tables = []
    for name in sorted(store.find()):
        if name.endswith(".log") and name.rpartition("/")[0] in works:
            with store.open(name) as file:
                tables.append(pd.read_parquet(io.BytesIO(file.read())))
    if tables:
        place = stored.place(root, settings.monitor.store, settings.environments[-1].name, stored.BATCHES)
        named = hashlib.sha256(manifest.model_dump_json().encode()).hexdigest()[:8]
        stored.write(pd.concat(tables), place, stored.ANSWERS, f"{datetime.now(UTC):%Y%m%d}-batch-{named}")


def _told(what: str, results: Iterable[tuple[int, Any]], total: int) -> Iterator[tuple[int, Any]]:
    """Results as they come, with a word now and then."""
    pace = progress.Pace(what, total, "files")
    for result in results:
        pace.add(1)
        yield result
