"""Runs a search: an optimiser is asked and told in rounds, so that the number of workers changes nothing.

All trials of a round are asked for before any of them is told, and told in the order of their numbers. Within a round
they go fold by fold; after each fold, those that are worse than the median of earlier complete trials at that fold are
pruned (Golovin et al., Google Vizier, 2017). The rows that judge are never read.
"""

from __future__ import annotations

import hashlib
import io
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState
from pipeline import compare
from pipeline.compare import Comparison
from pipeline.params import Params, Train
from pipeline.schema import DataError, Schema
from pipeline.stages import rows as stored
from pipeline.tasks import MEASURES

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.engine import code, engine
from gitops_ml.engine.engine import Engine
from gitops_ml.search import space as spaces
from gitops_ml.search.journal import Journal
from gitops_ml.search.space import Space
from gitops_ml.search.task import ROWS, SCHEMA, SETTINGS, Scored, Task, score
from gitops_ml.search.trials import Trials, Tried
from gitops_ml.versions import lock
from gitops_ml.versions.revision import Revision

TRAIN = "data/prepared/train.parquet"
CANDIDATES = "reports/candidates.json"
JOURNAL = Path("build") / "search" / "journal.jsonl"
ROUND = 10
# Complete trials before any is pruned.
LEAST = 5

Told = Callable[[str], object]


@dataclass(frozen=True)
class Problem:
    """What is searched, and where in the working tree that stands."""

    root: Path
    schema: Schema
    params: Params
    space: Space
    # What params.yaml says; of several candidates, the one that was taken.
    now: Train
    metric: str
    folds: int
    rows: int
    files: dict[str, bytes]

    @property
    def lower_is_better(self) -> bool:
        """Of the metric."""
        return self.metric in MEASURES[self.schema.task].LOWER_IS_BETTER

    @property
    def digest(self) -> str:
        """Of all that decides what a task answers: the journal of another one is of no use."""
        whole = hashlib.sha256()
        for name, content in sorted(code.here(self.root, self.files).files.items()):
            if name.startswith(("pipeline/", "search/")):
                whole.update(f"{name}\0".encode() + hashlib.sha256(content).digest())
        return whole.hexdigest()


def problem(root: Path) -> Problem:
    """What params.yaml, project.yaml and the prepared rows say.

    Raises:
        UserError: the prepared rows are not those of dvc.lock or do not fit the schema, there are too few to compare,
            or `search` is wrong.
    """
    lock.require(root, [TRAIN, CANDIDATES])
    if not (root / TRAIN).exists():
        raise UserError(f"{TRAIN} is not there; `make repro` prepares the rows")
    here = Revision(root, None)
    schema, params = here.settings("schema.yaml", Schema), here.settings("params.yaml", Params)
    space = spaces.read(params.search, schema.task)
    try:
        places = compare.places(stored.count(root / TRAIN), params.train.seed)
        table = stored.at(root / TRAIN, schema, places)
    except DataError as error:
        raise UserError(f"{error}; `make repro` prepares the rows anew") from error
    folds = list(compare.folds(table, schema, params.prepare.split, params.train.seed))
    if not folds:
        raise UserError(
            "the rows that train are too few, or of one label alone, to be divided: nothing can be compared"
        )
    content = io.BytesIO()
    table.to_parquet(content)
    metric = project.read(root).gate.metric
    settings = {"split": params.prepare.split.model_dump(), "seed": params.train.seed, "metric": metric}
    files = {
        ROWS: content.getvalue(),
        SCHEMA: (root / "schema.yaml").read_bytes(),
        SETTINGS: json.dumps(settings, sort_keys=True).encode(),
    }
    return Problem(root, schema, params, space, _now(root, params.train), metric, len(folds), len(table), files)


def _now(root: Path, train: Train) -> Train:
    if train.estimator is not None:
        return train
    if not (root / CANDIDATES).exists():
        raise UserError("which of the candidates is taken is not known yet; `make repro` compares them")
    return train.naming(Comparison.model_validate_json((root / CANDIDATES).read_bytes()).taken)


def search(found: Problem, where: str, trials: int, minutes: float | None, told: Told = lambda line: None) -> Trials:
    """Try so many settings, or until so many minutes are over.

    The same budget in trials gives the same table on any number of workers; a budget in minutes ends at the end of the
    round in which it is used up, so that a faster machine gets further.

    Args:
        found: what is searched.
        where: the engine.
        trials: how many.
        minutes: after how many no round is begun any more.
        told: is told of each round.

    Raises:
        UserError: the engine cannot go on, or the journal cannot be written; run again, it goes on from there.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = Journal(found.root / JOURNAL, found.digest)
    begun = time.monotonic()
    done: list[Tried] = []
    with engine.opened(where, code.here(found.root, found.files)) as workers:
        run = _Search(found, workers, journal)
        now = run.now()
        told(f"what params.yaml says: {_reached(now, found.metric)}")
        stopped = None
        while len(done) < trials:
            if minutes is not None and time.monotonic() - begun > minutes * 60:
                stopped = minutes
                break
            done += run.round(min(ROUND, trials - len(done)))
            table = Trials(
                metric=found.metric, lower_is_better=found.lower_is_better, seed=found.params.train.seed,
                folds=found.folds, rows=found.rows, now=now, trials=done, stopped_minutes=stopped,
            )  # fmt: skip
            left = (time.monotonic() - begun) / len(done) * (trials - len(done))
            best = f"best {found.metric} {table.best.value:.4f}" if table.best else "none could be scored"
            told(f"{len(done)} of {trials} trials: {best}; about {left:.0f} s left")
    if not done:
        raise UserError(f"no round was begun within {minutes:g} minutes; allow more")
    return table.model_copy(update={"importance": run.importance(), "stopped_minutes": stopped})


class _Search:
    """An optimiser, the workers that score for it, and what they have scored already."""

    def __init__(self, found: Problem, workers: Engine, journal: Journal) -> None:
        self.found, self.workers, self.journal = found, workers, journal
        direction = StudyDirection.MINIMIZE if found.lower_is_better else StudyDirection.MAXIMIZE
        sampler = optuna.samplers.TPESampler(seed=found.params.train.seed)
        self.study = optuna.create_study(direction=direction, sampler=sampler)
        self.complete: list[list[float]] = []

    def now(self) -> Tried:
        """What params.yaml says."""
        train = self.found.now
        scored = self._scored([Task(train.model_dump_json(), fold) for fold in range(self.found.folds)])
        failed = next((each.failed for each in scored if each.failed), "")
        folds = [each.value for each in scored if each.value is not None]
        return Tried(
            number=-1, train=train, settings={}, folds=[] if failed else folds, failed=failed,
            state="failed" if failed else "complete",
        )  # fmt: skip

    def round(self, count: int) -> list[Tried]:
        """Ask for so many trials, score them, tell what they reached."""
        asked = [self.study.ask() for _ in range(count)]
        drawn = [self.found.space.drawn(each, self.found.params.train) for each in asked]
        tried = [self._begun(trial, train) for trial, train in zip(asked, drawn, strict=True)]
        for fold in range(self.found.folds):
            left = [each for each in tried if each.state == "complete"]
            scored = self._scored([Task(each.train.model_dump_json(), fold) for each in left])
            for each, found in zip(left, scored, strict=True):
                if found.value is None:
                    each.state, each.failed = "failed", found.failed
                else:
                    each.folds.append(found.value)
            if fold + 1 < self.found.folds:
                self._prune(left, fold)
        for trial, each in zip(asked, tried, strict=True):
            self._tell(trial, each)
        return tried

    def importance(self) -> dict[str, float]:
        """How much of what trials differ by is due to each setting, the largest first; none where that is unknown."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.found.params.train.seed)
                found = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        except (RuntimeError, ValueError):
            # Of fewer than two complete trials, or such that are all alike.
            return {}
        return {name: round(value, 6) for name, value in found.items()}

    def _begun(self, trial: Trial, train: Train) -> Tried:
        settings = {name: getattr(train, name) for name in spaces.ENCODINGS if name in trial.params}
        if train.estimator:
            settings |= {
                name: value for name, value in train.estimator.arguments.items() if isinstance(value, int | float | str)
            }
        return Tried(number=trial.number, train=train, settings=settings, folds=[], state="complete")

    def _prune(self, left: list[Tried], fold: int) -> None:
        """Give up those that are worse than the median of earlier rounds' complete trials after as many folds."""
        if len(self.complete) < LEAST:
            return
        sign = -1 if self.found.lower_is_better else 1
        median = statistics.median(sign * statistics.fmean(each[: fold + 1]) for each in self.complete)
        for each in left:
            if each.state == "complete" and sign * statistics.fmean(each.folds) < median:
                each.state = "pruned"

    def _tell(self, trial: Trial, each: Tried) -> None:
        for fold, value in enumerate(each.folds):
            trial.report(value, fold)
        if each.state == "complete":
            self.complete.append(each.folds)
            self.study.tell(trial, each.value)
        else:
            self.study.tell(trial, state=TrialState.PRUNED if each.state == "pruned" else TrialState.FAIL)

    def _scored(self, tasks: list[Task]) -> list[Scored]:
        """What tasks give, those that the journal knows without computing them again."""
        new = [each for each in dict.fromkeys(tasks) if each not in self.journal.known]
        for number, found in self.workers.map(score, new):
            self.journal.add(new[number], found)
        return [self.journal.known[each] for each in tasks]


def _reached(tried: Tried, metric: str) -> str:
    return f"{metric} {tried.value:.4f}" if tried.folds else f"it cannot be fitted: {tried.failed}"
