"""The settings of real old projects, as this version needs them."""

from __future__ import annotations

import pytest
import yaml
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Project
from gitops_ml.update import settings, template
from gitops_ml.versions.git import Git

from tests.automation.update.conftest import BEFORE, FIRST, NOW, Versions


def file(versions: Versions, name: str) -> str:
    """project.yaml of a version."""
    return (Git(versions.store.root).read(versions.tree(name), "project.yaml") or b"").decode()


@pytest.mark.parametrize("old", [FIRST, BEFORE])
def test_settings_of_each_version_are_migrated(versions: Versions, old: str) -> None:
    """They are valid afterwards; what they said they say still, no example came in, and no old command is named."""
    before, baked = file(versions, old), file(versions, NOW)
    after = settings.migrated(before, baked, template.numbered(old), (0, 2, 0))
    had, has = yaml.safe_load(before), yaml.safe_load(after)
    Project.model_validate(has)
    assert has["trusted_types"][: len(had["trusted_types"])] == had["trusted_types"]
    assert {"pipeline.encode.Cycles", "pipeline.encode.Calendar"} <= set(has["trusted_types"])
    assert {key: value for key, value in has.items() if key in had and key != "trusted_types"} == {
        key: value for key, value in had.items() if key != "trusted_types"
    }
    assert ("decision" in has) == ("decision" in had)
    assert [name for name in settings.RENAMED if f"make {name}" in after] == []
    assert settings.migrated(after, baked, (0, 2, 0), (0, 2, 0)) == after


def test_blocks_arrive_where_the_template_has_them_with_their_comments(versions: Versions) -> None:
    """A new block follows the one that it follows in the bake."""
    before, baked = file(versions, FIRST), file(versions, NOW)
    after = settings.migrated(before, baked, (0, 0, 1), (0, 2, 0))
    order = list(yaml.safe_load(baked))
    assert list(yaml.safe_load(after)) == [key for key in order if key != "decision"]
    assert "\n# How `gitops-ml watch monitor` watches the last environment" in after


def test_settings_that_are_no_yaml_are_refused() -> None:
    """The update stops with a sentence instead of writing over them."""
    with pytest.raises(UserError, match=r"project.yaml of main is not valid YAML"):
        settings.migrated("<<<<<<< HEAD\na: [\n", "a: 1\n", (), (0, 2, 0))
