"""What the monitor found last stands on a branch of its own, where whoever has Git can read it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.monitor import figures
from gitops_ml.notify import branch
from gitops_ml.versions.git import Git

from tests.automation.monitor.samples import NOW, states
from tests.automation.world import git

STATES = states()


@pytest.fixture
def clones(tmp_path: Path) -> list[Git]:
    """Two clones of one repository."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    for name in ("one", "two"):
        git(tmp_path, "clone", "--quiet", "origin.git", name)
    return [Git(tmp_path / name) for name in ("one", "two")]


def test_a_finding_replaces_the_one_before(clones: list[Git]) -> None:
    """The branch is one commit of a machine, which says verdict, when, window, alarms and worth."""
    one, two = clones
    assert branch.write(one, branch.of(STATES["well"]))
    assert branch.write(two, branch.of(STATES["alarm"]))
    one.fetch()
    said = branch.read(one, "production")
    assert said == branch.of(STATES["alarm"])
    assert said is not None
    assert (said.verdict, said.tone, said.moment, said.until) == ("alarm", "bad", NOW, NOW)
    assert said.sentence.startswith("alarm (")
    assert len(said.alarms) == len(STATES["alarm"].alarms)
    assert said.worth is not None
    assert said.worth.unit == "USD"
    tip = one.tip("monitor/production") or ""
    assert one.history(tip) == [tip]
    assert git(one.root, "show", "--no-patch", "--format=%an", tip) == "gitops-ml"


@pytest.mark.parametrize("state", STATES)
def test_a_finding_has_the_colour_that_the_monitors_page_has(state: str) -> None:
    """What is read on another page is no greener than on the monitor's own."""
    assert branch.of(STATES[state]).tone == figures.verdict(STATES[state])[0]


def test_what_is_older_never_replaces_what_is_newer(clones: list[Git]) -> None:
    """A look at the past leaves the branch as it is; what nobody can read is replaced."""
    one, _ = clones
    assert branch.write(one, branch.of(STATES["well"]))
    past = branch.of(STATES["alarm"]).model_copy(update={"moment": NOW - timedelta(days=1)})
    assert not branch.write(one, past)
    commit = one.commit(one.write({branch.FILE: b"{"}), None, "Break it")
    one.push(commit, "refs/heads/monitor/production", expected=one.tip("monitor/production"))
    with pytest.raises(UserError, match=r"finding\.json on monitor/production cannot be read"):
        branch.read(one, "production")
    assert branch.write(one, past)


def test_a_newer_form_is_told(clones: list[Git]) -> None:
    """What a newer version wrote is not guessed at."""
    one, _ = clones
    content = json.dumps(branch.of(STATES["well"]).model_dump(mode="json") | {"version": 2}).encode()
    one.push(one.commit(one.write({branch.FILE: content}), None, "Newer"), "refs/heads/monitor/production")
    with pytest.raises(UserError, match="has form 2, and this version of gitops-ml reads up to 1"):
        branch.read(one, "production")


def test_a_branch_that_takes_nothing_is_an_error(clones: list[Git]) -> None:
    """Where the branch is protected against whoever monitors, that is said, and not taken for done."""
    one, _ = clones
    hook = one.root.parent / "origin.git/hooks/update"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(UserError, match="hook declined"):
        branch.write(one, branch.of(STATES["well"]))
