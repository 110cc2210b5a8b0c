"""The manifest of the vendored package: a project says which of its files were edited."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from gitops_ml.core import manifest
from gitops_ml.core.errors import UserError

from tests.automation.tables import PROJECT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the vendored package as the template made it."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / manifest.FOLDER, tmp_path / manifest.FOLDER, ignore=ignored)
    return tmp_path


def test_the_templates_manifest_is_in_step() -> None:
    """The manifest that a new project gets names the bytes of each file; `make manifest` writes it after a change."""
    assert manifest.differing(PROJECT) == {}


def test_what_differs_is_named(project: Path) -> None:
    """A file that was edited, added or removed is named with what became of it; caches do not count."""
    folder = project / manifest.FOLDER
    with (folder / "gitops_ml/versions/git.py").open("a") as file:
        file.write("# ours\n")
    (folder / "gitops_ml/gate/worth.py").unlink()
    (folder / "gitops_ml/gate/ours.py").write_text("")
    (folder / "gitops_ml/__pycache__").mkdir()
    (folder / "gitops_ml/__pycache__/x.pyc").write_bytes(b"")
    assert manifest.differing(project) == {
        "vendor/gitops-ml/gitops_ml/versions/git.py": "was edited",
        "vendor/gitops-ml/gitops_ml/gate/ours.py": "was added",
        "vendor/gitops-ml/gitops_ml/gate/worth.py": "is missing",
    }


def test_sha256sum_reads_it(project: Path) -> None:
    """Whoever has no Python can check it by `sha256sum`."""
    subprocess.run(["sha256sum", "--check", "--quiet", manifest.FILE], cwd=project / manifest.FOLDER, check=True)


@pytest.mark.parametrize("content", [None, "no hash\n"])
def test_a_manifest_that_cannot_be_read_is_said(project: Path, content: str | None) -> None:
    """Without a manifest, or with a damaged one, nothing is called unchanged."""
    path = project / manifest.FOLDER / manifest.FILE
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match="restore it with `git checkout`"):
        manifest.differing(project)
