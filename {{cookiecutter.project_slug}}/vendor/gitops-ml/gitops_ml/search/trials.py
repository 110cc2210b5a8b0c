"""The table of trials: what a search tried, in order, and what came of it."""

from __future__ import annotations

from typing import Literal

from pipeline.params import Train
from pydantic import BaseModel

# Tracked by DVC, as search.dvc.
FOLDER = "search"
TABLE = f"{FOLDER}/trials.json"


class Tried(BaseModel):
    """A trial: its settings, what it reached on each fold that it was scored on, and why it went no further."""

    number: int
    train: Train
    # By the names that the space gives them.
    settings: dict[str, float | int | str | bool | None]
    folds: list[float]
    state: Literal["complete", "pruned", "failed"]
    failed: str = ""

    @property
    def value(self) -> float:
        """The mean over its folds."""
        return sum(self.folds) / len(self.folds)


class Trials(BaseModel):
    """search/trials.json. `now`: what params.yaml says; `stopped_minutes`: the budget in time, if that ended it."""

    version: Literal[1] = 1
    metric: str
    lower_is_better: bool
    seed: int
    folds: int
    rows: int
    now: Tried
    trials: list[Tried]
    importance: dict[str, float] = {}
    stopped_minutes: float | None = None

    @property
    def best(self) -> Tried | None:
        """The best complete trial; of equal ones the first."""
        sign = -1 if self.lower_is_better else 1
        done = [each for each in self.trials if each.state == "complete"]
        return max(done, key=lambda each: sign * each.value) if done else None

    @property
    def better(self) -> Tried | None:
        """The best one, if it is better than what params.yaml says."""
        sign = -1 if self.lower_is_better else 1
        best = self.best
        beaten = self.now.state == "failed" or (best is not None and sign * (best.value - self.now.value) > 0)
        return best if beaten else None

    @property
    def sentence(self) -> str:
        """What came of it."""
        counts = {state: sum(each.state == state for each in self.trials) for state in ("complete", "pruned", "failed")}
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        best = self.best
        reached = f"best {self.metric} {best.value:.4f} (trial {best.number})" if best else "no trial was scored"
        now = f"reaches {self.now.value:.4f}" if self.now.folds else "cannot be fitted"
        tried = f"{len(self.trials)} trials ({said})"
        return f"{tried}: {reached}; what params.yaml says {now}; by cross-validation in {self.folds} folds"
