"""The way of an update through branches: proposed, merged or settled, run again, and the next one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Project
from gitops_ml.update import update
from gitops_ml.versions.git import Git

from tests.automation.tables import PROJECT
from tests.automation.update.conftest import BEFORE, FIRST, PACKAGED, Team, newer
from tests.automation.update.kills import KILLS, kills
from tests.automation.world import git

Made = Callable[..., Team]
BRANCH = "update/v0.2.0"
# The commit of 0.1.0.
LAST_COPIED = "7eabdbb70e32b9e4de890f227d8c9cf3842ec413"
# `make study` kills more often.
# `make study` starts from each version; that they merge alike is held for each in test_merge.
EACH = [(BEFORE, BEFORE), (FIRST, FIRST), (PACKAGED, "0.2.0")]
STARTS = EACH[: int(os.environ.get("UPDATE_STARTS", "1"))]

pytestmark = pytest.mark.xdist_group("update-merge")


def run(team: Team, source: Path | None, **said: object) -> update.Updating:
    """Update a team's project, without packages."""
    wish = {"source": str(source) if source else None, "check": False, **said}
    return update.update(team.root, update.Wish.model_validate(wish))


def state(team: Team) -> tuple[str, ...]:
    """What a team would notice: its branch, its files, and main of `origin`."""
    return (
        git(team.root, "rev-parse", "HEAD"),
        git(team.root, "symbolic-ref", "HEAD"),
        git(team.root, "status", "--porcelain", "--ignored"),
        git(team.root, "ls-remote", "origin", "refs/heads/main"),
    )


def test_what_nobody_knows_must_be_said(team: Made, history: Path) -> None:
    """Without a record, source and version must be named, and must fit; nothing is pushed or changed otherwise."""
    ours = team()
    before = state(ours)
    with pytest.raises(UserError, match="nothing says where the template is; name a clone or a URL of it with --from"):
        run(ours, None)
    with pytest.raises(UserError, match=r"say which, such as --recorded 0\.1\.0"):
        run(ours, history)
    with pytest.raises(UserError, match=r"was not made from version 0\.0\.1 with these answers: main never had 5\d of"):
        run(ours, history, recorded=FIRST)
    with pytest.raises(UserError, match=r"has no version 7\.0\.0 \(it has 0\.0\.1, 0\.1\.0, 0\.2\.0\)"):
        run(ours, history, recorded="7.0.0")
    with pytest.raises(UserError, match=r"cannot be reached from here: .* does not exist"):
        run(ours, history / "nowhere", recorded=BEFORE)
    assert [ref for ref in git(ours.root, "ls-remote", "origin").split() if ref.startswith("refs/heads")] == [
        "refs/heads/main"
    ]
    assert state(ours)[:2] + state(ours)[3:] == before[:2] + before[3:]


@pytest.mark.parametrize(("old", "said"), STARTS)
def test_a_table_of_ones_own_is_left_alone_from_update_to_update(
    team: Made, history: Path, tmp_path: Path, old: str, said: str
) -> None:
    """Schema, params, data and the answers in project.yaml stay, whatever the template's example does meanwhile.

    The second update knows what the first one brought, though main has it squashed, its branch is gone, and the
    template's clone is shallow.
    """
    ours = team(old)
    settings = yaml.safe_load((ours.root / "project.yaml").read_text())
    settings["card"]["contact"] = "the churn team"
    settings["gate"] |= {"metric": "brier", "floors": {"brier": 0.2}}
    # The first version had neither.
    settings |= {"decision": None} if "decision" in settings else {}
    settings |= {"environments": settings["environments"][1:]} if "environments" in settings else {}
    (ours.root / "project.yaml").write_text(yaml.safe_dump(settings))
    for path in ("schema.yaml", "params.yaml", "dvc.lock", "data/raw.dvc"):
        (ours.root / path).write_text("of: ours\n")
    git(ours.root, "rm", "--quiet", "-r", "data/raw")
    ours.push("Bring our table")
    (ours.root / "Makefile").write_text("not committed\n")
    before = state(ours)
    done = run(ours, history, recorded=old)
    assert (done.state, done.old, done.new, done.branch) == ("open", said, "0.2.0", BRANCH)
    assert done.verified.key is None
    assert state(ours) == before
    for path in ("schema.yaml", "params.yaml", "dvc.lock", "data/raw.dvc"):
        assert ours.shown(BRANCH, path) == "of: ours"
    assert "data/raw/2013-01.parquet" not in git(ours.root, "ls-tree", "-r", "--name-only", f"origin/{BRANCH}")
    migrated = yaml.safe_load(ours.shown(BRANCH, "project.yaml"))
    # What the template has only since then comes with the template's values, but for the example's payoffs.
    assert {name: migrated[name] for name in settings if name != "trusted_types"} == {
        name: value for name, value in settings.items() if name != "trusted_types"
    }
    assert migrated["trusted_types"][: len(settings["trusted_types"])] == settings["trusted_types"]
    assert {"pipeline.encode.Cycles", "pipeline.trend.BoostedLine"} <= {*migrated["trusted_types"]}
    assert {"engine", "batch", "environments"} <= migrated.keys()
    assert Project.model_validate(migrated).decision is None
    record = json.loads(ours.shown(BRANCH, ".template.json"))
    assert (record["version"], record["template"]) == ("0.2.0", str(history))

    git(ours.root, "checkout", "--quiet", "Makefile")
    git(ours.root, "merge", "--quiet", "--squash", f"origin/{BRANCH}")
    ours.push("Update, squashed")
    git(ours.root, "push", "--quiet", "origin", "--delete", BRANCH)
    assert run(ours, history).state == "up to date"
    assert run(ours, None).state == "up to date"

    example = ("project.yaml", "rebook: {0: -30, 1: 60}", "rebook: {0: -31, 1: 60}")
    other = newer(history, tmp_path, example=example, image=("deploy/Dockerfile", "\n", "\n# Newer.\n"))
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{other}", "shallow")
    done = run(ours, tmp_path / "shallow")
    assert (done.state, done.old, done.new) == ("open", "0.2.0", "0.3.0")
    assert git(ours.root, "diff", "--name-only", "HEAD", f"{done.commit}").split() == [
        ".template.json",
        "deploy/Dockerfile",
        "vendor/gitops-ml/pyproject.toml",
    ]
    baked = Git(ours.root)
    baked.fetch()
    assert [baked.message(commit).partition("\n")[0] for commit in baked.history(baked.tip("template") or "")] == [
        f"Bake version {version} of the template" for version in ("0.3.0", "0.2.0", said)
    ]


def test_conflicts_are_settled_on_the_branch(team: Made, history: Path) -> None:
    """Markers are pushed for people to settle; run again, the update goes on from there.

    As long as nobody has worked on the branch, it follows main.
    """
    ours = team()
    ours.edit(
        "pipeline/model.py", "from pipeline.encode import Calendar, plain", "from pipeline.encode import Calendar"
    )
    done = run(ours, history, recorded=BEFORE)
    assert (done.state, done.conflicts) == ("conflicts", ["pipeline/model.py"])
    assert "1 files are yours to settle: pipeline/model.py; `git fetch`, `git switch update/v0.2.0`" in done.sentence
    assert run(ours, history, recorded=BEFORE).commit == done.commit

    ours.edit("pyproject.toml", "[tool.uv]\n", "# Ours.\n[tool.uv]\n")
    again = run(ours, history, recorded=BEFORE)
    assert (again.state, again.conflicts) == ("conflicts", ["pipeline/model.py"])
    assert git(ours.root, "rev-parse", f"{again.commit}^") == git(ours.root, "rev-parse", "HEAD")

    git(ours.root, "fetch", "--quiet")
    git(ours.root, "switch", "--quiet", BRANCH)
    (ours.root / "pipeline/model.py").write_text((PROJECT / "pipeline/model.py").read_text())
    ours.push("Settle")
    settled = run(ours, history, recorded=BEFORE)
    assert (settled.state, settled.conflicts) == ("open", [])
    assert settled.commit == git(ours.root, "rev-parse", "HEAD")


def test_what_cruft_knows_is_read_and_kept_in_step(team: Made, history: Path) -> None:
    """A project that cruft made needs no options, and cruft takes it for one of the new version afterwards."""
    ours = team()
    answers = {"project_slug": "late-flights", "python_version": "3.11", "_template": str(history)}
    known = {"template": str(history), "commit": LAST_COPIED, "skip": ["notes"], "context": {"cookiecutter": answers}}
    (ours.root / ".cruft.json").write_text(json.dumps(known))
    ours.push("Made by cruft")
    done = run(ours, None)
    assert (done.state, done.old, done.new) == ("open", BEFORE, "0.2.0")
    tip = git(history, "rev-parse", "HEAD")
    assert json.loads(ours.shown(BRANCH, ".cruft.json")) == known | {"commit": tip}


def test_a_version_that_was_changed_afterwards_is_refused(team: Made, history: Path, tmp_path: Path) -> None:
    """What the record says is baked again, and must be what it was."""
    ours = team()
    run(ours, history, recorded=BEFORE)
    git(ours.root, "fetch", "--quiet")
    git(ours.root, "merge", "--quiet", f"origin/{BRANCH}")
    record = json.loads((ours.root / ".template.json").read_text())
    (ours.root / ".template.json").write_text(json.dumps(record | {"bake": "0" * 64}))
    ours.push("Edit the record")
    with pytest.raises(UserError, match="is not what this project was made from: its bake has another hash"):
        run(ours, newer(history, tmp_path))


def test_an_update_that_is_killed_changes_nothing_or_all(
    team: Made, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whenever it is killed, main and the working tree are as they were; the next run proposes the same."""
    ours = team()
    (ours.root / "notes.txt").write_text("not committed\n")
    before = state(ours)
    for killed in kills(ours.root, "repo", "update", "--from", str(history), "--recorded", BEFORE, "--no-check"):
        if not killed:
            git(ours.root, "push", "--quiet", "origin", "--delete", BRANCH, "template")
        after = state(ours)
        assert (after[:2], after[3]) == (before[:2], before[3])
        assert set(after[2].splitlines()) <= {*before[2].splitlines(), "!! build/"}
        for branch, commit in Git(ours.root).branches("").items():
            assert branch in ("HEAD", "main") or Git(ours.root).message(commit).startswith(
                ("Bake version", "Update the template")
            )
    done = run(ours, history, recorded=BEFORE)
    assert (done.state, done.conflicts) == ("open", [])
    git(ours.root, "fsck", "--no-dangling")
    with capsys.disabled():
        print(f"\n{KILLS} kills")
