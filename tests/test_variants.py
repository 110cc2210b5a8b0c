"""Every named variant passes its own checks and its own tests, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.bake import bake, variants
from ci.shell import run
from tests.conftest import OF_THESE_ANSWERS, make, tool

# The DVC plug-in that a variant's storage needs.
PLUGIN = {"s3-mit": "dvc_s3", "ssh-proprietary": "dvc_ssh"}
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
    assert f"sync --locked --group {scheme}\n" in planned
    assert f'{scheme} = ["dvc-{scheme}>=' in (baked / "pyproject.toml").read_text()
