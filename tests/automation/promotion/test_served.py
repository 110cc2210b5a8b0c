from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.deployment import deploy
from gitops_ml.host.host import Host
from gitops_ml.ledger import status
from gitops_ml.pages.verdicts import Says
from gitops_ml.promotion import health, served, verify
from gitops_ml.versions.git import Git

from tests.automation.promotion.test_promotion import _candidate
from tests.automation.world import Servers, World, git

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def second_host(world: World, folder: Path, broken: str = "") -> deploy.Deployment:
    """A step of the agent of one more host of staging, on which a release may not start."""
    servers = world.hosts.setdefault("second", Servers(folder))
    servers.broken = {broken}
    deploy.stop(world.host("staging"))  # both are on this machine, where the port is one
    host = Host(world.root, folder, {"process": servers})
    done = deploy.deploy(world.root, "staging", host)
    deploy.stop(host)
    return done


def _before(world: World) -> list[str]:
    checked = verify.verify(world.opened(), "production", _candidate(world), "promote")
    return [check.sentence for check in checked.failures if check.name == "environment before"]


def test_what_served_is_only_appended_to(world: World) -> None:
    """Each commit that was healthy is one line, in order; the same one again changes nothing."""
    first = world.release("a")
    world.roll_out("staging")
    second = world.release("b")
    world.roll_out("staging")
    tip = world.opened().git.tip("served/staging") or ""
    world.deploy("staging")
    git_ = world.opened().git
    assert git_.tip("served/staging") == tip
    assert [entry.release for entry in served.read(git_, "staging")] == [first.release, second.release]
    assert served.releases(git_, "staging") == [second.release, first.release]
    assert len(git_.history(tip)) == 2


def test_without_a_rollout_the_champion_is_what_the_branch_names(world: World) -> None:
    """A release that is merged counts from then on, also before an agent has seen it."""
    world.release("a")
    world.roll_out("staging")
    merged = world.release("b")
    world.promote("staging")
    here = world.opened()
    found = served.completed(here.git, here.settings("staging"), here.serving("staging"))
    assert found == merged
    assert served.releases(here.git, "staging") != [merged.release]
    assert served.completed(here.git, here.settings("staging"), None) is None


def test_what_agents_say_now_can_be_lost(world: World) -> None:
    """Whoever removes what agents say forgets no target of a rollback, and the next step says it again."""
    first = world.release("a")
    world.roll_out("staging", "production")
    world.release("b")
    world.roll_out("staging", "production")
    for branch in git(world.origin, "for-each-ref", "--format=%(refname)", "refs/heads/agents").split():
        git(world.origin, "update-ref", "-d", branch)
    assert health.reports(world.opened().git, "production") == []
    assert world.rollback("production").release == first.release
    assert world.deploy("production").serving == first.release
    assert len(health.reports(world.opened().git, "production")) == 1


def test_a_repository_of_version_0_1_is_carried_over(world: World) -> None:
    """The history of what served is taken from the branch where version 0.1 mixed it with what agents say."""
    first, second = world.release("a"), world.release("b")
    git_ = world.opened().git
    parent = None
    for age, (state, made) in enumerate([("healthy", first), ("failed", second), ("healthy", second)]):
        content = health.Report(
            version=1,
            state=state,
            commit=f"{age + 1:040x}",
            release=made.release,
            serving=made.release,
            since=NOW,
            checked=NOW + timedelta(minutes=7),
        ).model_dump_json(exclude={"host", "lasted", "boot", "uptime"})
        parent = git_.commit(git_.write({"health.json": content.encode()}), parent, "said")
    git(world.root, "push", "--quiet", "origin", f"{parent}:refs/heads/health/staging")
    git_.fetch()
    assert served.releases(git_, "staging") == [second.release, first.release]
    (old,) = health.reports(git_, "staging")
    assert (old.host, old.lasted) == (health.OLD_HOST, 7 * 60)
    world.promote("staging", second.release)
    world.deploy("staging")
    git_.fetch()
    assert [entry.release for entry in served.read(git_, "staging")] == [first.release, second.release, second.release]
    assert [report.host for report in health.reports(git_, "staging")] != [health.OLD_HOST]


def test_two_agents_do_not_speak_for_each_other(world: World, tmp_path: Path) -> None:
    """Where one of two hosts cannot serve a release, it goes no further, whichever of them spoke last."""
    first = world.release("a")
    world.roll_out("staging")
    second_host(world, tmp_path / "second")
    assert _before(world) == []
    bad = world.release("b")
    world.promote("staging")
    assert second_host(world, tmp_path / "second", broken=bad.short).state == "failed"
    world.deploy("staging")
    (sentence,) = _before(world)
    assert f"{bad.release} failed in staging (" in sentence
    (staging, _) = status.read(world.opened()).environments
    assert (staging.health, staging.says.tone) == ("failed", "bad")
    assert staging.state.startswith("failed: ")
    assert [(host.serving, host.state == "healthy") for host in staging.hosts if host.state == "healthy"] == [
        (bad.release, True)
    ]
    assert {host.serving for host in staging.hosts} == {bad.release, first.release}
    assert staging.serving is None


def test_a_host_that_lags_behind_is_named(world: World, tmp_path: Path) -> None:
    """A release goes on only once every host serves it; until then the ones that do not are named."""
    first = world.release("a")
    world.roll_out("staging")
    second_host(world, tmp_path / "second")
    world.release("b")
    world.roll_out("staging")
    (sentence,) = _before(world)
    assert f"serves {first.release} still" in sentence
    (staging, _) = status.read(world.opened()).environments
    assert (staging.health, staging.says.tone) == ("hosts disagree", "wait")
    assert staging.state.startswith("hosts disagree: ")


def test_a_host_that_is_gone_is_forgotten_on_demand(world: World, tmp_path: Path) -> None:
    """A host that says nothing any more is waited for, by name, until somebody says that it is gone."""
    world.release("a")
    world.roll_out("staging")
    second_host(world, tmp_path / "second")
    world.deploy("staging")
    git_ = world.opened().git
    gone = health.host_of(tmp_path / "second", world.opened().settings("staging"))
    report = health.latest(git_, "staging", gone)
    assert report is not None
    old = report.model_copy(update={"checked": report.checked - timedelta(days=2)})
    commit = git_.commit(git_.write({health.FILE: old.model_dump_json().encode()}), None, "two days ago")
    git(world.root, "push", "--quiet", "--force", "origin", f"{commit}:refs/heads/agents/staging/{gone}")
    (sentence,) = _before(world)
    assert f"gitops-ml host forget staging {gone}" in sentence
    (staging, _) = status.read(world.opened()).environments
    assert (staging.health, staging.says.tone) == ("silent", "wait")
    assert f"{gone} was last heard" in staging.state
    assert health.forget(world.opened().git, "staging", gone)
    assert not health.forget(world.opened().git, "staging", gone)
    assert _before(world) == []
    assert status.read(world.opened()).environments[0].says == Says(text="healthy", tone="good")


def test_an_agent_that_was_given_a_name_is_the_same_on_every_machine(world: World, tmp_path: Path) -> None:
    """Containers whose machine and folder are new each time are one agent, and nobody has to forget the ones before."""
    world.release("a")
    world.promote("staging")
    for folder in tmp_path / "first", tmp_path / "second":
        host = Host(world.root, folder, {"process": world.hosts.setdefault(folder.name, Servers(folder))})
        for known_as in "web-2", None:
            deploy.deploy(world.root, "staging", host, known_as=known_as)
            assert [each.host for each in health.reports(world.opened().git, "staging")] == ["web-2"]
        deploy.stop(host)
    cluster = world.opened().settings("staging").model_copy(update={"runner": "cluster"})
    with pytest.raises(UserError, match="deploy without --as"):
        health.name(tmp_path, cluster, "web-2")


def test_a_host_that_failed_and_is_gone_can_be_forgotten(world: World, tmp_path: Path) -> None:
    """A host that last said that it failed, long ago, is waited for like any other that is silent."""
    made = world.release("a")
    world.promote("staging")
    assert second_host(world, tmp_path / "second", broken=made.short).state == "failed"
    world.deploy("staging")
    git_ = world.opened().git
    (failed,) = (each for each in health.reports(git_, "staging") if each.state == "failed")
    old = failed.model_copy(update={"checked": failed.checked - timedelta(days=2)})
    commit = git_.commit(git_.write({health.FILE: old.model_dump_json().encode()}), None, "two days ago")
    git(world.root, "push", "--quiet", "--force", "origin", f"{commit}:refs/heads/agents/staging/{failed.host}")
    (sentence,) = _before(world)
    assert f"gitops-ml host forget staging {failed.host}" in sentence


def test_a_cluster_that_is_asked_now_and_then_has_its_soak(world: World) -> None:
    """Looks at a cluster, each by another machine and a little late, add up, as far as silence is allowed."""
    git_ = world.opened().git
    settings = (
        world.opened()
        .settings("staging")
        .model_copy(
            update={"runner": "cluster", "url": "http://localhost", "silent_minutes": 60.0, "soak_minutes": 180.0}
        )
    )
    state = health.State(state="healthy", commit="c" * 40, release="r", serving="r")
    now = NOW
    for turn, minutes in enumerate((0, 61, 58, 63)):
        now += timedelta(minutes=minutes)
        said = health.write(git_, settings, health.CLUSTER, state, health.Clock(now, f"machine {turn}", 5.0))
    assert said.lasted == (60 + 58 + 60) * 60


def test_two_jobs_that_ask_a_cluster_at_once_both_report(world: World) -> None:
    """A report that somebody else's overtook is made again on top of it."""
    settings = world.opened().settings("staging").model_copy(update={"runner": "cluster", "url": "http://localhost"})
    state = health.State(state="healthy", commit="c" * 40, release="r", serving="r")
    stale, other = world.opened().git, world.opened(world.clone("other")).git
    health.write(other, settings, health.CLUSTER, state, health.Clock(NOW, "one", 5.0))
    later = health.Clock(NOW + timedelta(minutes=5), "two", 5.0)
    assert health.write(stale, settings, health.CLUSTER, state, later).lasted == 5 * 60


def test_what_is_as_it_was_is_said_once_in_ten_minutes(world: World) -> None:
    """Steps of one boot that find the same push nothing; a boot that is another one is told, by the kernel's name."""
    settings, git_ = world.opened().settings("staging"), world.opened().git
    state = health.State(state="healthy", commit="c" * 40, release="r", serving="r")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    first = health.write(git_, settings, "one", state)
    tips = git_.branches("agents/staging")
    assert health.write(git_, settings, "one", state) == first
    assert git_.branches("agents/staging") == tips
    assert first.boot == health.Clock.here().boot == boot
    booted = health.Clock(first.checked, "another", 5.0)
    assert health.write(git_, settings, "one", state, booted).boot == "another"


def test_a_damaged_history_is_not_an_empty_one(world: World) -> None:
    """Lines that cannot be read stop what depends on them."""
    world.release("a")
    world.roll_out("staging")
    git_ = world.opened().git
    tip = git_.tip("served/staging")
    commit = git_.commit(git_.write({served.FILE: b'{"release": 1}\n'}), tip, "by hand")
    git_.push(commit, "refs/heads/served/staging")
    with pytest.raises(UserError, match=r"served\.jsonl on served/staging cannot be read"):
        world.rollback("staging")


def test_an_agent_reports_without_a_name_of_its_user(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Git knows nobody, as under a service manager, an agent serves and reports in the automation's name."""
    world.release("a")
    world.promote("staging")
    git(world.root, "config", "--unset", "user.name")
    git(world.root, "config", "--unset", "user.email")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(world.root, "config", "user.useConfigOnly", "true")
    assert world.deploy("staging").state == "healthy"
    for branch in ("served/staging", "agents/staging"):
        (tip,) = world.opened().git.branches(branch).values()
        assert Git(world.root).said("show", "--no-patch", "--format=%an", tip) == "gitops-ml"
