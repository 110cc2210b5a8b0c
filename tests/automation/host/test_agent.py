"""The agent's step on a machine on which something is wrong."""

from __future__ import annotations

import io
import resource
import secrets
import socket
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from gitops_ml.cli.main import tree
from gitops_ml.core.errors import UserError
from gitops_ml.core.storage import Storage
from gitops_ml.host import keeper
from gitops_ml.host.processes import Processes
from gitops_ml.host.system import words
from gitops_ml.promotion import health
from gitops_ml.versions import git as git_module

from ci.shell import free_port
from tests.automation.cli.test_commands import gitops
from tests.automation.host.test_keeper import asked, listening, port, until
from tests.automation.world import World, git


@pytest.mark.parametrize("command", [["deploy", "prod"], ["deploy", "prod", "--watch", "1"], ["stop", "prod"]])
def test_an_environment_that_is_not_there_leaves_nothing_behind(world: World, command: list[str]) -> None:
    """A wrong name is an error that names the right ones, and no folder is made for it."""
    done = gitops("host", *command, cwd=world.root)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no environment 'prod'; project.yaml" in done.stderr
    assert "names staging, production" in done.stderr
    assert not (world.root / ".deploy").exists()


@pytest.mark.parametrize(
    "command",
    [
        *(("host", "deploy", "staging", "--watch", each) for each in ("-1", "0", "inf", "nan", "soon")),
        *(
            ("host", "deploy", "staging", "--as", each)
            for each in ("", "a b", "-a", "a-", "ü", "a/b", "a" * 64, "cluster")
        ),
        *(("model", "serve", "--port", each) for each in ("99999", "0", "-1", "http")),
    ],
)
def test_times_ports_and_names_that_there_are_not_are_refused(command: tuple[str, ...]) -> None:
    """They are refused as words of the command that are wrong, before anything is done."""
    with pytest.raises(SystemExit) as ended:
        tree()(command, prog_name="gitops-ml")
    assert ended.value.code == 2


def test_stopping_what_does_not_run(world: World, tmp_path: Path) -> None:
    """Where nothing runs, that is said; a folder that is not there is an error."""
    assert gitops("host", "stop", "staging", cwd=world.root).stdout == "nothing of staging runs here\n"
    done = gitops("host", "stop", "staging", "--folder", str(tmp_path / "nowhere"), cwd=world.root)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_a_dry_run_makes_no_folder(world: World) -> None:
    """Asking what a step would do on a new host leaves the host as it is."""
    made = world.release("a")
    world.promote("staging")
    assert world.deploy("staging", dry_run=True).release == made.release
    assert not (world.folder / "hosts").exists()


def change_staging(world: World, **settings: object) -> None:
    """Merge other rules for staging."""
    git(world.root, "fetch", "--quiet", "origin")
    git(world.root, "checkout", "--quiet", "-B", "main", "origin/main")
    whole = yaml.safe_load((world.root / "project.yaml").read_text())
    whole["environments"][0].update(settings)
    (world.root / "project.yaml").write_text(yaml.safe_dump(whole))
    git(world.root, "commit", "--quiet", "--all", "--message", "Change staging")
    git(world.root, "push", "--quiet", "origin", "main")


@pytest.mark.parametrize("newer", [False, True])
def test_a_port_that_cannot_be_had_leaves_what_serves_and_keeps_it_alive(world: World, newer: bool) -> None:
    """While the new port is taken, the old release serves on the old one, also after its front was killed."""
    first = world.release("a")
    world.roll_out("staging")
    host, before = world.host("staging"), world.opened().settings("staging").port
    if newer:
        world.release("b")
        world.promote("staging")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        change_staging(world, port=taken.getsockname()[1])
        for _ in range(2):
            done = world.deploy("staging")
            assert (done.state, done.serving) == ("failed", first.release)
            assert "cannot be had: Address already in use" in done.reason
            assert world.serves("staging") == [first.release]
            (front,) = host.port.fronts()
            assert front.cmdline()[-1] == str(before)
            front.kill()
            front.wait()
    after = free_port()
    change_staging(world, port=after)
    done = world.deploy("staging")
    assert (done.state, asked(world)) == ("healthy", done.serving)
    assert [front.cmdline()[-1] for front in host.port.fronts()] == [str(after)]


def test_another_number_of_workers_is_another_instance(world: World) -> None:
    """A release that serves already is started with the workers that are wanted now, beside the one that has others."""
    made = world.release("a")
    world.roll_out("staging")
    servers = world.hosts["staging"]
    (before,) = servers.instances()
    for workers in (3, "auto"):
        change_staging(world, workers=workers)
        assert world.deploy("staging").serving == made.release
        (now,) = servers.instances()
        assert (now != before, servers.workers[now]) == (True, workers)
        assert world.deploy("staging").serving == made.release
        assert servers.instances() == [now]
        before = now


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses whatever makes a file larger than that, as a full disk or a quota would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_bento_that_finds_no_room_is_told_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    """The same sentence each time, and no half of a release; with room again it is installed."""
    made = world.release("a")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    files = {"src/requirements.txt": b"", "bento.yaml": f"image: {{python_version: '{version}'}}".encode()}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in (files | {"src/model": bytes(2_000_000)}).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    bento = made.bento.model_copy(update={"digest": Storage(world.root).put(archive.getvalue())})
    found = made.model_copy(update={"bento": bento})
    runner = Processes(world.root, tmp_path / "host")
    for _ in range(2):
        with pytest.raises(UserError) as told, files_of_at_most(500_000):
            runner.install(found, {})
        assert str(told.value) == f"{runner.releases / made.short} cannot be filled: File too large"
        assert list(runner.releases.iterdir()) == []
    runner.install(found, {})
    assert (runner.releases / made.short / "bento/src/model").stat().st_size == 2_000_000


def reports(world: World) -> list[str]:
    """The commits of what the agent of staging says."""
    return git(world.origin, "log", "--format=%H", f"agents/staging/{host_of(world)}").splitlines()


def host_of(world: World) -> str:
    """What the agent of staging calls itself."""
    return health.host_of(world.host("staging").folder, world.opened().settings("staging"))


def test_the_same_fault_is_the_same_report(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program says in other words each time makes one report, not a new one each step; another fault is told."""
    world.release("a")
    world.roll_out("staging")
    world.release("b")
    world.promote("staging")
    servers = world.hosts["staging"]

    def fails(*_: object) -> None:
        raise UserError(f"`install` failed:\n  no room for /tmp/.tmp{secrets.token_hex(4)}")

    monkeypatch.setattr(servers, "install", fails)
    found = []
    for _ in range(3):
        assert world.deploy("staging").state == "failed"
        found.append(reports(world))
    assert found[0] == found[1] == found[2]

    def refused(*_: object) -> None:
        (world.folder / "a file").touch()
        (world.folder / "a file" / "under it").mkdir()

    monkeypatch.setattr(servers, "install", refused)
    assert world.deploy("staging").reason == f"Not a directory: {world.folder}/a file/under it"
    told = health.latest(world.opened().git, "staging", host_of(world))
    assert told is not None
    assert told.reason.startswith("Not a directory")
    assert len(reports(world)) == len(found[0])


def test_a_release_that_is_not_ready_is_reported_once(world: World) -> None:
    """Each attempt is on another port; the report is the same."""
    change_staging(world, ready_seconds=0.2)
    made = world.release("a")
    world.promote("staging")
    done = world.deploy("staging")
    assert done.state == "healthy"
    servers = world.hosts["staging"]
    other = world.release("b")
    servers.install(made.model_copy(update={"release": other.release}), {})
    world.promote("staging")
    servers.broken.add(other.short)
    first = (world.deploy("staging").state, reports(world))
    assert first == (world.deploy("staging").state, reports(world)) == ("failed", first[1])


def test_a_folder_that_the_system_refuses_is_told(world: World) -> None:
    """Where a file stands in the way of the agent's folder, a step ends in a sentence."""
    (world.folder / "hosts").mkdir()
    (world.folder / "hosts" / "staging").touch()
    with pytest.raises(UserError, match=r"the agent cannot work in .*staging: File exists"):
        world.deploy("staging")
    (world.folder / "hosts" / "staging").unlink()


@contextmanager
def silent(world: World, how: str, folder: Path) -> Iterator[None]:
    """`origin` takes connections and never answers."""
    before = git(world.root, "remote", "get-url", "origin")
    never = folder / "never"
    never.write_text("#!/bin/sh\nexec sleep 600\n")
    never.chmod(0o755)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        urls = {"http": f"http://127.0.0.1:{listening.getsockname()[1]}/x.git", "ssh": "ssh://nobody@127.0.0.1/x.git"}
        git(world.root, "remote", "set-url", "origin", urls.get(how, before))
        git(world.root, "config", "core.sshCommand", str(never))
        git(world.root, "config", "remote.origin.uploadpack", str(never))
        yield
    git(world.root, "remote", "set-url", "origin", before)
    git(world.root, "config", "--unset", "remote.origin.uploadpack")


@pytest.mark.parametrize("how", ["http", "ssh", "file"])
def test_an_origin_that_never_answers_delays_nothing_but_the_step(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The step ends in a sentence and can be taken again; what ends meanwhile is started again meanwhile."""
    monkeypatch.setattr(git_module, "NETWORK_SECONDS", 3.0)
    made = world.release("a")
    world.roll_out("staging")
    host, servers, number = world.host("staging"), world.hosts["staging"], port(world)
    said: list[str] = []
    with silent(world, how, tmp_path), keeper.kept(host, said.append), ThreadPoolExecutor() as agents:
        until(lambda: number in listening())
        step = agents.submit(world.deploy, "staging")
        until(is_at_work)
        host.port.fronts()[0].kill()
        servers.stop(servers.instances()[0])
        assert httpx.get(f"http://127.0.0.1:{number}/version", timeout=20).json()["release"] == made.release
        with pytest.raises(UserError, match="`origin` does not answer: `git fetch` did not end within 3 seconds"):
            step.result()
    assert (world.deploy("staging").state, said) == ("healthy", [])


def is_at_work() -> bool:
    """Whether this process waits for Git, as only a step does; whoever tried its lock would be in its way."""
    return any(words(each)[:1] == ["git"] for each in psutil.Process().children())
