"""Rollouts: a release answers everybody only after it was judged by what it did, and what goes on meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Project
from gitops_ml.core.rollout import Rollout
from gitops_ml.deployment import advance, deploy, rollout
from gitops_ml.front.rolling import Line, Log, Seen
from gitops_ml.front.server import ACTIVE
from gitops_ml.gate.rollout import Promise
from gitops_ml.ledger import status
from gitops_ml.marks import holds
from gitops_ml.promotion import health, served
from pydantic import ValidationError

from ci.shell import free_port
from tests.automation.promotion.test_promotion import failing
from tests.automation.world import World, environments

ROWS = 4000
SHADOW = {"shadow": {"minutes": 60, "rows": ROWS}}
CANARY = {"canary": {"steps": [50, 80], "minutes": 60, "rows": ROWS}}
# Both releases were alike.
ALIKE = rollout.Promised(
    promise=Promise(far=0.1, is_far=0.0, decided=0.0, cuts=[0.3, 0.7], below=[0.0, 0.0], chosen=[]), actions=[]
)


class Rolled(World):
    """A world in which production has a rollout, and evaluation found the releases alike."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        staging, production = environments("staging", "production")
        super().__init__(folder, [staging, production | {"rollout": settings}])
        self.port = production["port"]
        self.bootstrap()

    def bring(self, model: str) -> record.Release:
        """A release that is promoted to production, where its agent has not been yet."""
        made = self.release(model)
        self.roll_out("staging")
        production = self.host("production")
        if active := production.active:
            path = production.folder / "rollout" / f"{made.short}-{active.release.short}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(ALIKE.model_dump_json())
        assert self.promote("production").state == "merged"
        return made

    def step(self) -> deploy.Deployment:
        """The agent's step in production."""
        return self.deploy("production")

    def ask(self, many: int = 40) -> set[str]:
        """Have so many callers ask once; the releases that answered."""
        answered = set[str]()
        with httpx.Client(timeout=30) as client:
            for number in range(many):
                headers = {"x-caller-id": f"caller-{number}"}
                answer = client.post(f"http://127.0.0.1:{self.port}/predict", json={"row": {}}, headers=headers)
                answered.add(answer.json()["release"])
        return answered

    def observe(self, many: int = ROWS, *, status: int = 200, scale: float = 1.0) -> None:
        """Have so many requests of each release written down, as a front does; the new one answers so."""
        folder = self.host("production").folder
        active = self.host("production").active
        assert active
        assert active.rollout
        random, log = np.random.default_rng(0), Log()
        facts = random.random(many), *random.lognormal(1.5, 0.4, (2, many))
        for score, *ms in zip(*(each.tolist() for each in facts), strict=True):
            old, new = (
                Seen(said, took, json.dumps({"score": answered}))
                for said, took, answered in zip((200, status), ms, (score, score * scale), strict=True)
            )
            for line in [Line(old, new)] if not active.rollout.share else [Line(old=old), Line(new=new)]:
                log.write(folder / active.rollout.log, line)
        log.close()

    def reported(self) -> health.Report:
        """What production's agent said last."""
        (report,) = health.reports(self.opened().git, "production")
        return report


@pytest.fixture
def rolled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rolled]]:
    """Makes worlds with a rollout, of which each has one release that serves in production."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    worlds: list[Rolled] = []

    def made(**settings: Any) -> Rolled:
        worlds.append(Rolled(tmp_path / f"world-{len(worlds)}", **settings))
        return worlds[-1]

    yield made
    for each in worlds:
        each.close()


def test_an_equal_release_goes_through_shadow_and_canary_and_then_serves(rolled: Callable[..., Rolled]) -> None:
    """Until it is through, the last completed release is champion and target of a rollback; then the new one is."""
    world = rolled(**SHADOW, **CANARY)
    first = world.bring("a")
    # Nothing is compared where nothing serves.
    assert (world.step().state, world.serves("production")) == ("healthy", [first.release])
    second = world.bring("b")
    begun = world.step()
    assert (begun.state, begun.serving, begun.exit_code) == ("in rollout", first.release, 0)
    assert begun.reason == "shadow, stage 1 of 3"
    assert sorted(world.serves("production")) == sorted([first.release, second.release])
    assert world.ask() == {first.release}
    assert world.step().reason.startswith("shadow, stage 1 of 3\n")

    # What others are told meanwhile.
    opened = world.opened()
    assert served.releases(opened.git, "production") == [first.release]
    settings, named = opened.settings("production"), opened.serving("production")
    assert (named, served.completed(opened.git, settings, named)) == (second, first)
    assert advance.await_agent(world.root, "production", 1, print).state == "in rollout"
    stands = {each.name: each for each in status.read(opened).environments}["production"]
    assert (stands.health, stands.serving) == ("in rollout", first.release)
    assert f"{second.release} is in rollout: shadow" in stands.state

    world.observe()
    assert world.step().reason == "canary of 50 %, stage 2 of 3"
    assert world.ask() == {first.release, second.release}
    world.observe()
    assert world.step().reason == "canary of 80 %, stage 3 of 3"
    world.observe()
    done = world.step()
    assert (done.state, done.serving, done.changed) == ("healthy", second.release, True)
    assert world.ask() == {second.release}
    assert world.serves("production") == [second.release]
    assert served.completed(world.opened().git, settings, named) == second
    assert (world.reported().state, world.reported().lasted) == ("healthy", 0.0)

    # Back to what answered everybody before it is one step, as ever.
    world.rollback("production")
    assert (world.step().serving, world.serves("production")) == (first.release, [first.release])


def test_a_failing_release_is_kept_out_and_held_and_the_branch_goes_back(rolled: Callable[..., Rolled]) -> None:
    """The reason stands in report, hold and ledger; no caller was answered by it; settling goes back to the old one."""
    world = rolled(**SHADOW)
    first = world.bring("a")
    world.step()
    second = world.bring("b")
    assert world.step().state == "in rollout"
    world.observe(500, status=500)
    kept = world.step()
    assert (kept.serving, kept.exit_code) == (first.release, 3)
    assert kept.reason.startswith("shadow: keep after ")
    assert "errors: +100.0% of the requests failed" in kept.reason
    assert world.serves("production") == [first.release]
    assert world.ask() == {first.release}
    # It stays so, whatever else the agent does, and nothing goes on from there.
    assert (world.step().state, world.reported().state) == ("kept", "kept")

    assert [each.state for each in advance.settle(world.opened())] == ["merged"]
    assert world.opened().serving("production") == first
    assert (world.step().state, world.serves("production")) == ("healthy", [first.release])
    refused = world.promote("production", second.release)
    assert "errors: +100.0% of the requests failed" in failing(refused)["hold"]
    assert advance.settle(world.opened()) == []


def test_scores_of_another_scale_are_found_by_a_canary(rolled: Callable[..., Rolled]) -> None:
    """Where callers are split, the mix of scores tells; from then on the old release answers all of them."""
    world = rolled(**CANARY)
    first = world.bring("a")
    world.step()
    world.bring("b")
    assert world.step().reason == "canary of 50 %, stage 1 of 2"
    world.observe(2000, scale=100)
    kept = world.step()
    assert kept.reason.startswith("canary of 50 %: keep after ")
    assert "scores: " in kept.reason
    assert world.ask() == {first.release}


def test_rolling_back_during_a_rollout_is_one_step(rolled: Callable[..., Rolled]) -> None:
    """The last completed release serves everybody at the agent's next step, and the other one is held."""
    world = rolled(**CANARY)
    first = world.bring("a")
    world.step()
    second = world.bring("b")
    world.step()
    assert world.ask() == {first.release, second.release}
    done = world.rollback("production")
    assert (done.state, done.release, done.held) == ("merged", first.release, second.release)
    assert (world.step().state, world.ask()) == ("healthy", {first.release})
    assert world.serves("production") == [first.release]


def test_a_newer_promotion_replaces_one_that_is_in_rollout(rolled: Callable[..., Rolled]) -> None:
    """The newest is rolled out beside what serves, from the beginning, and the one before ends."""
    world = rolled(**SHADOW)
    first = world.bring("a")
    world.step()
    world.bring("b")
    world.step()
    world.observe(100)
    third = world.bring("c")
    begun = world.step()
    assert (begun.state, begun.release, begun.reason) == ("in rollout", third.release, "shadow, stage 1 of 1")
    assert sorted(world.serves("production")) == sorted([first.release, third.release])
    world.observe()
    assert world.step().serving == third.release


def test_a_hold_ends_a_rollout(rolled: Callable[..., Rolled]) -> None:
    """A release that somebody holds while it is a canary answers nobody from the next step on."""
    world = rolled(**CANARY)
    first = world.bring("a")
    world.step()
    second = world.bring("b")
    world.step()
    holds.add(world.opened().git, second, "it smells", datetime.now(UTC))
    done = world.step()
    assert (done.state, done.reason) == ("failed", f"{second.release} is on hold: it smells")
    assert (world.ask(), world.serves("production")) == ({first.release}, [first.release])


def test_too_few_requests_in_time_are_no_evidence(rolled: Callable[..., Rolled]) -> None:
    """When the minutes are over before the rows, the old release goes on."""
    world = rolled(shadow={"minutes": 0.001, "rows": ROWS})
    first = world.bring("a")
    world.step()
    world.bring("b")
    world.step()
    world.observe(20)
    kept = world.step()
    assert (kept.state, kept.serving) == ("kept", first.release)
    assert kept.reason.startswith("shadow: insufficient evidence after ")


def test_clocks_that_are_set_anew_neither_end_a_stage_nor_lengthen_it(
    rolled: Callable[..., Rolled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of day may jump by years in any direction; minutes are those since the machine was started."""
    world = rolled(shadow={"minutes": 60, "rows": ROWS})
    first = world.bring("a")
    world.step()
    second = world.bring("b")
    here = health.Clock.here

    def step(set_anew: timedelta) -> deploy.Deployment:
        jumped = classmethod(lambda _: replace(here(), now=here().now + set_anew))
        monkeypatch.setattr(health.Clock, "here", jumped)
        return world.step()

    for days in (0, 400, -400, 0.1):
        done = step(timedelta(days=days))
        assert (done.state, done.serving) == ("in rollout", first.release)
    world.observe()
    done = step(timedelta(days=-400))
    assert (done.state, done.serving) == ("healthy", second.release)


def test_an_instance_that_dies_in_a_rollout_is_started_again_and_counts(rolled: Callable[..., Rolled]) -> None:
    """A new release whose instance is gone costs no caller an answer; each request that it missed is its failure."""
    world = rolled(canary={"steps": [50], "minutes": 60, "rows": ROWS})
    first = world.bring("a")
    world.step()
    second = world.bring("b")
    world.step()
    servers = world.hosts["production"]
    for instance in [each for each in servers.running if each.short == second.short]:
        servers.stop(instance)
    assert world.ask(400) == {first.release}
    done = world.step()
    assert done.state == "kept"
    assert "errors: " in done.reason


def test_an_agent_that_ends_in_between_goes_on(rolled: Callable[..., Rolled]) -> None:
    """What could not be reported, or was decided and not done yet, is so at the next step."""
    world = rolled(**SHADOW)
    first = world.bring("a")
    world.step()
    world.bring("b")
    world.refuse_after(0)
    with pytest.raises(UserError, match="this cannot be reported"):
        world.step()
    world.refuse_after(None)
    assert world.step().state == "in rollout"
    active = world.host("production").folder / ACTIVE
    before = active.read_bytes()
    world.observe(500, status=500)
    assert world.step().state == "kept"
    # As an agent leaves it that ended after it wrote down that the release is kept out.
    active.write_bytes(before)
    assert (world.step().state, world.ask()) == ("kept", {first.release})
    assert b'"rollout": null' in active.read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"shadow": {"minutes": 0, "rows": 1}},
        {"canary": {"steps": [], "minutes": 1, "rows": 1}},
        {"canary": {"steps": [25, 5], "minutes": 1, "rows": 1}},
        {"canary": {"steps": [100], "minutes": 1, "rows": 1}},
        {"canary": {"steps": [5], "minutes": 1, "rows": 1, "by": "X Caller"}},
    ],
)
def test_a_rollout_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    """Nothing to do, no rows, steps that do not grow: project.yaml is wrong, and says where."""
    with pytest.raises(ValidationError):
        Rollout.model_validate(wrong)


def test_a_cluster_has_no_rollout_of_ours(world: World) -> None:
    """Where no agent of ours hands requests to releases, a rollout is refused, not left out in silence."""
    settings = world.opened().policy.model_dump()
    settings["environments"][0] |= {"runner": "cluster", "url": "http://here", "rollout": SHADOW, "port": free_port()}
    with pytest.raises(ValidationError, match="runs in a cluster, where no agent of ours hands requests"):
        Project.model_validate(settings)
