"""The gate's verdicts that are known already, so that promoting, and merging what was promoted, judge once.

A verdict is valid for what it was made of: release, champion, rules, the code that judges and the packages that it runs
with. It is kept where nothing but this user's own commands write: in the clone's Git folder, or in a workflow in the
folder that GitHub empties before each job. A refusal is never kept: what was refused for its latency may pass later.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path

from pydantic import ValidationError

from gitops_ml.core import record
from gitops_ml.core.project import Project
from gitops_ml.gate import judge
from gitops_ml.gate.result import Result
from gitops_ml.versions.git import Git
from gitops_ml.versions.revision import Revision

FOLDER = "gitops-ml/verdicts"
JUDGING = ("vendor/gitops-ml", "pipeline")
KEPT = 50


def judged(git: Git, found: record.Release, champion: record.Release | None, policy: Project) -> tuple[Result, bool]:
    """What the gate says of a release beside a champion, and whether it was known.

    Raises:
        UserError: it cannot be judged.
    """
    folder = _folder(git)
    path = folder / f"{_key(git.root, found, champion, policy)}.json"
    try:
        return Result.model_validate_json(path.read_bytes()), True
    except (OSError, ValidationError):
        serving = Revision(git.root, champion.commit) if champion else None
        result = judge.compare(Revision(git.root, found.commit), serving, policy)
    if result.passes:
        _keep(folder, path, result)
    return result, False


def _keep(folder: Path, path: Path, result: Result) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(result.model_dump_json())
    part.replace(path)
    for old in sorted(folder.glob("*.json"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)


def _folder(git: Git) -> Path:
    # Between jobs on a machine of one's own, a checkout may be the one that a change's code had.
    if emptied := os.environ.get("RUNNER_TEMP"):
        return Path(emptied) / FOLDER
    return git.root / git.said("rev-parse", "--git-common-dir") / FOLDER


def _key(root: Path, found: record.Release, champion: record.Release | None, policy: Project) -> str:
    code = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in JUDGING
        for path in sorted((root / folder).rglob("*.py"))
    }
    facts = {
        "release": found.hash,
        "champion": champion.hash if champion else None,
        "rules": policy.model_dump(mode="json", include={"gate", "fairness", "trusted_types"}),
        "code": code,
        "packages": sorted(f"{each.name}=={each.version}" for each in metadata.distributions()),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
