"""Freezes and windows: when nothing is promoted to an environment, and what goes on all the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gitops_ml.core import signing
from gitops_ml.core.windows import Window, is_open, next_opening
from gitops_ml.deployment import advance
from gitops_ml.ledger import entries, status
from gitops_ml.marks import freezes
from gitops_ml.promotion import promote, verify
from gitops_ml.promotion.repository import Repository
from pydantic import ValidationError

from tests.automation.promotion.test_promotion import commit_on, failing
from tests.automation.world import World, environments

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)  # a Friday
OFFICE = Window(days=["mon", "tue", "wed", "thu"], hours="09:00-16:00", zone="Europe/Berlin")


def test_a_frozen_environment_is_promoted_to_by_nobody_and_rolled_back_all_the_same(world: World) -> None:
    """What is proposed waits with the reason, whoever asks; a rollback goes through; unfrozen, what waits goes on."""
    first = world.release("a")
    world.roll_out("staging", "production")
    second = world.release("b")
    world.roll_out("staging", "production")
    third = world.release("c")
    world.roll_out("staging")
    assert freezes.add(world.opened().git, "production", "answers are wrong", NOW)

    refused = world.promote("production")
    said = "production is frozen since 2026-11-27 12:00 UTC: answers are wrong; "
    assert (refused.state, list(failing(refused))) == ("open", ["freeze"])
    assert failing(refused)["freeze"].startswith(said)
    merging = promote.merge(world.opened(), "production")
    assert (merging.state, merging.exit_code) == ("blocked", 3)
    assert [each.state for each in advance.settle(world.opened())] == ["open"]
    assert world.opened().serving("production") == second

    assert world.rollback("production").state == "merged"
    assert world.deploy("production").serving == first.release
    assert world.promote("production", third.release).state == "open"
    assert freezes.remove(world.opened().git, "production", "they are right again")
    assert [each.state for each in advance.settle(world.opened())] == ["merged"]
    assert world.opened().serving("production") == third


def test_a_freeze_stops_one_environment_and_keeps_its_first_reason(world: World) -> None:
    """Others are promoted to as before; freezing twice changes nothing, and so does letting go twice."""
    world.release("a")
    repository = world.opened()
    assert freezes.add(repository.git, "production", "first", NOW)
    assert not freezes.add(world.opened().git, "production", "second", NOW)
    assert [each.reason for each in freezes.read(world.opened().git).values()] == ["first"]
    world.roll_out("staging")
    assert freezes.remove(world.opened().git, "production", "over")
    assert not freezes.remove(world.opened().git, "production", "over")


def test_status_and_ledger_tell_who_froze_what_and_why(world: World) -> None:
    """As long as it lasts the status has it, and the ledger has both that it began and that it ended."""
    freezes.add(world.opened().git, "production", "answers\nare wrong", NOW)
    frozen = {each.name: each.frozen for each in status.read(world.opened()).environments}
    assert (frozen["staging"], frozen["production"].reason) == (None, "answers\nare wrong")
    freezes.remove(world.opened().git, "production", "over")
    told = [(each.environment, each.action, each.who, each.why) for each in entries.read(world.root)]
    assert sorted(told) == [
        ("production", "freeze", "root", "answers are wrong"),
        ("production", "unfreeze", "root", "over"),
    ]


def test_a_freeze_that_cannot_be_read_freezes(world: World) -> None:
    """Nobody is promoted past a file that somebody damaged: the check says which one, and does not hold."""
    world.release("a")
    freezes.add(world.opened().git, "staging", "stop", NOW)
    commit_on(world, "freezes", lambda root: (root / "staging.json").write_text("{"))
    refused = world.promote("staging")
    assert refused.state == "blocked"
    assert failing(refused)["freeze"].startswith("staging.json on freezes cannot be read, so nothing is promoted")


@pytest.mark.parametrize(
    ("window", "when", "open_", "opens"),
    [
        (OFFICE, "2026-11-27T12:00", False, "2026-11-30T09:00+01:00"),
        (OFFICE, "2026-11-26T07:59", False, "2026-11-26T09:00+01:00"),
        (OFFICE, "2026-11-26T08:00", True, "2026-11-30T09:00+01:00"),
        (OFFICE, "2026-11-26T15:00", False, "2026-11-30T09:00+01:00"),
        # In summer the same clocks show another time.
        (OFFICE, "2026-07-01T07:00", True, "2026-07-02T09:00+02:00"),
        # Past midnight, into a day that is not named.
        (Window(days=["thu"], hours="22:00-04:00"), "2026-11-27T03:59", True, "2026-12-03T22:00+00:00"),
        (Window(days=["thu"], hours="22:00-04:00"), "2026-11-26T03:59", False, "2026-11-26T22:00+00:00"),
        (Window(days=["fri"], hours="00:00-24:00"), "2026-11-27T23:59", True, "2026-12-04T00:00+00:00"),
        (Window(days=["fri"], hours="00:00-24:00"), "2026-11-28T00:00", False, "2026-12-04T00:00+00:00"),
    ],
)
def test_a_window_is_open_by_the_clocks_of_its_zone(window: Window, when: str, open_: bool, opens: str) -> None:
    """It opens and closes on its days at its hours, in summer and winter, past midnight and over a whole day."""
    now = datetime.fromisoformat(when).replace(tzinfo=UTC)
    assert is_open([window], now) is open_
    assert next_opening([window], now) == datetime.fromisoformat(opens)


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": []},
        {"days": ["monday"]},
        {"hours": "9-16"},
        {"hours": "09:00-09:00"},
        {"hours": "09:00-25:00"},
        {"zone": "Europe/Atlantis"},
        {"zone": "../etc/passwd"},
        {"until": "18:00"},
    ],
)
def test_a_window_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    """No days, no such day, hour or zone: project.yaml is wrong, and says where."""
    with pytest.raises(ValidationError):
        Window.model_validate({"days": ["mon"], "hours": "09:00-16:00"} | wrong)


@pytest.fixture
def windowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose production has a window, on the one day that today is not."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    made = environments("staging", "production")
    made[1]["windows"] = [{"days": ["sat"], "hours": "10:00-12:00", "zone": "Asia/Tokyo"}]
    world = World(tmp_path / "world", made)
    world.bootstrap()
    yield world
    world.close()


def test_outside_of_its_windows_a_promotion_waits_and_a_rollback_does_not(windowed: World) -> None:
    """The check names the next opening; within the window it holds; going back is asked for no window."""
    windowed.release("a")
    windowed.roll_out("staging")
    root = windowed.clone("proposer")
    repository = Repository.opened(root)
    tree = repository.git.tree(repository.tip("staging"))
    commit = repository.git.commit(tree, repository.tip("production"), "Promote")

    def asked(kind: verify.Kind, when: str) -> dict[str, str]:
        now = datetime.fromisoformat(when).replace(tzinfo=UTC)
        return {each.name: each.sentence for each in verify.verify(repository, "production", commit, kind, now).checks}

    said = "outside of the windows of production; the next one opens on Saturday, 2026-11-28 10:00 JST"
    assert asked("promote", "2026-11-28T00:59")["window"] == said
    assert asked("promote", "2026-11-28T01:00")["window"] == "within a window"
    assert "window" not in asked("rollback", "2026-11-28T00:59")
