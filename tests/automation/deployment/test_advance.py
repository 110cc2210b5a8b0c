"""What follows by itself: the next environment, what waits, and what the agent says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.deployment import advance
from gitops_ml.promotion import health, promote, proposals

from tests.automation.promotion.test_promotion import pass_time
from tests.automation.world import World


def test_each_environment_is_followed_by_the_next(world: World) -> None:
    """Without an environment the newest release is for the first one; the last one is followed by none."""
    made = world.release("model 1")
    first = advance.advance(world.opened())
    assert first is not None
    assert (first.environment, first.release, first.state) == ("staging", made.release, "merged")
    world.deploy("staging")
    second = advance.advance(world.opened(), "staging")
    assert second is not None
    assert (second.environment, second.state) == ("production", "merged")
    assert advance.advance(world.opened(), "production") is None


def test_an_unknown_environment_is_followed_by_a_sentence(world: World) -> None:
    """A name that project.yaml does not have is told with those that it has."""
    with pytest.raises(UserError, match="names staging, production"):
        advance.advance(world.opened(), "nowhere")


def test_what_waited_is_merged_once_it_holds(world: World) -> None:
    """A promotion that waits for the soak is looked at again, stays open, and is merged once it holds."""
    world.release("model 1")
    world.roll_out("staging")
    repository = world.opened()
    repository.policy.environments[0].soak_minutes = 30
    assert promote.promote(repository, "production").state == "open"
    (waiting,) = advance.settle(repository)
    assert (waiting.environment, waiting.state) == ("production", "open")
    pass_time(world, timedelta(minutes=31), timedelta())
    repository.git.fetch()
    (settled,) = advance.settle(repository)
    assert settled.state == "merged"
    assert advance.settle(world.opened()) == []


def test_what_needs_approval_is_only_judged(approving: World) -> None:
    """Where people approve, looking again merges nothing, however well everything holds."""
    approving.release("model 1")
    assert approving.promote("staging").state == "open"
    (judged,) = advance.settle(approving.opened())
    assert (judged.state, all(check.holds for check in judged.checks)) == ("open", True)
    assert proposals.find(approving.opened(), "staging") == {judged.branch: judged.commit}


def test_waiting_ends_with_what_the_agent_says(world: World) -> None:
    """What the agent reported of the branch's present tip is the answer, healthy or failed."""
    world.release("model 1")
    world.promote("staging")
    deployed = world.deploy("staging")
    said: list[str] = []
    found = advance.await_agent(world.root, "staging", 0.1, said.append)
    assert (found.state, found.release, said) == ("healthy", deployed.release, [])
    broken = world.release("model 2")
    world.hosts["staging"].broken.add(broken.short)
    world.promote("staging")
    assert world.deploy("staging").state == "failed"
    assert advance.await_agent(world.root, "staging", 0.1, said.append).exit_code == 3


def test_waiting_for_an_agent_that_is_not_there_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that says nothing about the tip in time is told in a sentence, with what to do."""
    monkeypatch.setattr(advance, "LOOK_SECONDS", 0.1)
    world.release("model 1")
    world.promote("staging")
    said: list[str] = []
    with pytest.raises(UserError, match="is it running there"):
        advance.await_agent(world.root, "staging", 0.005, said.append)
    assert said == [f"waiting for the agent of staging to deal with {world.opened().tip('staging')[:12]}"]
    assert health.reports(world.opened().git, "staging") == []


def test_nothing_to_wait_for(world: World) -> None:
    """An environment that never had a release is empty at once."""
    assert advance.await_agent(world.root, "staging", 0.1, lambda said: None).state == "empty"
