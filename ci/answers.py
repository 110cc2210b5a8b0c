"""What models of a project say of a table, and what a judge says of that, asked in the project's own environment."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ci.shell import run

ANSWERS = """
import json, sys
import pandas as pd
from pathlib import Path
from gitops_ml.core import project
from pipeline import data, model, persistence, validation
from pipeline.stages import files
from gitops_serving.contract import to_answers
facts = persistence.ModelFacts.model_validate_json(Path(sys.argv[1], "model.json").read_bytes())
fitted = persistence.load(Path(sys.argv[1], "model.skops").read_bytes(), facts, files.trusted_types())
table = validation.validate(pd.read_parquet(sys.argv[2]), files.schema())
policy = project.policy(project.read(Path.cwd()).decision, files.schema())
print(json.dumps(to_answers(model.score(fitted, data.features(table, files.schema())), files.schema(), policy)))
"""
BY_LABELS = """
import sys
import numpy as np
import pandas as pd
from pathlib import Path
from gitops_ml.core import project
from gitops_ml.deployment.rollout import Promised
from gitops_ml.gate.rollout import Answers, judge
settings = project.read(Path.cwd())
found = pd.read_parquet(sys.argv[1])
promised = Promised.model_validate_json(Path(sys.argv[2]).read_bytes())
sides = [
    Answers(
        status=np.full(len(found), 200),
        ms=np.ones(len(found)),
        scores=found[side].to_numpy(),
        decisions=np.array([promised.actions.index(each) for each in found[f"{side}_decision"]]),
        loss=((found[side] - found["truth"]) ** 2).to_numpy(),
    )
    for side in ("old", "new")
]
margins = settings.environments[-1].rollout.margins
said = judge(*sides, promised.promise, margins, settings.gate.confidence, paired=True)
(loss,) = (each for each in said.findings if each.name == "loss")
print("keep" if loss.is_worse else "promote" if loss.is_equal else "insufficient evidence", "-", loss.sentence)
"""


def answers_of(project: Path, models: Path, file: Path) -> pd.DataFrame:
    """What the model of a folder says of a month."""
    python = str(project / ".venv/bin/python")
    return pd.DataFrame(json.loads(run(python, "-c", ANSWERS, str(models), str(file), cwd=project)))


def by_labels(project: Path, pair: list[pd.DataFrame], truth: pd.Series, folder: Path) -> str:
    """What the judge of rollouts would have said of the labels, had they come within the shadow."""
    old, new = pair
    table = pd.DataFrame({"old": old["scores"], "new": new["scores"], "truth": truth.to_numpy()})
    table["old_decision"], table["new_decision"] = old["decisions"], new["decisions"]
    table.to_parquet(folder / "labelled.parquet")
    promised = max(project.glob(".deploy/production/rollout/*-*.json"), key=lambda path: path.stat().st_mtime)
    command = ["-c", BY_LABELS, str(folder / "labelled.parquet"), str(promised)]
    return run(str(project / ".venv/bin/python"), *command, cwd=project).strip()
