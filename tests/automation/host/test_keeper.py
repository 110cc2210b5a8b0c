"""What keeps a front and an instance alive between the steps of an agent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import psutil
import pytest
from filelock import FileLock
from gitops_ml.cli import host as commands
from gitops_ml.cli.main import tree
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Workers
from gitops_ml.deployment import deploy
from gitops_ml.host import keeper
from gitops_ml.host.runner import Instance

from tests.automation.world import World


@pytest.fixture
def serving(world: World) -> World:
    """A release serves in staging."""
    world.release("a")
    world.roll_out("staging")
    return world


@pytest.fixture
def said(serving: World) -> Iterator[list[str]]:
    """What the keeper of staging says."""
    sentences: list[str] = []
    with keeper.kept(serving.host("staging"), sentences.append):
        until(lambda: port(serving) in listening())
        yield sentences


def port(world: World) -> int:
    """The port of staging."""
    return world.opened().settings("staging").port


def listening() -> list[int]:
    """The ports that this process, and so its keeper, has open."""
    return [each.laddr.port for each in psutil.Process().net_connections() if each.status == psutil.CONN_LISTEN]


def asked(world: World) -> str:
    """The release that staging says it is, through its front."""
    return str(httpx.get(f"http://127.0.0.1:{port(world)}/version", timeout=20).json()["release"])


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_what_ends_between_two_steps_is_started_again(serving: World, said: list[str]) -> None:
    """Front and instance, ended one after the other and both at once, come back without a step, and refuse nobody."""
    servers, host = serving.hosts["staging"], serving.host("staging")
    release = asked(serving)
    for what in ("front", "instance", "both"):
        if what != "instance":
            (front,) = host.port.fronts()
            front.kill()
            psutil.wait_procs([front])
        if what != "front":
            servers.stop(servers.instances()[0])
        assert asked(serving) == release
        until(lambda: len(host.port.fronts()) == 1 and serving.serves("staging") == [release])
    # What is ended once more before it was looked at is told, and started once more.
    assert [each for each in said if "ended while it was started" not in each] == []


def test_an_instance_that_hangs_between_two_steps_is_replaced(serving: World, said: list[str]) -> None:
    """An instance that runs and answers nothing is replaced without a step, and ended then."""
    servers, release = serving.hosts["staging"], asked(serving)
    (hung,) = servers.instances()
    servers.running[hung].shutdown()
    assert asked(serving) == release
    until(lambda: hung not in servers.instances())
    assert (serving.serves("staging"), said) == ([release], [])


def test_what_cannot_be_started_again_is_said_once_and_tried_again(serving: World, said: list[str]) -> None:
    """While the release cannot start, that is said once; as soon as it can, it serves."""
    servers, release = serving.hosts["staging"], asked(serving)
    broken = servers.instances()[0].short
    servers.broken.add(broken)
    servers.stop(servers.instances()[0])
    until(lambda: bool(said))
    servers.broken.clear()
    assert asked(serving) == release
    assert said == [
        f"what served does not serve again: {release} ended while it was started; it said:\n  broken on purpose"
    ]


def test_a_release_is_replaced_while_the_old_one_is_kept_alive(serving: World, said: list[str]) -> None:
    """A step that replaces the release, while what serves ends, leaves one instance: that of the new release."""
    servers = serving.hosts["staging"]
    for model in ("b", "c", "d"):
        made = serving.release(model)
        serving.promote("staging")
        servers.stop(servers.instances()[0])
        assert serving.deploy("staging").serving == made.release
        assert asked(serving) == made.release
        until(lambda made=made: serving.serves("staging") == [made.release])  # type: ignore[misc]
    assert said == []


def test_a_release_that_takes_long_to_start_is_let_start(
    serving: World, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a step starts the next release, what is kept alive is looked at many times, and the next is left alone."""
    servers = serving.hosts["staging"]
    start = servers.start

    def slowly(short: str, port: int = 0, *, workers: Workers) -> Instance:
        instance = start(short, port, workers=workers)
        time.sleep(1)
        return instance

    monkeypatch.setattr(servers, "start", slowly)
    made = serving.release("b")
    serving.promote("staging")
    assert serving.deploy("staging").serving == made.release
    assert (asked(serving), serving.serves("staging"), said) == (made.release, [made.release], [])


def test_an_agent_that_watches_is_not_worked_against(serving: World, said: list[str]) -> None:
    """While an agent goes on for ever, neither a second one nor the end of everything comes between; a step may."""
    host = serving.host("staging")
    with keeper.watching(host):
        with pytest.raises(UserError, match="an agent with --watch keeps alive what serves"):
            deploy.stop(host)
        with pytest.raises(UserError, match="end that one first"), keeper.watching(host):
            pass
        assert serving.deploy("staging").state == "healthy"


def test_a_single_step_is_waited_for(serving: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of everything waits until a step is done; if it takes too long, that is said, and nothing of --watch."""
    servers, host, agent = serving.hosts["staging"], serving.host("staging"), serving.host("staging")
    begun, go_on, start = threading.Event(), threading.Event(), servers.start

    def held(short: str, port: int = 0, *, workers: Workers) -> Instance:
        begun.set()
        assert go_on.wait(20)
        return start(short, port, workers=workers)

    def step() -> deploy.Deployment:
        with keeper.kept(agent, print):
            return deploy.deploy(serving.root, "staging", agent)

    monkeypatch.setattr(servers, "start", held)
    made = serving.release("b")
    serving.promote("staging")
    with ThreadPoolExecutor() as agents:
        done = agents.submit(step)
        assert begun.wait(20)
        monkeypatch.setattr(deploy, "STEP_SECONDS", 0.1)
        with pytest.raises(UserError, match="wait until its step is done") as told:
            deploy.stop(host)
        monkeypatch.setattr(deploy, "STEP_SECONDS", 20)
        assert "--watch" not in str(told.value)
        threading.Timer(0.3, go_on.set).start()
        assert deploy.stop(host) == [made.short]
        assert done.result().serving == made.release


def test_an_agent_that_begins_to_watch_waits_for_a_single_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`host deploy --watch` begins when the step that somebody else takes is done, and does not end because of it."""
    folder = world.folder / "hosts" / "staging"
    folder.mkdir(parents=True)
    step = FileLock(folder / keeper.LOCK, thread_local=False)
    step.acquire()

    class WatchedError(Exception):
        """It would look again now."""

    def look_again(_: float) -> None:
        raise WatchedError

    monkeypatch.chdir(world.root)
    monkeypatch.setattr(commands, "time", SimpleNamespace(sleep=look_again))
    threading.Timer(0.5, step.release).start()
    with pytest.raises(WatchedError):
        tree()(["host", "deploy", "staging", "--watch", "1", "--folder", str(folder)], prog_name="gitops-ml")


def test_what_cannot_be_said_ends_no_keeper(serving: World) -> None:
    """Where nobody can be told, as where stdout is closed, what serves comes back all the same."""
    servers, refused = serving.hosts["staging"], threading.Event()

    def refuse(_: str) -> None:
        refused.set()
        raise BrokenPipeError

    with keeper.kept(serving.host("staging"), refuse):
        until(lambda: port(serving) in listening())
        servers.broken.add(servers.instances()[0].short)
        servers.stop(servers.instances()[0])
        assert refused.wait(20)
        servers.broken.clear()
        assert asked(serving)


def test_a_system_that_does_not_tell_what_runs_ends_no_keeper(
    serving: World, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If looking at what runs fails, that is said, and what ends afterwards is started again."""
    servers = serving.hosts["staging"]

    def fails(_: Instance) -> bool:
        raise psutil.AccessDenied

    with monkeypatch.context() as patch:
        patch.setattr(servers, "ended", fails)
        until(lambda: bool(said))
    servers.stop(servers.instances()[0])
    assert asked(serving)


def test_where_nothing_was_deployed_nothing_is_started(world: World) -> None:
    """A keeper on a new host waits, says nothing, and keeps what the first step deploys."""
    said: list[str] = []
    (world.folder / "hosts" / "staging").mkdir(parents=True)
    with keeper.kept(world.host("staging"), said.append):
        made = world.release("a")
        world.roll_out("staging")
        servers = world.hosts["staging"]
        until(lambda: port(world) in listening())
        servers.stop(servers.instances()[0])
        assert asked(world) == made.release
    assert said == []
