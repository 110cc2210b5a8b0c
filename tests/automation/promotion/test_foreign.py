from __future__ import annotations

import json
import subprocess

import pytest
from gitops_ml.core import record
from gitops_ml.core.errors import UserError
from gitops_ml.gate import judge
from gitops_ml.ledger import status
from gitops_ml.promotion import proposals
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags
from gitops_ml.versions import environment
from gitops_ml.versions.git import Git

from tests.automation.world import World, git


def newer_form(made: record.Release) -> bytes:
    """A release as a later version of the template may write it."""
    return json.dumps(made.model_dump(mode="json") | {"version": record.FORM + 1}).encode()


def test_a_tag_of_somebody_else_stops_nothing(world: World) -> None:
    """A tag that looks like a release's is named, and releases, promotion and status go on."""
    made = world.release("a")
    git(world.root, "tag", "release/v1.0")
    git(world.root, "tag", "--annotate", "--message", "Ours?", "release/0123456789abcdef")
    git(world.root, "push", "--quiet", "origin", "release/v1.0", "release/0123456789abcdef")
    assert world.promote("staging").release == made.release
    found = status.read(world.opened())
    assert found.newest == made.release
    assert [line.partition(":")[0] for line in found.foreign] == ["release/0123456789abcdef", "release/v1.0"]
    with pytest.raises(UserError, match="holds no release"):
        world.promote("staging", "0123")


def test_a_release_of_a_newer_form_stops_no_other(world: World) -> None:
    """A release that this version cannot read is named with what to do; those that it can read go on."""
    made = world.release("a")
    git_ = world.opened().git
    files = {record.FILE: newer_form(made), record.CARD: b"# A card\n"}
    commit = git_.commit(git_.write(files), made.commit, "Release")
    git_.push(commit, "refs/tags/release/fedcba9876543210")
    (foreign,) = status.read(world.opened()).foreign
    assert "has form 3" in foreign
    assert "git pull" in foreign
    assert [each.release for each in tags.listed(world.opened().git)] == [made.release]
    assert world.promote("staging").release == made.release
    with pytest.raises(UserError, match="has form 3"):
        world.promote("staging", "fedc")


def test_a_tag_that_nobody_has_yet_is_no_release(world: World) -> None:
    """A release tag that is only in somebody's clone is neither promoted nor removed."""
    made = world.release("a")
    git(
        world.root, "tag", "release/aaaaaaaaaaaaaaaa", f"{world.opened().git.tags('release/')[f'release/{made.short}']}"
    )
    assert len(tags.listed(world.opened().git)) == 1
    assert git(world.root, "tag", "--list", "release/a*") == "release/aaaaaaaaaaaaaaaa"


def test_a_branch_of_somebody_else_is_no_proposal(world: World) -> None:
    """A person's branch where machines propose is named, and neither merged, nor counted, nor removed."""
    world.release("a")
    git(world.root, "push", "--quiet", "origin", "origin/main:refs/heads/promote/staging/my-try")
    assert world.promote("staging").state == "merged"
    assert proposals.find(world.opened(), "staging") == {}
    assert status.read(world.opened()).foreign == ["promote/staging/my-try: no machine names a proposal so"]
    assert git(world.origin, "branch", "--list", "promote/*") == "promote/staging/my-try"


def lose(world: World, name: str) -> None:
    """Have a clone lose an object that it had, as a full or failing disk does."""
    root = world.root
    found = git(root, "rev-parse", name)
    for pack in (root / ".git/objects/pack").glob("*.pack"):
        aside = pack.rename(world.folder / pack.name)
        with aside.open("rb") as packed:
            subprocess.run(["git", "unpack-objects", "-q"], cwd=root, stdin=packed, check=True)
    (root / ".git" / "objects" / found[:2] / found[2:]).unlink()


@pytest.mark.parametrize("lost", ["{tip}:release.json", "{tip}:state", "{tip}^{{tree}}", "{tip}"])
def test_a_clone_that_lost_something_says_so(world: World, lost: str) -> None:
    """Whoever lost what an environment names is told so, and never that the environment has nothing."""
    made = world.release("a")
    world.roll_out("staging", "production")
    world.release("b")
    world.roll_out("staging")
    tip = world.opened().tip("production")
    person, policy = Git(world.root), world.opened().policy
    lose(world, lost.format(tip=tip))
    reads = [lambda: environment.serving(person, tip), lambda: status.read(Repository(person, policy))]
    for read in reads if lost != "{tip}:state" else []:
        with pytest.raises(UserError, match="git fsck"):
            read()
    done = world.deploy("production")
    assert (done.serving, done.state == "empty") == (made.release, False)
    try:
        # What is written anew is there again, so this may well succeed, with the right release replaced.
        told = world.promote("production").replaces == made.release
    except UserError as error:
        told = "git fsck" in str(error)
    assert told


def test_the_gate_finds_a_champion_or_says_why_not(world: World) -> None:
    """A champion that cannot be read is never taken for none, which would let any model pass."""
    world.release("a")
    world.roll_out("staging", "production")
    lose(world, "origin/env/production:release.json")
    with pytest.raises(UserError, match="nothing was judged against env/production"):
        judge.champion(world.root, "env/production")


def test_a_default_branch_of_another_name(world: World) -> None:
    """Where origin's branch is not called main, that is said with what to do, and doing it helps."""
    git(world.origin, "branch", "--move", "main", "trunk")
    git(world.root, "branch", "--move", "main", "trunk")
    with pytest.raises(UserError, match=r"the default branch of origin is trunk.*`git branch --move trunk main`"):
        world.opened()
    git(world.root, "branch", "--move", "trunk", "main")
    git(world.root, "push", "--quiet", "-u", "origin", "main")
    assert world.opened().policy.environments
