from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Project
from gitops_ml.host import host
from gitops_ml.ledger import entries, status
from gitops_ml.marks import holds
from gitops_ml.promotion import health, promote, proposals, verify
from gitops_ml.promotion.outcome import Outcome
from gitops_ml.release import tags
from gitops_ml.versions import environment
from gitops_ml.versions.git import Git
from pydantic import ValidationError

from ci.shell import free_port
from tests.automation.world import PROJECT, Servers, World, environments, git


def failing(outcome: Outcome) -> dict[str, str]:
    """The checks that do not hold, and why."""
    return {check.name: check.sentence for check in outcome.checks if not check.holds}


def commit_on(world: World, branch: str, change: Callable[[Path], object], name: str = "somebody") -> Path:
    """Have a person change a branch by hand, in a clone of their own, and push."""
    root = world.clone(name)
    git(root, "checkout", "--quiet", branch)
    change(root)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "By hand")
    git(root, "push", "--quiet", "--force", "origin", branch)
    return root


def proposed(world: World, name: str) -> str:
    """The branch that is proposed for an environment."""
    (branch,) = proposals.find(world.opened(), name)
    return branch


def test_a_release_goes_from_environment_to_environment(world: World) -> None:
    """A release is promoted to the first environment, applied there, and only then merged into the second."""
    made = world.release("a")
    assert world.promote("staging").state == "merged"
    assert world.promote("production").state == "open"
    assert world.deploy("staging").serving == made.release
    assert world.promote("production").state == "merged"
    assert world.deploy("production").serving == made.release
    assert world.serves("production") == [made.release]


def test_the_first_deploy_has_no_champion_and_no_history(world: World) -> None:
    """Before anything was promoted, agents, status and ledger have nothing to say, and say so without an error."""
    assert world.deploy("production").state == "empty"
    assert {each.state for each in status.read(world.opened()).environments} == {"empty"}
    assert entries.read(world.root) == []
    with pytest.raises(UserError, match="nothing was ever healthy in production"):
        world.rollback("production")
    with pytest.raises(UserError, match="no release that is not on hold; `gitops-ml release make` makes one"):
        world.promote("staging")


def test_bootstrap_is_idempotent(world: World) -> None:
    """Bootstrap creates what is missing and nothing else."""
    before = world.opened().tip("staging")
    assert world.bootstrap() == []
    git(world.origin, "branch", "--delete", "--force", "env/production")
    assert world.bootstrap() == ["production"]
    assert world.opened().tip("staging") == before


def test_three_or_five_environments_work_as_well_as_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release goes through any number of environments, and never skips one."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    names = ("dev", "test", "staging", "canary", "production")
    world = World(tmp_path / "world", environments(*names))
    try:
        world.bootstrap()
        made = world.release("a")
        world.roll_out(*names[:3])
        refused = world.promote("production", made.release)
        assert refused.state == "blocked"
        assert "canary, which comes before production, has nothing" in failing(refused)["environment before"]
        world.roll_out(*names[3:])
        assert world.serves("production") == [made.release]
    finally:
        world.close()


def test_two_promotions_at_once(world: World) -> None:
    """Of two promotions from the same state one is merged; the other conflicts with it, in Git and in the checks."""
    first, second = world.release("a"), world.release("b")
    repository = world.opened()
    tip = repository.tip("staging")
    commits = []
    for made in (first, second):
        tree = repository.git.write(
            environment.render(repository.git, tags.find(repository.git, made.release), "staging")
        )
        commits.append(repository.git.commit(tree, tip, "Promote"))
        repository.git.push(commits[-1], f"refs/heads/promote/staging/{made.short}-{tip[:8]}")
    repository.git.push(commits[0], "refs/heads/env/staging")
    late = verify.verify(world.opened(), "staging", commits[1], "promote")
    assert [check.name for check in late.failures] == ["base"]
    clone = world.clone("merger")
    git(clone, "checkout", "--quiet", "env/staging")
    with pytest.raises(AssertionError, match=r"CONFLICT .*state"):
        git(clone, "merge", commits[1])
    assert world.promote("staging", second.release).state == "merged"
    assert world.deploy("staging").serving == second.release


def test_the_same_promotion_from_two_clones(world: World) -> None:
    """Two people who promote the same release get the same result, and the second one finds it done."""
    made = world.release("a")
    other = world.clone("other")
    assert world.promote("staging", made.release).state == "merged"
    assert world.promote("staging", made.release, root=other).state == "nothing to do"
    assert len(world.opened().git.history(world.opened().tip("staging"))) == 2


def test_running_again_before_and_after_the_merge(approving: World) -> None:
    """A promotion that is open is found, not made again; one that was merged leaves nothing to do."""
    approving.release("a")
    first, again = approving.promote("staging"), approving.promote("staging")
    assert (first.state, again.state) == ("open", "open")
    assert (again.branch, again.commit) == (first.branch, first.commit)
    assert promote.merge(approving.opened(), "staging").state == "merged"
    assert approving.promote("staging").state == "nothing to do"
    assert proposals.find(approving.opened(), "staging") == {}


def test_cancelled_between_push_and_merge(world: World) -> None:
    """A run that ended after it had pushed its branch is gone on with by the next run, whoever starts it."""
    world.release("a")
    world.refuse_after(1)
    with pytest.raises(UserError, match="hook declined"):
        world.promote("staging")
    assert world.opened().serving("staging") is None
    left = proposed(world, "staging")
    world.refuse_after(None)
    outcome = world.promote("staging", root=world.clone("other"))
    assert (outcome.state, outcome.branch) == ("merged", left)
    assert proposals.find(world.opened(), "staging") == {}


def test_a_newer_promotion_closes_an_older_one(approving: World) -> None:
    """Only one promotion of an environment is open: the newest."""
    first = approving.release("a")
    approving.promote("staging")
    second = approving.release("b")
    outcome = approving.promote("staging")
    assert outcome.branch is not None
    assert second.short in outcome.branch
    assert list(proposals.find(approving.opened(), "staging")) == [outcome.branch]
    assert first.short not in outcome.branch


def test_a_promotion_of_what_the_environment_before_no_longer_serves(world: World) -> None:
    """A release that left the environment before, by the time of the merge, is not merged."""
    made = world.release("a")
    world.roll_out("staging")
    world.release("b")
    world.roll_out("staging")
    refused = world.promote("production", made.release)
    assert refused.state == "blocked"
    assert "which comes before production, has flights:" in failing(refused)["environment before"]


@pytest.mark.parametrize(
    ("path", "check"), [(".github/workflows/more.yml", "paths"), ("README.md", "rendering"), ("state", "rendering")]
)
def test_a_promotion_with_an_edit(approving: World, path: str, check: str) -> None:
    """A promotion branch to which somebody added a workflow, or in which they edited a file, is not merged."""
    approving.release("a")
    approving.promote("staging")

    def edit(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("edited\n")
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--amend", "--no-edit")
        (root / "trace").write_text("")

    commit_on(approving, proposed(approving, "staging"), edit)
    outcome = promote.merge(approving.opened(), "staging")
    assert outcome.state == "blocked"
    assert path in failing(outcome)[check]
    assert approving.promote("staging").state == "open"
    assert promote.merge(approving.opened(), "staging").state == "merged"


def test_an_edited_digest_with_the_hash_left(approving: World) -> None:
    """A record whose digest was edited is refused: its hash does not fit."""
    refused = _tampered(approving, lambda text: re.sub(r"sha256:\w{8}", "sha256:00000000", text))
    assert "was edited: its content is not what its hash says" in refused["record"]


def test_an_edited_digest_with_the_hash_recomputed(approving: World) -> None:
    """A record whose digest was edited, and its hash with it, is refused: it is not the one that was released."""

    def forge(text: str) -> str:
        facts = json.loads(text)
        facts["bento"]["digest"] = "sha256:" + "1" * 64
        facts.pop("hash")
        return record.write(record.seal(**facts)).decode()

    assert "is not the one that was written when" in _tampered(approving, forge)["record"]


def _tampered(world: World, change: Callable[[str], str]) -> dict[str, str]:
    world.release("a")
    world.promote("staging")

    def edit(root: Path) -> None:
        path = root / record.FILE
        path.write_text(change(path.read_text()))

    commit_on(world, proposed(world, "staging"), edit)
    outcome = promote.merge(world.opened(), "staging")
    assert outcome.state == "blocked"
    return failing(outcome)


def test_another_signer_and_no_signature(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that is signed with another key, or not at all, is neither promoted nor applied; a trusted one is."""
    made = world.release("a")
    tag = f"refs/tags/{tags.TAG}{made.short}"
    files = dict(tags.find(world.opened().git, made.release).files)
    other = tmp_path / "other"
    other.mkdir()
    signing.create_key(other)
    foreign = signing.sign(files[record.FILE], (other / signing.PUBLIC).read_bytes())
    for signature, why in ((foreign, "signed by none of the keys"), (None, "it is not signed"), (b"?", "not base64")):
        repository = Git(world.root)
        kept = {name: content for name, content in files.items() if name != record.SIGNATURE}
        tree = repository.write(kept | ({record.SIGNATURE: signature} if signature else {}))
        git(world.origin, "update-ref", "-d", tag)
        repository.push(repository.commit(tree, made.commit, "Forged"), tag)
        refused = world.promote("staging")
        assert refused.state == "blocked"
        assert why in failing(refused)["signature"]
    git(world.origin, "update-ref", "-d", tag)
    repository.push(repository.commit(repository.write(files), made.commit, "As it was"), tag)
    assert world.promote("staging").state == "merged"


def test_a_key_that_main_no_longer_trusts(world: World, tmp_path: Path) -> None:
    """Taking a key from deploy/release.pub on main makes every release that it signed unusable; adding one does not."""
    made = world.release("a")
    other = tmp_path / "other"
    other.mkdir()
    signing.create_key(other)
    old, new = ((root / signing.PUBLIC).read_bytes() for root in (world.root, other))
    commit_on(world, "main", lambda root: (root / signing.PUBLIC).write_bytes(old + new), "adds")
    assert world.promote("staging").state == "merged"
    commit_on(world, "main", lambda root: (root / signing.PUBLIC).write_bytes(new), "removes")
    deployed = world.deploy("staging")
    assert (deployed.state, deployed.serving) == ("failed", None)
    assert "signed by none of the keys" in deployed.reason
    assert made.release not in world.serves("staging")


def test_who_has_no_key_releases_nothing(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the private half of a trusted key, or with another one, no release is made."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(UserError, match="only who has the private half"):
        world.release("a")
    monkeypatch.setenv(signing.VARIABLE, "no key at all")
    with pytest.raises(UserError, match="the private key cannot be read"):
        world.release("b")
    assert tags.listed(world.opened().git) == []


def test_the_private_key_stays_outside_of_the_project(world: World) -> None:
    """The private key is a file that its owner alone can read, and no file of the project."""
    (private,) = (world.folder.parent / "keys").iterdir()
    assert private.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in "".join(path.read_text() for path in (world.root / "deploy").glob("release*"))


def test_a_force_push(world: World) -> None:
    """An agent does not apply a branch whose history no longer holds what it applied, until somebody accepts it."""
    made = world.release("a")
    world.roll_out("staging")
    tip = world.opened().tip("staging")
    world.release("b")
    world.roll_out("staging")
    git(world.origin, "update-ref", "refs/heads/env/staging", tip)
    refused = world.deploy("staging")
    assert refused.state == "failed"
    assert "was rewritten" in refused.reason
    assert world.serves("staging") != [made.release]
    assert world.deploy("staging", accept_rewritten=True).serving == made.release


def test_a_deleted_branch(world: World) -> None:
    """Without its branch an environment goes on serving; bootstrap says how the branch comes back."""
    made = world.release("a")
    world.roll_out("staging")
    tip = world.opened().tip("staging")
    git(world.origin, "branch", "--delete", "--force", "env/staging")
    with pytest.raises(UserError, match="origin has no branch env/staging"):
        world.deploy("staging")
    assert world.serves("staging") == [made.release]
    with pytest.raises(UserError, match=f"git push origin {tip}:refs/heads/env/staging"):
        world.bootstrap()


def test_a_person_edits_the_environment(world: World) -> None:
    """What a person changes on an environment's branch is not applied but told, and the next promotion mends it."""
    first, second = world.release("a"), None
    world.roll_out("staging")
    commit_on(world, "env/staging", lambda root: (root / record.FILE).write_text("{}\n"))
    refused = world.deploy("staging")
    assert refused.state == "failed"
    assert world.serves("staging") == [first.release]
    assert entries.read(world.root)[0].action == "edit by hand"
    second = world.release("b")
    world.roll_out("staging")
    assert world.serves("staging") == [second.release]


def test_a_person_removes_the_record(world: World) -> None:
    """A branch that lost its record is not one that never had a release: nothing is taken for the first model."""
    made = world.release("a")
    world.roll_out("staging")
    commit_on(world, "env/staging", lambda root: (root / record.FILE).unlink())
    refused = world.deploy("staging")
    assert (refused.state, world.serves("staging")) == ("failed", [made.release])
    with pytest.raises(UserError, match="what serves there is not known"):
        world.opened().serving("staging")
    assert (entries.read(world.root)[0].action, entries.read(world.root)[0].release) == ("edit by hand", None)


def test_a_person_reverts_a_promotion(world: World) -> None:
    """A plain `git revert` gives the tree of the release before, so it is applied; promoting again then works."""
    first = world.release("a")
    world.roll_out("staging")
    second = world.release("b")
    world.roll_out("staging")
    root = world.clone("somebody")
    git(root, "checkout", "--quiet", "env/staging")
    git(root, "revert", "--no-edit", "HEAD")
    git(root, "push", "--quiet", "origin", "env/staging")
    assert world.deploy("staging").serving == first.release
    assert world.promote("staging", second.release).state == "merged"
    assert world.deploy("staging").serving == second.release


def test_roll_back(world: World) -> None:
    """A rollback puts the release that served before back, and holds the bad one, which then goes nowhere."""
    first = world.release("a")
    world.roll_out("staging", "production")
    second = world.release("b")
    world.roll_out("staging", "production")
    outcome = world.rollback("production")
    assert (outcome.state, outcome.release, outcome.held) == ("merged", first.release, second.release)
    assert world.deploy("production").serving == first.release
    again = world.rollback("production")
    assert (again.state, again.release, again.held) == ("nothing to do", first.release, None)
    assert list(holds.read(world.opened().git)) == [second.release]
    refused = world.promote("production")
    assert refused.state == "blocked"
    assert "on hold" in failing(refused)["hold"]
    assert holds.remove(world.opened().git, second)
    assert world.promote("production").state == "merged"
    assert world.deploy("production").serving == second.release
    what = [(entry.action, entry.release) for entry in entries.read(world.root) if entry.environment == "production"]
    # Promoting it again is no rollback, although it served there before.
    assert sorted(what) == sorted(
        [
            ("promote", first.release),
            ("promote", second.release),
            ("roll back", first.release),
            ("promote", second.release),
        ]
    )


def test_roll_back_to_a_release_that_never_served_there(world: World) -> None:
    """One can only roll back to what was healthy there."""
    world.release("a")
    world.roll_out("staging", "production")
    second = world.release("b")
    world.roll_out("staging")
    refused = world.rollback("production", second.release)
    assert refused.state == "blocked"
    assert "never served in production" in failing(refused)["served before"]


def test_a_release_that_is_held_after_its_merge(world: World) -> None:
    """An agent that did not apply a release yet does not apply it once it is on hold."""
    world.release("a")
    world.roll_out("staging", "production")
    bad = world.release("b")
    world.promote("staging")
    holds.add(world.opened().git, bad, "it is bad", datetime.now(UTC))
    refused = world.deploy("staging")
    assert refused.state == "failed"
    assert "is on hold: it is bad" in refused.reason
    assert bad.release not in world.serves("staging")


def test_a_hold(world: World) -> None:
    """A release on hold is not promoted; without a name the newest other one is; a second hold changes nothing."""
    first, second = world.release("a"), world.release("b")
    now = datetime.now(UTC)
    assert holds.add(world.opened().git, second, "smells", now)
    assert not holds.add(world.opened().git, second, "still smells", now)
    assert failing(world.promote("staging", second.release))["hold"].endswith("smells")
    assert world.promote("staging").release == first.release
    assert holds.remove(world.opened().git, second)
    assert not holds.remove(world.opened().git, second)


def test_holds_of_two_people_at_once(world: World) -> None:
    """Two holds that are pushed from the same state are both kept."""
    first, second = world.release("a"), world.release("b")
    stale, other = world.opened(), world.opened(world.clone("other"))
    holds.add(other.git, first, "one", datetime.now(UTC))
    holds.add(stale.git, second, "two", datetime.now(UTC))
    assert set(holds.read(world.opened().git)) == {first.release, second.release}


def test_a_damaged_hold_stops_promotion(world: World) -> None:
    """A hold that cannot be read is not taken for none."""
    made = world.release("a")
    holds.add(world.opened().git, made, "one", datetime.now(UTC))
    commit_on(world, holds.BRANCH, lambda root: (root / f"{made.short}.json").write_text("?"))
    with pytest.raises(UserError, match="cannot be read, so nothing is promoted"):
        world.promote("staging")


def test_a_missing_archive_and_a_changed_one(world: World) -> None:
    """A release whose archive is gone from the storage, or is another one, is not promoted."""
    made = world.release("a")
    path = world.storage / "releases" / f"{made.bento.digest.replace(':', '-')}.tar"
    content = path.read_bytes()
    path.write_bytes(b"another one")
    assert "was changed" in failing(world.promote("staging"))["archive"]
    path.unlink()
    assert "has no release archive" in failing(world.promote("staging"))["archive"]
    path.write_bytes(content)
    assert world.promote("staging").state == "merged"


def test_a_missing_object_of_the_data(world: World) -> None:
    """A release whose model or data is gone from the storage is not promoted: it could not be made again."""
    world.release("a")
    world.storage.joinpath("files/md5").rename(world.storage / "away")
    assert "lacks models/model.skops" in failing(world.promote("staging"))["data"]


def test_a_storage_that_is_gone(world: World) -> None:
    """A storage that cannot be reached is not taken for an empty one, nor for a full one."""
    world.release("a")
    world.storage.rename(world.folder / "away")
    refused = failing(world.promote("staging"))
    assert "does not exist or cannot be reached" in refused["archive"]
    assert "does not exist or cannot be reached" in refused["data"]


def test_a_release_that_does_not_become_ready(world: World) -> None:
    """A release that does not start leaves the last good one serving, is reported, and is not promoted further."""
    first = world.release("a")
    world.roll_out("staging", "production")
    bad = world.release("b")
    assert world.promote("staging").state == "merged"
    world.hosts["staging"].broken.add(bad.short)
    refused = world.deploy("staging")
    assert (refused.state, refused.serving) == ("failed", first.release)
    assert world.serves("staging") == [first.release]
    assert "failed in staging" in failing(world.promote("production"))["environment before"]
    assert status.read(world.opened()).environments[0].state.startswith("failed: ")


def test_an_instance_that_ended_is_started_again(world: World) -> None:
    """What ended by itself, or with its host, serves again after the agent's next step, even if Git is not there."""
    made = world.release("a")
    world.roll_out("staging")
    servers = world.hosts["staging"]
    servers.stop(servers.instances()[0])
    world.origin.rename(world.folder / "away.git")
    with pytest.raises(UserError, match="git fetch"):
        world.deploy("staging")
    assert world.serves("staging") == [made.release]


def test_an_instance_that_no_longer_answers_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that runs and does not answer any more is ended, and another one of the same release started."""
    monkeypatch.setattr(host, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(host, "UNWELL_SECONDS", 0.5)
    made = world.release("a")
    world.roll_out("staging")
    servers = world.hosts["staging"]
    (hung,) = servers.instances()
    servers.running[hung].shutdown()
    assert world.deploy("staging").state == "healthy"
    assert hung not in servers.instances()
    assert world.serves("staging") == [made.release]


def test_only_one_agent_at_a_time(world: World) -> None:
    """A second agent on the same folder says so and does nothing."""
    folder = world.folder / "hosts" / "staging"
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"), pytest.raises(UserError, match="another agent is at work"):
        world.deploy("staging")


def pass_time(world: World, uptime: timedelta, wall: timedelta | None = None, boot: str | None = None) -> None:
    """Have staging's agent say the same again after a while, as its clock since boot and the one on the wall count."""
    (report,) = health.reports(world.opened().git, "staging")
    clock = health.Clock(
        now=report.checked + (uptime if wall is None else wall),
        boot=report.boot if boot is None else boot,
        uptime=report.uptime + uptime.total_seconds(),
    )
    state = health.State(**report.model_dump(include=set(health.State.model_fields)))
    settings = world.opened().settings("staging").model_copy(update={"soak_minutes": 30})
    health.write(world.opened().git, settings, report.host, state, clock)


def soak(world: World, verifiers: timedelta = timedelta()) -> verify.Verification:
    """What is said of a promotion to production after a soak of half an hour, by a verifier whose clock may err."""
    repository = world.opened()
    repository.policy.environments[0].soak_minutes = 30
    now = datetime.now(UTC) + verifiers
    checked = verify.verify(repository, "production", _candidate(world), "promote", now)
    return checked.model_copy(update={"checks": [each for each in checked.checks if each.name == "soak"]})


def test_the_soak(world: World) -> None:
    """A release goes on only after it was healthy for the soak time, as its own host says."""
    world.release("a")
    world.roll_out("staging")
    pass_time(world, timedelta(minutes=29), timedelta())
    assert soak(world).waits
    assert "for 29.0 of 30 minutes" in soak(world).checks[0].sentence
    pass_time(world, timedelta(minutes=2), timedelta())
    assert soak(world).passes


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(days=365)])
def test_a_clock_that_is_ahead_is_told_and_forgotten_once_it_is_right(world: World, ahead: timedelta) -> None:
    """An agent whose clock is ahead is named with both times; once it is corrected, nothing is left to wait for."""
    world.release("a")
    world.roll_out("staging")
    pass_time(world, timedelta(minutes=15), ahead)
    wrong = soak(world)
    assert wrong.waits
    assert "set the one that is wrong" in wrong.checks[0].sentence
    pass_time(world, timedelta(minutes=15), -ahead)
    pass_time(world, timedelta(minutes=1), timedelta())
    assert soak(world).passes


@pytest.mark.parametrize("behind", [timedelta(hours=2), timedelta(days=365)])
def test_a_clock_that_is_behind_gives_no_time(world: World, behind: timedelta) -> None:
    """An agent whose clock was behind and is corrected forward has not been healthy for longer than it was."""
    world.release("a")
    world.roll_out("staging")
    pass_time(world, timedelta(minutes=5), -behind)
    assert "says nothing since" in soak(world).checks[0].sentence
    pass_time(world, timedelta(minutes=5), behind)
    assert "for 10.0 of 30 minutes" in soak(world).checks[0].sentence


def test_a_verifiers_clock_passes_no_soak(world: World) -> None:
    """A verifier whose clock is ahead or behind does not count more minutes, and waits with the reason."""
    world.release("a")
    world.roll_out("staging")
    for wrong in (timedelta(minutes=45), timedelta(hours=2), timedelta(days=365), -timedelta(hours=2)):
        assert soak(world, wrong).waits
    assert "for 0.0 of 30 minutes" in soak(world, timedelta(minutes=45)).checks[0].sentence
    assert "and here it is" in soak(world, timedelta(days=365)).checks[0].sentence


def test_what_nobody_saw_is_no_soak(world: World) -> None:
    """The time in which an agent was silent for too long, or its host was off, does not count."""
    world.release("a")
    world.roll_out("staging")
    pass_time(world, timedelta(minutes=20), timedelta())
    pass_time(world, timedelta(minutes=61), timedelta())
    assert "for 20.0 of 30 minutes" in soak(world).checks[0].sentence
    pass_time(world, timedelta(minutes=15), timedelta(), boot="another")
    assert "for 20.0 of 30 minutes" in soak(world).checks[0].sentence
    pass_time(world, timedelta(minutes=11), timedelta())
    assert soak(world).passes


def test_an_agent_that_fell_silent(world: World) -> None:
    """What an agent said long ago does not count as healthy now."""
    world.release("a")
    world.roll_out("staging")
    later = datetime.now(UTC) + timedelta(hours=3)
    checked = verify.verify(world.opened(), "production", _candidate(world), "promote", later)
    (silent,) = (check for check in checked.failures if check.name == "environment before")
    assert "says nothing since" in silent.sentence
    assert silent.waits


def _candidate(world: World) -> str:
    """A commit that would promote what staging serves to production."""
    repository = world.opened()
    serving = repository.serving("staging")
    assert serving is not None
    tree = environment.render(repository.git, tags.find(repository.git, serving.release), "production")
    return repository.git.commit(repository.git.write(tree), repository.tip("production"), "Promote")


def test_rendering_is_a_pure_function(world: World) -> None:
    """Release, source commit and environment decide every byte, in another clone and working tree too."""
    made = world.release("a", image=record.Image(name="ghcr.io/acme/flights", digest="sha256:" + "ab" * 32))
    other = world.clone("other")
    (other / "deploy" / "compose.yaml").write_text("something else\n")
    one, two = world.opened(), world.opened(other)
    rendered = environment.render(one.git, tags.find(one.git, made.release), "staging")
    assert rendered == environment.render(two.git, tags.find(two.git, made.release), "staging")
    assert rendered != environment.render(two.git, tags.find(two.git, made.release), "production")
    assert f'image: "ghcr.io/acme/flights@sha256:{"ab" * 32}"\n' in rendered["compose.yaml"].decode()
    assert b"@" not in rendered["README.md"]


def test_an_image_of_another_repository(world: World) -> None:
    """An image that is not this project's, although its digest is valid, is not promoted."""
    world.release("a", image=record.Image(name="ghcr.io/acme/another", digest="sha256:" + "ab" * 32))
    assert "this project's images are" in failing(world.promote("staging"))["image"]


def test_a_repository_of_an_environments_own(world: World) -> None:
    """The branch names the release's digest there; one that main names only later has no release yet."""
    digest = "sha256:" + "ab" * 32
    _have_own(world, "ghcr.io/acme/staging/flights")
    made = world.release("a", image=record.Image(name="ghcr.io/acme/flights", digest=digest))
    repository = world.opened()
    candidate = tags.find(repository.git, made.release)
    wanted = {"staging": "ghcr.io/acme/staging/flights", "production": "ghcr.io/acme/flights"}
    for name, image in wanted.items():
        rendered = environment.render(repository.git, candidate, name)
        assert f'image: "{image}@{digest}"\n' in rendered["compose.yaml"].decode()
    _have_own(world, "ghcr.io/acme/elsewhere/flights")
    said = failing(world.promote("staging"))["image"]
    assert said == (
        "the images of staging are ghcr.io/acme/elsewhere/flights, and were ghcr.io/acme/staging/flights when it was "
        "released; release anew"
    )


def _have_own(world: World, image: str) -> None:
    """Merge a change that gives staging a repository of its own."""
    path = world.root / "project.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["image"] = "ghcr.io/acme/flights"
    settings["environments"][0]["image"] = image
    path.write_text(yaml.safe_dump(settings))
    git(world.root, "commit", "--quiet", "--all", "--message", "A repository of its own")
    git(world.root, "push", "--quiet", "origin", "HEAD:main")


def test_main_makes_the_rules(world: World) -> None:
    """What project.yaml says in somebody's working tree does not count; what it says on main does."""
    world.release("a")
    path = world.root / "project.yaml"
    path.write_text(path.read_text().replace("approvals: 0", "approvals: 3"))
    assert world.promote("staging").state == "merged"
    git(world.root, "checkout", "--quiet", "project.yaml")


def test_what_is_not_there_is_told_in_a_sentence(world: World) -> None:
    """A wrong environment or release is told with what there is."""
    with pytest.raises(
        UserError, match=r"there is no environment 'prod'; project.yaml on main names staging, production"
    ):
        world.promote("prod")
    world.release("a")
    with pytest.raises(UserError, match="there is no release 'zz'; `gitops-ml release list` lists them"):
        world.promote("staging", "zz")
    with pytest.raises(UserError, match="nothing is proposed for staging"):
        promote.merge(world.opened(), "staging")
    with pytest.raises(UserError, match="staging, which comes before production, has no release yet"):
        world.promote("production")


def test_a_dry_run_changes_nothing(world: World) -> None:
    """With --dry-run promote, roll back and deploy say what they would do, and origin stays as it is."""
    world.release("a")
    world.roll_out("staging", "production")
    world.release("b")
    world.roll_out("staging", "production")
    before = git(world.origin, "for-each-ref")
    would = promote.rollback(world.opened(), "production", dry_run=True)
    assert would.sentence.startswith("would be: production is to serve")
    assert promote.promote(world.opened(), "production", dry_run=True).state == "nothing to do"
    assert not world.deploy("production", dry_run=True).changed
    assert git(world.origin, "for-each-ref") == before


def test_verifying_what_serves(world: World) -> None:
    """Where nothing is proposed, what the branch has is verified, and what its agent says of it."""
    with pytest.raises(UserError, match="nothing was promoted to staging yet"):
        promote.verify_proposal(world.opened(), "staging")
    world.release("a")
    world.promote("staging")
    assert [check.name for check in promote.verify_proposal(world.opened(), "staging").failures] == ["agent"]
    world.deploy("staging")
    assert promote.verify_proposal(world.opened(), "staging").passes
    commit_on(world, "env/staging", lambda root: (root / "README.md").write_text("edited\n"))
    failed = [check.name for check in promote.verify_proposal(world.opened(), "staging").failures]
    assert failed == ["rendering", "agent"]


def test_a_cluster_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Argo CD or Flux apply the branch, the step waits until the environment's url says the release."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    cluster = Servers(tmp_path / "cluster")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    world = World(tmp_path / "world", environments("staging", runner="cluster", url=url, ready_seconds=3))
    world.bootstrap()
    assert world.deploy("staging").state == "empty"
    made = world.release("a")
    # Merged by a person: promoting to a cluster asks a registry for the image, which there is none of here.
    repository = world.opened()
    tree = repository.git.write(environment.render(repository.git, tags.find(repository.git, made.release), "staging"))
    repository.git.push(repository.git.commit(tree, repository.tip("staging"), "Promote"), "refs/heads/env/staging")
    assert world.deploy("staging").state == "failed"
    cluster.install(made, {})
    instance = cluster.start(made.short, port)
    try:
        assert world.deploy("staging").serving == made.release
        assert status.read(world.opened()).environments[0].answers == made.release
    finally:
        cluster.stop(instance)


def test_what_cannot_be_started_again_does_not_keep_a_new_release_out(world: World) -> None:
    """If the release that served cannot come back, the one that is promoted next still does."""
    first = world.release("a")
    world.roll_out("staging")
    servers = world.hosts["staging"]
    servers.stop(servers.instances()[0])
    servers.broken.add(first.short)
    second = world.release("b")
    world.roll_out("staging")
    assert world.serves("staging") == [second.release]


def test_settings_of_environments_that_make_no_sense() -> None:
    """Environments have distinct names that can be branches, and one in a cluster says where to ask what serves."""
    facts = yaml.safe_load((PROJECT / "project.yaml").read_text())
    for wrong, why in (
        (environments("production", runner="cluster"), "needs a url, to be asked what serves there"),
        (
            environments("production", runner="cluster", url="https://a.example", workers=2),
            "replicas instead of workers: set them in deploy/overlays/production",
        ),
        (environments("production", workers=0), "greater than or equal to 1"),
        (environments("a", "a"), "two environments have the same name"),
        (environments("Not a branch"), "should match pattern"),
        ([], "at least 1 item"),
    ):
        with pytest.raises(ValidationError, match=why):
            Project.model_validate(facts | {"environments": wrong})
