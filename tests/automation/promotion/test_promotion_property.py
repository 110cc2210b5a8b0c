"""Random sequences of everything that people, machines and accidents do to releases and environments.

`make study` runs more of it and says how many steps that were.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.host import host
from gitops_ml.marks import holds
from gitops_ml.promotion import health, promote, proposals
from gitops_ml.promotion.outcome import Outcome
from gitops_ml.release import tags
from gitops_ml.versions import environment
from gitops_ml.versions.git import Git
from gitops_ml.versions.objects import MENDING
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.automation.world import World, environments, git

EXAMPLES = int(os.environ.get("PROMOTION_EXAMPLES", "4"))
STEPS = int(os.environ.get("PROMOTION_STEPS", "25"))
NAMES = ("dev", "staging", "production")
EDITS = (record.FILE, "README.md", environment.STATE, "more.yaml")

names = st.sampled_from(NAMES)
picks = st.integers(0, 7)


class Promotion(RuleBasedStateMachine):
    """An environment never serves a combination that was not released as one, and was not healthy in the one before."""

    ran: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        os.environ[signing.FOLDER_VARIABLE] = str(self.folder / "keys")
        self.world = World(self.folder / "world", environments(*NAMES))
        self.world.bootstrap()
        self.person = self.world.clone("person")
        self.stale = self.world.opened(self.world.clone("stale"))
        self.served: dict[str, set[str]] = {name: set() for name in NAMES}
        self.models = 0
        self.ahead = timedelta()
        health.Clock.here = self._here  # type: ignore[method-assign]
        # What has happened in any project that somebody would want to break.
        for _ in range(2):
            self.release()
            self.everything_as_it_should_be("staging")
            self.only_what_was_released_and_healthy_before()

    def teardown(self) -> None:
        """End what runs."""
        self.world.close()
        shutil.rmtree(self.folder)

    @rule()
    def release(self) -> None:
        """Somebody merges a change, and it is released."""
        self.models += 1
        self.world.release(f"model {self.models}")

    @rule(name=names, pick=picks)
    def promote(self, name: str, pick: int) -> None:
        """Somebody promotes some release, or what comes by default."""
        self._try(lambda: self.world.promote(name, self._some(pick)))

    @rule(name=names, pick=picks)
    def promote_from_an_old_clone(self, name: str, pick: int) -> None:
        """Somebody promotes who has not fetched for a while: another promotion may have come first."""
        self._try(lambda: promote.promote(self.stale, name, self._some(pick)))

    @rule()
    def fetch_into_the_old_clone(self) -> None:
        """The one who had not fetched does."""
        self.stale = self.world.opened(self.stale.git.root)

    @rule(name=names, pick=picks)
    def roll_back(self, name: str, pick: int) -> None:
        """Somebody rolls back; what is not done holds nothing."""
        before = set(holds.read(self.world.opened().git))
        done: list[Outcome] = []
        self._try(lambda: done.append(self.world.rollback(name, self._some(pick))))
        if not done or done[0].held is None:
            assert set(holds.read(self.world.opened().git)) == before

    @rule(name=names, pick=picks, pushes=st.integers(0, 3), back=st.booleans())
    def crash(self, name: str, pick: int, pushes: int, back: bool) -> None:
        """A promotion or rollback ends after some of its changes reached origin."""
        self.world.refuse_after(pushes)
        action = self.world.rollback if back else self.world.promote
        self._try(lambda: action(name, self._some(pick)))
        self.world.refuse_after(None)

    @rule(name=names, pick=picks)
    def propose_without_any_check(self, name: str, pick: int) -> None:
        """Somebody pushes a rendered tree onto a promotion branch by themselves."""
        if wanted := self._some(pick):
            self._render_onto(f"promote/{name}/by-hand", name, wanted)

    @rule(name=names, how=st.sampled_from(["merge", "squash", "rebase"]))
    def merge_without_any_check(self, name: str, how: str) -> None:
        """Somebody merges what is proposed, whatever the checks say."""
        proposed = proposals.find(self.world.opened(), name)
        if not proposed:
            return
        branch = min(proposed)
        self._checkout(f"env/{name}")
        with suppress(AssertionError):
            if how == "rebase":
                git(self.person, "rebase", "--quiet", "HEAD", f"origin/{branch}")
            else:
                git(self.person, "merge", *(["--squash"] if how == "squash" else ["--no-edit"]), f"origin/{branch}")
                git(self.person, "commit", "--quiet", "--allow-empty", "--message", f"Merge {branch}")
            git(self.person, "push", "--quiet", "origin", f"HEAD:refs/heads/env/{name}")
        self._clean()

    @rule(name=names)
    def merge_with_a_conflict_resolved_at_random(self, name: str) -> None:
        """Somebody merges what is proposed and resolves each conflict with one side or the other."""
        proposed = proposals.find(self.world.opened(), name)
        if not proposed:
            return
        self._checkout(f"env/{name}")
        with suppress(AssertionError):
            git(self.person, "merge", "--no-commit", "-X", "theirs", f"origin/{min(proposed)}")
        with suppress(AssertionError):
            git(self.person, "checkout", "HEAD", "--", record.SIGNATURE, environment.STATE)
        with suppress(AssertionError):
            git(self.person, "commit", "--all", "--quiet", "--message", "Resolve")
            git(self.person, "push", "--quiet", "origin", f"HEAD:refs/heads/env/{name}")
        self._clean()

    @rule(name=names)
    def revert(self, name: str) -> None:
        """Somebody reverts the last commit of an environment."""
        self._checkout(f"env/{name}")
        with suppress(AssertionError):
            git(self.person, "revert", "--no-edit", "HEAD")
            git(self.person, "push", "--quiet", "origin", f"HEAD:refs/heads/env/{name}")
        self._clean()

    @rule(name=names, path=st.sampled_from(EDITS), pick=picks)
    def hotfix(self, name: str, path: str, pick: int) -> None:
        """Somebody edits a file of an environment: a mixture of two releases, or something of their own."""
        self._checkout(f"env/{name}")
        wanted = self._some(pick)
        other = tags.find(Git(self.person), wanted).files.get(path) if wanted else None
        (self.person / path).write_bytes(other or b"edited by hand\n")
        git(self.person, "add", "--all")
        git(self.person, "commit", "--quiet", "--allow-empty", "--message", "Hotfix")
        git(self.person, "push", "--quiet", "origin", f"HEAD:refs/heads/env/{name}")

    @rule(name=names, pick=picks)
    def push_past_everything(self, name: str, pick: int) -> None:
        """Somebody with all rights pushes a well-formed tree of any release onto an environment."""
        if wanted := self._some(pick):
            self._render_onto(f"env/{name}", name, wanted)

    @rule(name=names, back=st.integers(1, 3))
    def force_push(self, name: str, back: int) -> None:
        """Somebody resets an environment to an older commit."""
        history = git(self.world.origin, "rev-list", "--first-parent", f"env/{name}").split()
        git(self.world.origin, "update-ref", f"refs/heads/env/{name}", history[min(back, len(history) - 1)])

    @rule(name=st.sampled_from(["v1", "0123456789abcdef"]))
    def tag_like_a_release(self, name: str) -> None:
        """Somebody tags a commit of their own as releases are tagged."""
        git(self.person, "push", "--quiet", "--force", "origin", f"origin/main:refs/tags/release/{name}")

    @rule(name=names, what=st.sampled_from(["release.json", "state", ""]))
    def lose_an_object(self, name: str, what: str) -> None:
        """A clone loses what an environment names; whoever works there is told, and the advice brings it back."""
        root = self.world.root
        tip = self.world.opened().tip(name)
        found = git(root, "rev-parse", f"{tip}:{what}" if what in self.world.opened().git.paths(tip) else tip)
        path = root / ".git" / "objects" / found[:2] / found[2:]
        before = self._release_of(name)
        if not path.exists():
            return
        path.unlink()
        said: list[Outcome] = []
        self._try(lambda: said.append(self.world.promote(name)))
        assert not said or before in (None, said[0].replaces)
        git(root, *shlex.split(MENDING.split("`")[3])[1:])
        assert self._release_of(name) is not None or before is None

    @rule(hours=st.sampled_from([-8760, -2, 0, 0, 2, 8760]))
    def set_the_clock(self, hours: int) -> None:
        """The clock of the agents' machine is set, right or wrong."""
        self.ahead = timedelta(hours=hours)

    @rule(pick=picks, reason=st.sampled_from(["slow", "wrong"]))
    def hold(self, pick: int, reason: str) -> None:
        """Somebody holds a release."""
        if wanted := self._some(pick):
            holds.add(self.world.opened().git, self.world.released[wanted], reason, datetime.now(UTC))

    @rule(pick=picks)
    def release_hold(self, pick: int) -> None:
        """Somebody lets a release go on."""
        if wanted := self._some(pick):
            holds.remove(self.world.opened().git, self.world.released[wanted])

    @rule(name=names, accept=st.booleans())
    def deploy(self, name: str, accept: bool) -> None:
        """The agent of an environment makes its step; its user may accept a history that was rewritten."""
        self._try(lambda: self.world.deploy(name, accept_rewritten=accept))
        if serving := self.world.serves(name):
            port = next(each.port for each in self.world.opened().policy.environments if each.name == name)
            answered = httpx.get(f"http://127.0.0.1:{port}/version").json()
            assert [answered["release"]] == serving

    @rule(name=names)
    def deploy_what_breaks(self, name: str) -> None:
        """The agent makes its step, and the release that the branch says does not start."""
        servers = self.world.hosts.get(name)
        if servers is None:
            return
        running = {each.short for each in servers.instances()}
        servers.broken = {made.short for made in self.world.released.values()} - running
        self._try(lambda: self.world.deploy(name))
        servers.broken = set()

    @rule(name=names)
    def everything_as_it_should_be(self, name: str) -> None:
        """A whole promotion, as far as it goes."""
        for each in NAMES[: NAMES.index(name) + 1]:
            self._try(lambda each=each: self.world.promote(each))  # type: ignore[misc]
            self._try(lambda each=each: self.world.deploy(each))  # type: ignore[misc]

    @invariant()
    def only_what_was_released_and_healthy_before(self) -> None:
        """What serves is one release, whole, and served in the environment before it first."""
        Promotion.ran["steps"] = Promotion.ran.get("steps", 0) + 1
        for position, name in enumerate(NAMES):
            serving = self.world.serves(name)
            assert len(serving) == (1 if self.served[name] or serving else 0), f"{name} serves {serving}"
            for each in serving:
                assert each in self.world.released
                assert not position or each in self.served[NAMES[position - 1]], f"{name} serves {each} too early"
                self.served[name].add(each)
                Promotion.ran["served"] = Promotion.ran.get("served", 0) + 1

    def _try(self, action: Callable[[], Any]) -> None:
        """What cannot be done is told as a sentence, never as another exception."""
        with suppress(UserError):
            action()

    def _here(self) -> health.Clock:
        right = health.Clock(datetime.now(UTC).replace(microsecond=0), "boot", time.monotonic())
        return replace(right, now=right.now + self.ahead)

    def _release_of(self, name: str) -> str | None:
        with suppress(UserError):
            serving = self.world.opened().serving(name)
            return serving.release if serving else None
        return None

    def _some(self, pick: int) -> str | None:
        known = sorted(self.world.released)
        return known[pick] if pick < len(known) else None

    def _render_onto(self, branch: str, name: str, wanted: str) -> None:
        repository = self.world.opened()
        tree = repository.git.write(environment.render(repository.git, tags.find(repository.git, wanted), name))
        commit = repository.git.commit(tree, repository.tip(name), "By hand")
        git(self.world.root, "push", "--quiet", "--force", "origin", f"{commit}:refs/heads/{branch}")

    def _checkout(self, branch: str) -> None:
        Git(self.person).fetch()
        git(self.person, "checkout", "--quiet", "--force", "--detach", f"origin/{branch}")

    def _clean(self) -> None:
        for command in ("merge", "rebase", "revert"):
            with suppress(AssertionError):
                git(self.person, command, "--abort")
        git(self.person, "reset", "--quiet", "--hard")


def test_no_sequence_serves_what_was_not_tested_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever people, machines and accidents do, in any order, each environment serves one release that was tested."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, "")
    monkeypatch.setattr(host, "DRAIN_SECONDS", 0.0)
    monkeypatch.setattr(health.Clock, "here", health.Clock.here)  # so that it is put back
    limits = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize="PROMOTION_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    Promotion.TestCase.settings = limits
    Promotion.ran.clear()
    Promotion.TestCase("runTest").runTest()
    with capsys.disabled():
        print(f"\n{Promotion.ran['steps']} steps; {Promotion.ran['served']} times an environment was seen serving")
    assert Promotion.ran["served"] > 0
