"""What serves in an environment, and what it was made for: what production is compared with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import profile
from pipeline.decision import Policy
from pipeline.params import Evaluate, Params
from pipeline.persistence import ModelFacts
from pipeline.schema import Schema

from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.gate import judge
from gitops_ml.promotion import served
from gitops_ml.report import compare, figures
from gitops_ml.versions import environment
from gitops_ml.versions.git import Git
from gitops_ml.versions.revision import Revision, resolve

PROFILE = "reports/profile.json"
WORKING_TREE = "the working tree"


@dataclass(frozen=True)
class Reference:
    """What serves, and what it was made for; `importance` is what shuffling a column costs, by its name."""

    release: str
    created: datetime | None
    model: str
    schema: Schema
    policy: Policy | None
    evaluate: Evaluate
    profile: profile.Profile
    metrics: dict[str, Any]
    importance: dict[str, float]
    # Of two classes: mean score and rate of positives of equally many rows.
    calibration: list[tuple[float, float]] = field(default_factory=list)


def read(root: Path, name: str) -> Reference:
    """What the branch of the environment serves; of a project without that branch, the working tree's model.

    Raises:
        UserError: nothing serves there, or something of it cannot be read.
    """
    tip = resolve(root, environment.branch(name))
    git = Git(root)
    release = environment.serving(git, tip) if tip else None
    settings = next((each for each in project.read(root).environments if each.name == name), None)
    if settings is not None:
        release = served.completed(git, settings, release)
    if tip and release is None:
        raise UserError(f"nothing was promoted to {name} yet, so there is nothing to watch")
    revision = Revision(root, release.commit if release else None)
    schema = revision.settings("schema.yaml", Schema)
    return Reference(
        release=release.release if release else WORKING_TREE,
        created=release.created if release else None,
        model=revision.facts(judge.FACTS, ModelFacts).sha256,
        schema=schema,
        policy=_policy(revision, schema),
        evaluate=revision.settings("params.yaml", Params).evaluate,
        profile=revision.facts(PROFILE, profile.Profile),
        metrics=json.loads(revision.output(compare.METRICS)),
        importance=dict(figures.importance(revision)),
        calibration=figures.reliability(revision) if schema.task == "binary" else [],
    )


def _policy(revision: Revision, schema: Schema) -> Policy | None:
    """What the release decides by, whatever else the project.yaml of that time has."""
    return project.policy(revision.settings("project.yaml", project.Decided).decision, schema)
