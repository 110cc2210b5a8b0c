from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.deployment import advance, deploy
from gitops_ml.host.host import Host
from gitops_ml.ledger import entries
from gitops_ml.marks import holds
from gitops_ml.promotion import promote, proposals
from gitops_ml.release import tags
from gitops_ml.versions import environment
from gitops_ml.versions.forge import PlainGit
from gitops_ml.versions.git import Git

from tests.automation.promotion.test_promotion import failing, proposed
from tests.automation.world import Servers, World, environments, git


@pytest.fixture
def rolled_out(world: World) -> tuple[record.Release, record.Release]:
    """Two releases, of which the second serves everywhere."""
    first = world.release("a")
    world.roll_out("staging", "production")
    second = world.release("b")
    world.roll_out("staging", "production")
    return first, second


def test_what_replaced_a_release_on_hold_is_rolled_back_all_the_same(
    world: World, rolled_out: tuple[record.Release, record.Release]
) -> None:
    """A hold on the release before does not make a promotion look like a rollback."""
    first, second = rolled_out
    holds.add(world.opened().git, second, "it is bad", datetime.now(UTC))
    third = world.release("c")
    world.roll_out("staging", "production")
    outcome = world.rollback("production")
    assert (outcome.state, outcome.release, outcome.held) == ("merged", first.release, third.release)
    assert world.deploy("production").serving == first.release
    assert set(holds.read(world.opened().git)) == {second.release, third.release}
    again = world.rollback("production")
    assert (again.state, again.release) == ("nothing to do", first.release)
    assert "--to" in again.sentence


def test_promoting_again_after_a_rollback_can_be_rolled_back(
    world: World, rolled_out: tuple[record.Release, record.Release]
) -> None:
    """Rolled back, freed, promoted again, and bad again: it is rolled back and held again."""
    first, second = rolled_out
    world.rollback("production")
    world.deploy("production")
    holds.remove(world.opened().git, second)
    assert world.promote("production").state == "merged"
    world.deploy("production")
    outcome = world.rollback("production")
    assert (outcome.state, outcome.release, outcome.held) == ("merged", first.release, second.release)


def lose_archive(world: World, target: record.Release) -> None:
    """Somebody cleaned the storage too well."""
    shutil.rmtree(world.storage / "releases", ignore_errors=True)
    for path in world.storage.rglob("*"):
        if path.is_file() and target.bento.digest.removeprefix("sha256:") in path.name:
            path.unlink()


def lose_storage(world: World, target: record.Release) -> None:
    """The storage is down."""
    world.storage.rename(world.storage.with_name("away"))


def lose_key(world: World, target: record.Release) -> None:
    """Main trusts another key by now."""
    git(world.root, "checkout", "--quiet", "-B", "main", "origin/main")
    (world.root / signing.PUBLIC).unlink()
    signing.create_key(world.root)
    git(world.root, "add", "--all")
    git(world.root, "commit", "--quiet", "--message", "Another key")
    git(world.root, "push", "--quiet", "origin", "main")


@pytest.mark.parametrize("lose", [lose_archive, lose_storage, lose_key])
def test_what_serves_is_not_held_while_there_is_nothing_to_go_back_to(
    world: World, rolled_out: tuple[record.Release, record.Release], lose: object
) -> None:
    """If the target cannot serve, nothing changes at origin, and a new host serves what it should."""
    first, _ = rolled_out
    assert callable(lose)
    before = git(world.origin, "for-each-ref", "refs/heads/holds", "refs/heads/env", "refs/heads/rollback")
    lose(world, first)
    outcome = world.rollback("production")
    assert (outcome.state, outcome.held, outcome.exit_code) == ("blocked", None, 3)
    assert failing(outcome)
    assert holds.read(world.opened().git) == {}
    assert git(world.origin, "for-each-ref", "refs/heads/holds", "refs/heads/env", "refs/heads/rollback") == before
    with pytest.raises(UserError, match="there is no release"):
        world.rollback("production", "cc90")
    assert holds.read(world.opened().git) == {}


def test_a_hold_that_came_later_keeps_no_new_host_from_serving(
    world: World, rolled_out: tuple[record.Release, record.Release], tmp_path: Path
) -> None:
    """A host that is set up anew serves what its environment serves, though it was put on hold meanwhile."""
    _, second = rolled_out
    holds.add(world.opened().git, second, "it is bad", datetime.now(UTC))
    deploy.stop(world.host("production"))
    servers = Servers(tmp_path / "new")
    world.hosts["new"] = servers
    host = Host(world.root, tmp_path / "new", {"process": servers})
    done = deploy.deploy(world.root, "production", host)
    assert (done.state, done.serving) == ("healthy", second.release)
    deploy.stop(host)


@pytest.mark.parametrize("pushes", [0, 1])
def test_proposal_and_hold_come_together_or_not_at_all(
    world: World, rolled_out: tuple[record.Release, record.Release], pushes: int
) -> None:
    """If origin takes only one of both, it takes none, and doing it again does it."""
    first, second = rolled_out
    world.refuse_after(pushes)
    with pytest.raises(UserError):
        world.rollback("production")
    assert holds.read(world.opened().git) == {}
    assert proposals.find(world.opened(), "production") == {}
    world.refuse_after(None)
    outcome = world.rollback("production")
    assert (outcome.state, outcome.release, outcome.held) == ("merged", first.release, second.release)


def test_a_hold_of_somebody_else_at_the_same_moment_is_kept(
    world: World, rolled_out: tuple[record.Release, record.Release]
) -> None:
    """A rollback from a clone that does not know the newest hold yet adds its own to it."""
    _, second = rolled_out
    other = world.release("c")
    stale = world.opened(world.clone("stale"))
    holds.add(world.opened().git, other, "smells", datetime.now(UTC))
    outcome = promote.rollback(stale, "production")
    assert (outcome.state, outcome.held) == ("merged", second.release)
    assert set(holds.read(world.opened().git)) == {other.release, second.release}


@pytest.mark.parametrize("how", ["--no-ff", "--squash", "--ff-only"])
def test_a_proposal_that_a_person_merged_is_closed(approving: World, how: str) -> None:
    """However a person merges what is proposed, it serves, is no proposal any more, and says what it was."""
    made = approving.release("a")
    approving.promote("staging")
    branch = proposed(approving, "staging")
    person = approving.clone("person")
    git(person, "checkout", "--quiet", "env/staging")
    git(person, "merge", "--quiet", *(["--no-edit"] if how == "--no-ff" else []), how, f"origin/{branch}")
    if how == "--squash":
        git(person, "commit", "--quiet", "--message", "Serve it (#7)")
    git(person, "push", "--quiet", "origin", "env/staging")
    assert proposals.find(approving.opened(), "staging") == {}
    assert approving.deploy("staging").serving == made.release
    outcome = promote.merge(approving.opened(), "staging")
    assert (outcome.state, outcome.release) == ("nothing to do", made.release)
    assert Git(approving.root).branches("promote/") == {}
    assert [entry.action for entry in entries.read(approving.root)] == ["promote"]


def test_looking_again_closes_what_a_person_merged(approving: World) -> None:
    """The look that workflows take every hour closes what is merged, and finds nothing else to do."""
    approving.release("a")
    approving.promote("staging")
    git(approving.root, "push", "--quiet", "origin", f"origin/{proposed(approving, 'staging')}:env/staging")
    assert advance.settle(approving.opened()) == []
    assert Git(approving.root).branches("promote/") == {}


class Told(PlainGit):
    """Git alone, and the commits of which something was said."""

    def __init__(self, git_: Git) -> None:
        super().__init__(git_)
        self.commits: list[str] = []

    def tell(self, commit: str, state: str, sentence: str, context: str = "") -> None:
        """See Forge."""
        self.commits.append(commit)


def test_things_are_said_of_the_commit_that_was_pushed(approving: World) -> None:
    """Of two who propose the same at once, both speak of the one commit that origin has."""
    approving.release("a")
    stale = approving.opened(approving.clone("stale"))
    told = stale.__dict__["forge"] = Told(stale.git)
    first = approving.promote("staging")
    second = promote.promote(stale, "staging")
    assert (second.commit, second.branch) == (first.commit, first.branch)
    assert told.commits == [first.commit]


def test_after_a_return_by_hand_the_bad_release_is_asked_for(
    world: World, rolled_out: tuple[record.Release, record.Release]
) -> None:
    """Where a person has reverted already, a rollback does not guess which release was the bad one."""
    first, second = rolled_out
    person = world.clone("person")
    git(person, "checkout", "--quiet", "env/production")
    git(person, "revert", "--no-edit", "HEAD")
    git(person, "push", "--quiet", "origin", "env/production")
    world.deploy("production")
    with pytest.raises(UserError, match=f"brought back to an older state by hand.*--to: {first.release}"):
        world.rollback("production")
    assert world.rollback("production", second.release).held == first.release


def test_commits_say_what_they_do(world: World, rolled_out: tuple[record.Release, record.Release]) -> None:
    """What a machine commits says whether it promotes or rolls back; one by hand says nothing."""
    world.rollback("production")
    repository = world.opened()
    back, *promoted, created = repository.git.history(repository.tip("production"))
    assert environment.action(repository.git, back) == "roll back"
    assert {environment.action(repository.git, each) for each in promoted} == {"promote"}
    assert environment.action(repository.git, created) is None
    old = repository.git.commit(repository.git.tree(back), back, "Roll back to flights:0123456789abcdef\n\nModel: x")
    assert environment.action(repository.git, old) == "roll back"


def test_a_rollback_that_people_approve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback that waits for people is proposed with its hold, and holds no more when it is said again."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    world = World(tmp_path / "world", environments("production", approvals=1))
    world.bootstrap()
    for model in ("a", "b"):
        world.release(model)
        world.promote("production")
        promote.merge(world.opened(), "production")
        world.deploy("production")
    outcome, again = world.rollback("production"), world.rollback("production")
    assert (outcome.state, again.state) == ("open", "open")
    assert (outcome.branch, outcome.held) == (again.branch, again.held)
    assert len(holds.read(world.opened().git)) == 1
    assert len(world.opened().git.history(world.opened().git.tip(holds.BRANCH) or "")) == 1
    assert promote.merge(world.opened(), "production").state == "merged"
    assert tags.find(world.opened().git, outcome.release).release == world.opened().serving("production")
    world.close()
