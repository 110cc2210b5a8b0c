"""An update of a real project, from each version, beside what its team did."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import pytest
from gitops_ml.update import merge
from gitops_ml.versions.git import Git

from tests.automation.update.conftest import BEFORE, EACH, FIRST, NOW, PACKAGED, Team, Versions
from tests.automation.world import git

Made = Callable[..., Team]

pytestmark = pytest.mark.xdist_group("update-merge")


def merged(team: Team, versions: Versions, old: str = BEFORE) -> merge.Merged:
    """Merge in the team's own clone, as an update does in one of its own."""
    return merge.merge(team.root, versions.tree(old), versions.tree(NOW))


def staged(team: Team) -> dict[str, str]:
    """The files of the index, by their content's name."""
    return Git(team.root).objects(git(team.root, "write-tree"))


@pytest.mark.parametrize("old", EACH)
def test_an_untouched_project_becomes_the_new_bake(team: Made, versions: Versions, old: str) -> None:
    """Without edits there is no conflict, and all but data and settings is what the new version bakes."""
    ours = team(old)
    assert merged(ours, versions, old) == merge.Merged()
    has, wanted = staged(ours), Git(ours.root).objects(versions.tree(NOW))
    differing = {path for path in {*has, *wanted} if has.get(path) != wanted.get(path)}
    assert differing <= {"project.yaml", "schema.yaml", "params.yaml", "data/.gitignore"}


AUTOMATION = {FIRST: "ci/judge.py", BEFORE: "ci/judge.py", PACKAGED: "vendor/gitops-ml/gitops_ml/gate/judge.py"}


@pytest.mark.parametrize("old", EACH)
def test_whatever_a_team_did_beside_the_template_stays(team: Made, versions: Versions, old: str) -> None:
    """Edits, a module, packages, a deleted and a renamed file, and an edit of the automation, all in one project.

    Nothing is to be settled, and no more is named than what was deleted or replaced.
    """
    ours, gone = team(old), "tests/model/test_metrics.py"
    ours.edit("README.md", "\n", "\n\nOurs.\n")
    ours.edit("tests/model/test_model.py", '"""', '"""Ours. ')
    ours.edit("pyproject.toml", '  "pyarrow>=26",\n', '  "pyarrow>=26",\n  "polars>=1",\n')
    ours.edit("pyproject.toml", '  "pytest>=9.2",\n', '  "pytest>=9.2",\n  "pytest-randomly>=4",\n')
    ours.edit(AUTOMATION[old], '"""', '"""Ours. ')
    (ours.root / "pipeline/ours.py").write_text('"""Ours."""\n')
    (ours.root / "pipeline/model.py").rename(ours.root / "pipeline/forest.py")
    ours.edit("pipeline/forest.py", '"""', '"""Ours. ')
    (ours.root / gone).unlink()
    ours.push("Delete")
    done, here = merged(ours, versions, old), Git(ours.root)
    changed = here.changed(versions.tree(old), versions.tree(NOW))
    assert (done.conflicts, done.replaced) == ([], [AUTOMATION[old]])
    assert done.deleted == [path for path in [gone] if path in changed]
    has, wanted = staged(ours), here.objects(versions.tree(NOW))
    for path, baked in {"tests/model/test_model.py": None, "pipeline/forest.py": "pipeline/model.py"}.items():
        text = (here.read(versions.tree(NOW), baked or path) or b"").decode()
        assert (ours.root / path).read_text() == text.replace('"""', '"""Ours. ', 1)
    assert "\nOurs.\n" in (ours.root / "README.md").read_text()
    assert (ours.root / "pipeline/ours.py").read_text() == '"""Ours."""\n'
    assert not {gone, "pipeline/model.py"} & has.keys()
    texts = (
        (ours.root / "pyproject.toml").read_text(),
        (here.read(versions.tree(NOW), "pyproject.toml") or b"").decode(),
    )
    groups, made = (tomllib.loads(text)["dependency-groups"] for text in texts)
    more = {"train": ["polars>=1"], "dev": ["pytest-randomly>=4"]}
    assert groups.keys() == made.keys()
    for name, group in groups.items():
        assert sorted(map(str, group)) == sorted(map(str, [*made[name], *more.get(name, [])]))
    places = ("vendor/", "ci/")
    assert {path for path in {*has, *wanted} if path.startswith(places) and has.get(path) != wanted.get(path)} == set()


@pytest.mark.parametrize(
    ("old", "removed", "locked"),
    [
        (FIRST, "service/contract.py", ["pyproject.toml"]),
        (BEFORE, "service/contract.py", ["pyproject.toml"]),
        (PACKAGED, "docs/security.md", []),
    ],
)
def test_what_only_a_team_can_settle_is_counted(
    team: Made, versions: Versions, old: str, removed: str, locked: list[str]
) -> None:
    """An edit of a line that the template changed, of a file that it removed, and of a package's version it changed."""
    ours = team(old)
    ours.edit("Makefile", "metrics: ## Compare", "metrics: ## Ours: compare")
    with (ours.root / removed).open("a") as file:
        file.write("# Ours.\n")
    ours.edit("pyproject.toml", '  "pyarrow>=26",\n', '  "pyarrow>=27",\n')
    assert sorted(each.path for each in merged(ours, versions, old).conflicts) == sorted(["Makefile", removed, *locked])


def test_what_both_changed_is_the_teams_to_settle(team: Made, versions: Versions) -> None:
    """Of edits, only one of lines that the template changed, too, is shown, with both sides; the others are merged."""
    ours = team()
    ours.edit(
        "pipeline/model.py", "from pipeline.encode import Calendar, plain", "from pipeline.encode import Calendar"
    )
    ours.edit("pipeline/model.py", '"""', '"""Ours. ')
    ours.edit("tests/model/test_model.py", '"""', '"""Ours. ')
    (found,) = merged(ours, versions).conflicts
    assert (found.path, found.why) == ("pipeline/model.py", "main and the template changed the same lines")
    assert found.places.splitlines() == [
        "<<<<<<< HEAD",
        "from pipeline.encode import Calendar",
        *found.places.splitlines()[2:4],
        "=======",
        "from pipeline.encode import Calendar, Cycles, plain",
        *found.places.splitlines()[-1:],
    ]
    text = (ours.root / "pipeline/model.py").read_text()
    assert text.startswith('"""Ours. ')
    assert (ours.root / "tests/model/test_model.py").read_text().startswith('"""Ours. ')


def test_an_edited_file_that_the_template_removed_stands_between_markers(team: Made, versions: Versions) -> None:
    """Neither side wins in silence."""
    ours = team()
    ours.edit("service/contract.py", '"""', '"""Ours. ')
    (found,) = merged(ours, versions).conflicts
    assert (found.path, found.why) == ("service/contract.py", "main changed it, and the template removed this file")
    lines = (ours.root / "service/contract.py").read_text().splitlines()
    assert (lines[0], lines[-2]) == ("<<<<<<< main", "=======")
    assert lines[-1] == ">>>>>>> template: the template removed this file"


def test_what_a_team_deleted_stays_deleted_and_what_it_renamed_is_merged_there(team: Made, versions: Versions) -> None:
    """A deleted file does not come back, and is named; changes of a renamed one arrive under its new name."""
    ours = team()
    (ours.root / "tests/model/test_metrics.py").unlink()
    (ours.root / "pipeline/model.py").rename(ours.root / "pipeline/forest.py")
    ours.push("Delete and rename")
    done = merged(ours, versions)
    assert (done.conflicts, done.deleted) == ([], ["tests/model/test_metrics.py"])
    has = staged(ours)
    assert not {"tests/model/test_metrics.py", "pipeline/model.py"} & has.keys()
    assert "Cycles" in (ours.root / "pipeline/forest.py").read_text()


@pytest.mark.parametrize(
    ("old", "path"), [(BEFORE, "ci/judge.py"), (PACKAGED, "vendor/gitops-ml/gitops_ml/gate/judge.py")]
)
def test_edits_of_the_automation_are_replaced_and_named(team: Made, versions: Versions, old: str, path: str) -> None:
    """The automation is the template's, the copied one of 0.1.0 and the package alike; files beside the former stay."""
    ours = team(old)
    (ours.root / "ci/ours.py").write_text('"""Ours."""\n')
    ours.edit(path, '"""', '"""Ours. ')
    done = merged(ours, versions, old)
    assert (done.conflicts, done.replaced) == ([], [path])
    has, wanted = staged(ours), Git(ours.root).objects(versions.tree(NOW))
    assert {
        name for name in {*has, *wanted} if name.startswith(("vendor/", "ci/")) and has.get(name) != wanted.get(name)
    } == {"ci/ours.py"}


def test_packages_of_ones_own_are_kept(team: Made, versions: Versions) -> None:
    """Where the groups were written anew, what the team had added is added again, and anything else is a conflict."""
    ours = team()
    ours.edit("pyproject.toml", '  "pyarrow>=26",\n', '  "pyarrow>=26",\n  "polars>=1",\n')
    ours.edit("pyproject.toml", '  "types-psutil>=7",\n', '  "types-psutil>=7",\n  "pytest-randomly>=4",\n')
    assert merged(ours, versions).conflicts == []
    groups = tomllib.loads((ours.root / "pyproject.toml").read_text())["dependency-groups"]
    baked = tomllib.loads((Git(ours.root).read(versions.tree(NOW), "pyproject.toml") or b"").decode())
    assert groups == baked["dependency-groups"] | {
        "train": [*baked["dependency-groups"]["train"], "polars>=1"],
        "dev": [*baked["dependency-groups"]["dev"], "pytest-randomly>=4"],
    }


def test_a_package_that_was_taken_out_is_the_teams_to_settle(team: Made, versions: Versions) -> None:
    """What cannot be told from additions alone is shown."""
    ours = team()
    ours.edit("pyproject.toml", '  "pyarrow>=26",\n', '  "pyarrow>=27",\n')
    assert [each.path for each in merged(ours, versions).conflicts] == ["pyproject.toml"]


def test_two_files_that_are_no_text_are_the_teams_to_settle(team: Made, versions: Versions) -> None:
    """Where markers cannot stand in a file, they stand beside it."""
    ours = team()
    (ours.root / "docs").mkdir(exist_ok=True)
    (ours.root / "docs/README.md").write_bytes(b"\0\1\2")
    ours.push("Write docs")
    (found,) = merged(ours, versions).conflicts
    assert found.path == "docs/README.md"
    assert (ours.root / "docs/README.md").read_bytes() == b"\0\1\2"
    assert (ours.root / "docs/README.md.conflict").read_text().startswith("<<<<<<< main")
