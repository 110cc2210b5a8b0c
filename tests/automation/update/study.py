"""The whole way of a project of each older version: trained there, edited, updated, settled, released and promoted.

A part of `make study`: packages are installed three times for each version.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from ci.bake import bake_version
from ci.shell import KEYS, ROOT, environment, free_port, gitops, make, run
from tests.automation.update.conftest import PACKAGED
from tests.conftest import SLUG

# The commits of 0.0.1 and 0.1.0, and the last one whose projects have no record.
VERSIONS = {
    "0.0.1": "f824c8cd83c934b767a9739220c24aadfcb04455",
    "0.1.0": "7eabdbb70e32b9e4de890f227d8c9cf3842ec413",
    "the last without a record": PACKAGED,
}
# What the template has removed since: the only one of these edits that somebody must settle.
REAL = ("Makefile", "metrics: ## Compare", "metrics: ## Ours: compare")
EDITS = (
    REAL,
    ("pipeline/model.py", '"""', '"""Ours. '),
    ("tests/model/test_model.py", '"""', '"""Ours. '),
    ("project.yaml", "  margin: 0.01", "  margin: 0.02"),
)
COMMIT = ("git", "commit", "--quiet", "--no-verify", "--all", "--message")


def table(folder: Path, versions: dict[str, str] = VERSIONS) -> str:
    """A row for each version; a step that fails is an error with what it printed."""
    lines = [
        "| from | files to settle | what was tried then | gate | serves | minutes |",
        "|---|---|---|---|---|---:|",
    ]
    for name, commit in versions.items():
        start = time.monotonic()
        project = trained(commit, folder / commit[:12])
        settled, checks = updated(project, commit)
        verdict, release = served(project)
        tried = "; ".join(f"{each['name']}: {each['sentence']}" for each in checks)
        minutes = (time.monotonic() - start) / 60
        lines.append(f"| {name} | {', '.join(settled)} | {tried} | {verdict} | {release} | {minutes:.0f} |")
        sys.stdout.write(f"{lines[-1]}\n")
        sys.stdout.flush()
    return "\n".join(lines)


def trained(commit: str, folder: Path) -> Path:
    """A project of a version with its model, in which a team has edited this and that, and its `origin`."""
    shutil.rmtree(folder, ignore_errors=True)
    project = bake_version(commit, folder)
    for target in ("setup", "init", "repro"):
        make(target, cwd=project)
    run(*COMMIT, "Train", cwd=project)
    make("push", cwd=project)
    for path, before, after in EDITS:
        text = (project / path).read_text()
        if before not in text:
            raise SystemExit(f"{path} of {commit} does not say {before!r}")
        (project / path).write_text(text.replace(before, after, 1))
    (project / "pipeline/ours.py").write_text('"""Ours."""\n')
    run("git", "add", "pipeline/ours.py", cwd=project)
    run(*COMMIT, "Edit", cwd=project)
    run("git", "clone", "--quiet", "--bare", str(project), str(folder / "origin.git"), cwd=folder)
    run("git", "remote", "add", "origin", str(folder / "origin.git"), cwd=project)
    return project


def updated(project: Path, commit: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Update, settle what is real by the template's side, go on, and merge; what was settled, and what was tried."""
    first = update(project, commit)
    if first["state"] != "conflicts" or first["conflicts"] != [REAL[0]]:
        raise SystemExit(f"{commit}: expected a conflict in {REAL[0]} alone, not {first}")
    run("git", "fetch", "--quiet", "origin", cwd=project)
    run("git", "switch", "--quiet", first["branch"], cwd=project)
    run("git", "checkout", "--quiet", "origin/template", "--", *first["conflicts"], cwd=project)
    run(*COMMIT, "Settle", cwd=project)
    run("git", "push", "--quiet", "origin", "HEAD", cwd=project)
    run("git", "switch", "--quiet", "main", cwd=project)
    done = update(project, commit)
    if done["state"] != "open":
        raise SystemExit(f"{commit}: {json.dumps(done, indent=2)}")
    run("git", "merge", "--quiet", "--ff-only", done["commit"], cwd=project)
    run("git", "push", "--quiet", "origin", "HEAD:main", cwd=project)
    return first["conflicts"], done["checks"]


def update(project: Path, commit: str) -> dict[str, Any]:
    """`gitops-ml repo update` of this clone of the template, with all checks; its JSON."""
    command = [sys.executable, "-m", "gitops_ml", "repo", "update", "--from", str(ROOT), "--recorded", commit, "--json"]
    done = subprocess.run(
        command,
        cwd=project,
        env={**environment(), **KEYS, "PYTHONPATH": str(ROOT / SLUG / "vendor/gitops-ml")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 3):
        raise SystemExit(f"{commit}: {done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def served(project: Path) -> tuple[str, str]:
    """Judge, release and promote by the commands of this version; the verdict, and the release on the branch."""
    make("setup", cwd=project)
    # What the update has trained is restored, and nothing is computed.
    make("repro", cwd=project)
    if changed := run("git", "status", "--porcelain", cwd=project):
        raise SystemExit(f"{project}: `make repro` after the update changed {changed}")
    path = project / "project.yaml"
    settings = yaml.safe_load(path.read_text())
    production = settings["environments"][-1] | {"gate": "none", "approvals": 0, "port": free_port()}
    path.write_text(yaml.safe_dump(settings | {"environments": [production]}))
    # The first version signed nothing yet.
    gitops("release", "key", cwd=project)
    run("git", "add", "deploy/release.pub", cwd=project)
    run(*COMMIT, "One environment", cwd=project)
    make("push", cwd=project)
    run("git", "push", "--quiet", "origin", "HEAD:main", cwd=project)
    judged = subprocess.run(
        [str(project / ".venv/bin/gitops-ml"), "model", "gate", "--json"],
        cwd=project,
        env={**environment(), **KEYS},
        stdout=subprocess.PIPE,
        check=True,
    )
    for command in (("release", "make"), ("env", "bootstrap"), ("env", "promote", "production")):
        gitops(*command, cwd=project)
    run("git", "fetch", "--quiet", "origin", cwd=project)
    record = json.loads(run("git", "show", "origin/env/production:release.json", cwd=project))
    try:
        gitops("host", "deploy", "production", cwd=project)
        # Whatever does not hold, that it serves among it, is an exit code.
        gitops("env", "verify", "production", cwd=project)
    finally:
        gitops("host", "stop", "production", cwd=project)
    return json.loads(judged.stdout)["verdict"], record["release"]
