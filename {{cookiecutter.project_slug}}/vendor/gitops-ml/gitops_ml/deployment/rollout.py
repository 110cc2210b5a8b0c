"""The rollout of a release on a host: one state at a time, from whatever moment an agent was killed at.

What is remembered stands in the agent's folder: the stage in active.json, which the front reads too; what was answered
in a log for each stage; what evaluation promised; and that a release was kept out. Each is written in one step, and a
step of the agent begins by reading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from pipeline.tasks.scores import Floats
from pydantic import BaseModel, ValidationError

from gitops_ml.core.project import Environment
from gitops_ml.core.record import Release
from gitops_ml.core.rollout import Margins, Stage
from gitops_ml.front import rolling
from gitops_ml.gate import judge, rollout
from gitops_ml.gate.rollout import Answers, Judgement, Promise
from gitops_ml.host.active import Active, Rolling
from gitops_ml.host.host import Host
from gitops_ml.promotion import health, served
from gitops_ml.promotion.repository import Repository
from gitops_ml.versions import environment
from gitops_ml.versions.revision import Revision

FOLDER = "rollout"
KEPT = "kept.json"
State = Literal["in rollout", "kept", "complete"]


class Promised(BaseModel):
    """What evaluation says of two releases, and the actions that the new one takes, by their numbers."""

    promise: Promise
    actions: list[str]


class Kept(BaseModel):
    """kept.json: what the branch named that did not get to answer everybody, and why."""

    commit: str
    release: str
    reason: str
    judged: Judgement


@dataclass(frozen=True)
class _Rollout:
    """What a step works on."""

    repository: Repository
    settings: Environment
    host: Host
    candidate: environment.Candidate
    tip: str

    @property
    def release(self) -> Release:
        return self.candidate.release

    @property
    def stages(self) -> list[Stage]:
        return self.settings.rollout.stages if self.settings.rollout else []

    @property
    def margins(self) -> Margins:
        """How much worse the new release may be."""
        return self.settings.rollout.margins if self.settings.rollout else Margins()

    def begin(self, number: int) -> str:
        """Go into a stage, or see that all that it needs runs."""
        clock, stage = health.Clock.here(), self.stages[number]
        for log in (self.host.folder / FOLDER).glob("*.jsonl"):
            log.unlink()
        wanted = Rolling(
            release=self.release,
            commit=self.tip,
            stage=number,
            share=stage.share,
            by=stage.by,
            log=f"{FOLDER}/{self.release.short}-{self.tip[:12]}-{number}.jsonl",
            boot=clock.boot,
            uptime=clock.uptime,
        )
        self.keep(wanted)
        return f"{stage.name}, stage {number + 1} of {len(self.stages)}"

    def keep(self, wanted: Rolling) -> None:
        """Have the new release run in a stage."""
        files = environment.render(self.repository.git, self.candidate, self.settings.name)
        self.host.roll(wanted, self.settings, files)


def is_due(repository: Repository, name: str, host: Host, release: Release, tip: str) -> bool:
    """Whether a release must be rolled out on a host: another one serves there, and it is no way back.

    Nothing is compared where nothing serves, and a release that answered everybody in the environment before is known.
    """
    active = host.active
    if active is None or active.release.release == release.release:
        return False
    return release.release not in {each.release for each in served.read(repository.git, name) if each.commit != tip}


def step(
    repository: Repository, settings: Environment, host: Host, candidate: environment.Candidate, tip: str
) -> tuple[State, str]:
    """Go one step; the new release answers everybody once it is `complete`, which is for the caller to do.

    Raises:
        UserError: it cannot be installed, does not become ready, or cannot be judged; what serves goes on.
    """
    active = host.active
    assert active is not None  # noqa: S101 - for the type checker; see is_due
    this = _Rollout(repository, settings, host, candidate, tip)
    if (kept := _kept(host.folder)) and kept.commit == tip:
        host.end_rollout()
        return "kept", kept.reason
    promised = _promised(this, active)
    now = active.rollout
    if now is None or now.commit != tip or now.stage >= len(this.stages):
        return "in rollout", this.begin(0)
    return _judged(this, now, promised)


def _judged(this: _Rollout, now: Rolling, promised: Promised) -> tuple[State, str]:
    stage, clock = this.stages[now.stage], health.Clock.here()
    found = _judge(this, now, promised)
    enough = found.requests >= stage.rows
    # The time before the machine was started anew counts for nothing, so a stage lasts longer then, and no shorter.
    passed = timedelta(seconds=clock.uptime - now.uptime) if clock.boot == now.boot else timedelta()
    over = passed >= timedelta(minutes=stage.minutes)
    if found.verdict == "keep" or (enough and found.verdict != "promote") or (over and not enough):
        return "kept", _end(this, stage, found)
    if not enough:
        this.keep(
            now if clock.boot == now.boot else now.model_copy(update={"boot": clock.boot, "uptime": clock.uptime})
        )
        said = f"{stage.name}, stage {now.stage + 1} of {len(this.stages)}"
        return "in rollout", f"{said}\n{found.requests:,} of {stage.rows:,} requests"
    if now.stage + 1 < len(this.stages):
        return "in rollout", this.begin(now.stage + 1)
    return "complete", ""


def _end(this: _Rollout, stage: Stage, found: Judgement) -> str:
    """Keep the new release out, and say why."""
    said = f"{stage.name}: {found.verdict} after {found.requests:,} of {stage.rows:,} requests"
    reason = "; ".join((said, *found.reasons))
    kept = Kept(commit=this.tip, release=this.release.release, reason=reason, judged=found)
    # First that it is so: an agent that is killed in between ends the rollout in its next step.
    _write(this.host.folder / FOLDER / KEPT, kept)
    this.host.end_rollout()
    return reason


def _judge(this: _Rollout, now: Rolling, promised: Promised) -> Judgement:
    lines = rolling.read(this.host.folder / now.log)
    paired = not now.share
    if paired:
        lines = [each for each in lines if each.old and each.new]
    sides = [each.old for each in lines if each.old], [each.new for each in lines if each.new]
    said = [[_said(each) for each in side] for side in sides]
    # Of classes; a side whose answers all failed says nothing of them.
    width = max((len(scores) for side in said for scores, _ in side), default=1)
    old, new = (_answers(side, told, promised.actions, width) for side, told in zip(sides, said, strict=True))
    return rollout.judge(
        old,
        new,
        promised.promise,
        this.margins,
        this.repository.policy.gate.confidence,
        paired=paired,
    )


def _answers(seen: list[rolling.Seen], said: list[tuple[list[float], str]], actions: list[str], width: int) -> Answers:
    """What was written down, as the judge reads it; of batches only that they were answered, and how fast."""
    scores: Floats = np.full((len(seen), max(width, 1)), np.nan)
    for row, (values, _) in zip(scores, said, strict=True):
        row[: len(values)] = values
    numbers = {name: number for number, name in enumerate(actions)}
    return Answers(
        status=np.array([each.status for each in seen], dtype="int64"),
        ms=np.array([each.ms for each in seen], dtype="float64"),
        scores=scores[:, 0] if width <= 1 else scores,
        decisions=np.array([numbers.get(decision, -1) for _, decision in said], dtype="int64"),
        loss=np.full(len(seen), np.nan),
    )


def _said(seen: rolling.Seen) -> tuple[list[float], str]:
    """The scores of one row, of each class if there are many, and the decision."""
    try:
        answer: dict[str, Any] = orjson.loads(seen.body or "null")
        several = answer.get("scores")
        one = answer.get("score", answer.get("prediction"))
        scores = list(several.values()) if isinstance(several, dict) else [] if one is None else [one]
        return [float(each) for each in scores], str(answer.get("decision", ""))
    except (AttributeError, TypeError, ValueError):
        return [], ""


def _promised(this: _Rollout, active: Active) -> Promised:
    """What evaluation says of the release beside the one that serves; looked at once."""
    path = this.host.folder / FOLDER / f"{this.release.short}-{active.release.short}.json"
    try:
        return Promised.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        root = this.repository.git.root
        new, old = (Revision(root, each.commit) for each in (this.release, active.release))
        promise, actions = judge.promised(new, old, this.repository.policy)
        found = Promised(promise=promise, actions=actions)
    _write(path, found)
    return found


def _kept(folder: Path) -> Kept | None:
    try:
        return Kept.model_validate_json((folder / FOLDER / KEPT).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _write(path: Path, content: BaseModel) -> None:
    """Write a file in one step."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(content.model_dump_json(indent=2) + "\n")
    part.replace(path)
