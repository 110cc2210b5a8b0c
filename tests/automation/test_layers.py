"""The order of the rooms, held by import-linter in `make check` of the template and of each project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.automation.tables import PROJECT

LINT = str(Path(sys.executable).parent / "lint-imports")
ROOMS = "vendor/gitops-ml/gitops_ml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What import-linter looks at."""
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    for folder in ("vendor", "pipeline", "service"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint(project: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter as the hook does."""
    whole = os.environ | {"PYTHONPATH": "vendor/gitops-ml"}
    return subprocess.run([LINT, "--no-cache"], cwd=project, env=whole, capture_output=True, text=True, check=False)


def test_the_rooms_import_only_what_stands_below(project: Path) -> None:
    """No import runs up, and none from the pipeline or the service to the automation."""
    done = lint(project)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("place", "planted", "said"),
    [
        (
            f"{ROOMS}/versions/git.py",
            "from gitops_ml.promotion import promote",
            "gitops_ml.versions.git -> gitops_ml.promotion",
        ),
        (f"{ROOMS}/gate/worth.py", "from gitops_ml.image import build", "gitops_ml.gate.worth -> gitops_ml.image"),
        (f"{ROOMS}/report/card.py", "from gitops_ml.cli import main", "gitops_ml.report.card -> gitops_ml.cli"),
        ("pipeline/model.py", "from gitops_ml.core import git", "pipeline.model -> gitops_ml.core"),
        ("service/service.py", "import gitops_ml.versions.git", "service.service -> gitops_ml.versions"),
        ("pipeline/data.py", "from gitops_serving import log", "pipeline.data -> gitops_serving"),
    ],
)
def test_an_import_that_runs_up_is_refused(project: Path, place: str, planted: str, said: str) -> None:
    """An import from a lower room to a higher one, or to one beside it, fails the check and is named."""
    path = project / place
    path.write_text(path.read_text() + f"\n{planted}\n")
    done = lint(project)
    assert done.returncode == 1
    assert said in done.stdout.replace("\n", "")


def test_every_room_is_named_with_what_happens_there() -> None:
    """The package's README has a line for each room, and for no other one."""
    vendored = PROJECT / "vendor/gitops-ml"
    rooms = {path.parent.name for path in (vendored / "gitops_ml").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", (vendored / "README.md").read_text(), re.MULTILINE)) == rooms


def test_a_new_room_needs_its_floor(project: Path) -> None:
    """A folder beside the rooms that the order does not name fails the check."""
    (project / ROOMS / "attic").mkdir()
    (project / ROOMS / "attic/__init__.py").write_text('"""A room without a floor."""\n')
    assert lint(project).returncode == 1
