"""What a machine lacks so that an agent could work on it, as the doctor says it."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from gitops_ml.core.errors import UserError
from gitops_ml.github import doctor
from gitops_ml.host import units
from gitops_ml.promotion import hosts

from tests.automation.host.test_agent import change_staging
from tests.automation.world import World, git


@pytest.fixture
def begun(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A clone in which an agent of staging was at work."""
    monkeypatch.setenv(units.VARIABLE, str(tmp_path))
    (world.root / ".deploy" / "staging").mkdir(parents=True)
    return world


def told(world: World) -> str:
    """What the doctor says of this machine."""
    with pytest.raises(UserError) as fault:
        doctor._host(world.root)
    return str(fault.value)


def test_a_host_that_lacks_nothing(begun: World) -> None:
    """Where everything is there, that is said of each environment that serves here, and of no other machine."""
    assert doctor._host(begun.root) == "this machine has what an agent of staging needs"
    assert doctor._host(begun.clone("laptop")) == "no agent is at work here"


def test_a_host_whose_key_only_reads(begun: World) -> None:
    """An agent that could serve and not report is told before it serves, and nothing was pushed to find out."""
    before = git(begun.origin, "for-each-ref")
    git(begun.root, "remote", "set-url", "--push", "origin", str(begun.folder / "nowhere"))
    assert "it may not push to origin, so it cannot report: give this clone a key that may" in told(begun)
    git(begun.root, "remote", "set-url", "--push", "origin", str(begun.origin))
    doctor._host(begun.root)
    assert git(begun.origin, "for-each-ref") == before


def test_a_host_without_what_it_serves_from(begun: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage, port, room and docker that are not there are all named at once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        change_staging(begun, port=taken.getsockname()[1], runner="compose")
        shutil.rmtree(begun.storage)
        monkeypatch.setattr(hosts, "ROOM", 10**18)
        # Nothing is there but Git.
        (begun.folder / "bin").mkdir()
        (begun.folder / "bin" / "git").symlink_to(shutil.which("git") or "")
        monkeypatch.setenv("PATH", str(begun.folder / "bin"))
        said = told(begun)
    assert "cannot be had: Address already in use" in said
    assert "the storage" in said
    assert "make room" in said
    assert "`runner: compose` needs docker" in said
