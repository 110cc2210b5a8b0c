"""Every named variant passes its own checks and its own tests, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci.bake import bake, variants
from ci.shell import ROOT, run
from tests.conftest import OF_THESE_ANSWERS, UV, make, tool

# The DVC plug-in that a variant's storage needs.
PLUGIN = {"s3-mit": "dvc_s3", "ssh-proprietary": "dvc_ssh"}
# Beside the one that all other tests run.
PYTHONS = [
    version
    for version in json.loads((ROOT / "cookiecutter.json").read_text())["python_version"]
    if version != f"{sys.version_info.major}.{sys.version_info.minor}"
]
# One variant runs all of its tests; no answer decides what is left out of the others.
TESTS = {"default": "TESTS="}


@pytest.mark.parametrize("variant", variants())
def test_a_variant_passes_its_own_checks_and_tests(variant: str, tmp_path: Path) -> None:
    """Baked and put under Git, each variant installs what its storage needs, and `make check test` is green."""
    project = bake(variants()[variant], tmp_path)
    run("git", "init", "--quiet", cwd=project)
    run("git", "add", "--all", cwd=project)
    make("setup", cwd=project)
    assert tool(project, "python", "-c", f"import {PLUGIN.get(variant, 'dvc')}").returncode == 0
    make("check", cwd=project)
    assert " passed" in make("test", TESTS.get(variant, OF_THESE_ANSWERS), cwd=project).splitlines()[-1]
    assert run("git", "diff", "--stat", cwd=project) == ""


@pytest.mark.parametrize("version", PYTHONS)
def test_each_python_that_is_here_goes_the_whole_way(version: str, tmp_path: Path) -> None:
    """A project of each Python that can be chosen, and that this machine has, trains, tests itself and serves."""
    where = {"UV_PYTHON_SEARCH_PATH": os.pathsep.join([os.environ["PATH"], *pyenvs()])}
    asked = [UV["UV"], "python", "find", "--no-python-downloads", version]
    if subprocess.run(asked, env=os.environ | where, check=False, capture_output=True).returncode:
        pytest.skip(f"there is no Python {version} on this machine")
    project = bake({"python_version": version}, tmp_path)
    for target in ("setup", "init", "repro"):
        make(target, cwd=project, env=where)
    assert tool(project, "python", "--version").stdout.startswith(f"Python {version}.")
    assert " passed" in make("test", "TESTS=tests/code", cwd=project).splitlines()[-1]
    assert "  ok   " in tool(project, "gitops-ml", "model", "package", "--test").stdout


def pyenvs() -> list[str]:
    """Where pyenv keeps what it has installed, which is on nobody's PATH."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [str(folder) for folder in root.glob("versions/*/bin")]


@pytest.mark.parametrize("scheme", ["s3", "gs", "azure", "ssh"])
def test_each_storage_installs_its_plugin(baked: Path, scheme: str) -> None:
    """The URL in .dvc/config decides which locked DVC plug-in `make setup` installs."""
    config = baked / ".dvc" / "config"
    before = config.read_text()
    config.write_text(before.replace("../../late-flights-dvc", f"{scheme}://bucket/path"))
    try:
        planned = make("--dry-run", "setup", cwd=baked)
    finally:
        config.write_text(before)
    assert f"sync --locked --group {scheme};" in planned
    assert f'{scheme} = ["dvc-{scheme}>=' in (baked / "pyproject.toml").read_text()
