"""The agent of a host, with real releases, real Bentos and real requests, while it is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from ci.shell import KEYS, environment, free_port, run
from tests.conftest import gitops, make, tool
from tests.forge import GitHub
from tests.load import CALLERS, Load, row_of_april

pytestmark = pytest.mark.xdist_group("deploy")
# `make study` kills it more often.
KILLS = int(os.environ.get("AGENT_KILLS", "3"))
ROLLOUT_KILLS = int(os.environ.get("ROLLOUT_KILLS", "2"))
# A step with a new release takes about so long on two cores that also carry the load.
STEP_SECONDS = 7.0
FRONT, BENTO = "gitops_ml.front.server", "bentoml"


@dataclass
class Host:
    """A project with one environment, in which two releases can serve."""

    project: Path
    port: int
    releases: list[str]

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def processes(self, name: str) -> list[psutil.Process]:
        """The fronts or Bentos that run here."""
        folder = str(self.project / ".deploy" / "production")
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if name in (words := process.info["cmdline"] or [])[:4] and any(word.startswith(folder) for word in words)
        ]

    def instances(self) -> list[str]:
        """The Bentos that run, by the hash of their release."""
        return [Path(process.cmdline()[4]).parent.name for process in self.processes(BENTO)]

    def asked(self, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Run a command of the project's automation and return the JSON that it prints; exit code 3 is an answer."""
        done = tool(self.project, "gitops-ml", *arguments, "--json", env=env, check=False)
        assert done.returncode in (0, 3), done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def other(self) -> str:
        """The release that does not serve."""
        serving = self.asked("env", "status")["environments"][0]["release"]
        return next(each for each in self.releases if each != serving)

    def change_main(self, **production: Any) -> None:
        """Merge other rules for the environment."""
        path = self.project / "project.yaml"
        settings = yaml.safe_load(path.read_text())
        settings["environments"][0].update(production)
        path.write_text(yaml.safe_dump(settings))
        run("git", "commit", "--quiet", "--no-verify", "--all", "--message", f"{production}", cwd=self.project)
        run("git", "push", "--quiet", "origin", "main", cwd=self.project)

    def change_service(self, **limits: Any) -> None:
        """Merge other limits of the service, which make another release."""
        path = self.project / "project.yaml"
        settings = yaml.safe_load(path.read_text())
        settings["service"].update(limits)
        path.write_text(yaml.safe_dump(settings))
        run("git", "commit", "--quiet", "--no-verify", "--all", "--message", f"{limits}", cwd=self.project)
        run("git", "push", "--quiet", "origin", "main", cwd=self.project)

    def agent(self, *options: str) -> subprocess.Popen[bytes]:
        """Start the agent."""
        command = [str(self.project / ".venv/bin/python"), "-m", "gitops_ml", "host", "deploy", "production", *options]
        return subprocess.Popen(command, cwd=self.project, env={**environment(), **KEYS}, stdout=subprocess.PIPE)

    def kill_an_agent(self) -> bool:
        """Start the agent and kill it at a random moment; whether it was still at work."""
        agent = self.agent()
        time.sleep(random.uniform(0.5, STEP_SECONDS))  # noqa: S311 - not for secrets
        at_work = agent.poll() is None
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        return at_work


@pytest.fixture(scope="module")
def host(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Two releases of the trained model: the second one's service takes fewer rows at a time."""
    folder = tmp_path_factory.mktemp("host")
    origin, project, port = folder / "origin.git", folder / "late-flights", free_port()
    run("git", "clone", "--quiet", "--bare", str(trained), str(origin), cwd=folder)
    run("git", "clone", "--quiet", str(origin), str(project), cwd=folder)
    (project / ".venv").symlink_to(trained / ".venv")
    make("pull", cwd=project)
    releases = []
    for rows in (10000, 9999):
        settings = yaml.safe_load((project / "project.yaml").read_text())
        production = settings["environments"][-1] | {"gate": "none", "approvals": 0, "port": port}
        settings["service"]["batch_rows"] = rows
        (project / "project.yaml").write_text(yaml.safe_dump(settings | {"environments": [production]}))
        run("git", "commit", "--quiet", "--no-verify", "--all", "--message", f"{rows} rows", cwd=project)
        run("git", "push", "--quiet", "origin", "main", cwd=project)
        releases.append(json.loads(tool(project, "gitops-ml", "release", "make", "--json").stdout)["release"])
    made = Host(project, port, releases)
    made.asked("env", "bootstrap")
    try:
        yield made
    finally:
        gitops("host", "stop", "production", cwd=project)


def test_an_agent_that_is_killed_loses_no_request(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed at random moments of replacing a release under load, the agent's next step serves exactly that release."""
    random.seed(0)
    host.asked("env", "promote", "production", "--release", host.releases[0])
    assert host.asked("host", "deploy", "production")["serving"] == host.releases[0]
    load = Load(host.url, row_of_april(host.project))
    killed = 0
    with load.asking():
        for turn in range(1, KILLS + 1):
            wanted = host.releases[turn % 2]
            host.asked("env", "promote", "production", "--release", wanted)
            killed += host.kill_an_agent()
            assert host.asked("host", "deploy", "production")["serving"] == wanted
            assert host.instances() == [wanted.partition(":")[2]]
            assert httpx.get(f"{host.url}/version").json()["release"] == wanted
    with capsys.disabled():
        print(f"\n{killed} kills; {load.answered} requests; {len(load.lost)} lost; {len(load.scores) - 1} wrong")
    assert killed >= KILLS // 2
    assert load.lost == []
    assert load.answered > 20 * KILLS
    assert len(load.scores) == 1


def test_an_agent_that_is_killed_in_a_rollout_loses_no_request(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed at random moments of a rollout under load, it goes on; rolled back, the old release has all at once."""
    random.seed(1)
    old = host.asked("env", "status")["environments"][0]["release"] or host.releases[0]
    host.asked("env", "promote", "production", "--release", old)
    assert host.asked("host", "deploy", "production")["serving"] == old
    host.change_service(batch_rows=9998)
    new = host.asked("release", "make")["release"]
    newer = ""
    # Until there is more evidence than there will ever be here.
    endless = {"minutes": 600, "rows": 10**6}
    kinds = [{"shadow": endless}, {"canary": {**endless, "steps": [50], "by": "chance"}}]
    load = Load(host.url, row_of_april(host.project))
    killed = 0
    with load.asking():
        for turn in range(ROLLOUT_KILLS):
            host.change_main(rollout=kinds[turn % 2])
            host.asked("env", "promote", "production", "--release", new)
            killed += host.kill_an_agent()
            done = host.asked("host", "deploy", "production")
            assert (done["state"], done["serving"]) == ("in rollout", old)
            load.answered_by.clear()
            load.await_more()
            assert load.answered_by == ({old, new} if turn % 2 else {old})
            if turn % 10 == 5:
                # Another one is promoted in the middle of it, which begins its own, killed as well.
                if not newer:
                    host.change_service(batch_rows=9997)
                    newer = host.asked("release", "make")["release"]
                host.asked("env", "promote", "production", "--release", newer)
                killed += host.kill_an_agent()
                done = host.asked("host", "deploy", "production")
                assert (done["state"], done["release"], done["serving"]) == ("in rollout", newer, old)
                load.answered_by.clear()
                load.await_more()
                assert load.answered_by == {old, newer}
            host.asked("env", "rollback", "production", "--reason", "enough of it")
            assert host.asked("host", "deploy", "production")["serving"] == old
            assert host.instances() == [old.partition(":")[2]]
            host.asked("release", "unhold", newer if turn % 10 == 5 else new)
    host.change_main(rollout=None)
    with capsys.disabled():
        print(f"\n{killed} kills; {load.answered} requests; {len(load.lost)} lost; {len(load.scores) - 1} wrong")
    assert killed >= ROLLOUT_KILLS // 2
    assert load.lost == []
    assert len(load.scores) == 1


def test_what_is_killed_between_two_steps_refuses_nobody(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Under load, front and instance are killed and come back without a step; at most what they were at is lost."""
    wanted = host.asked("env", "status")["environments"][0]["release"] or host.releases[0]
    host.asked("env", "promote", "production", "--release", wanted)
    host.asked("host", "deploy", "production")
    agent, load = host.agent("--watch", "3600"), Load(host.url, row_of_april(host.project))
    assert agent.stdout
    agent.stdout.readline()
    try:
        with load.asking():
            for name in FRONT, BENTO, FRONT, BENTO:
                for process in host.processes(name):
                    process.kill()
                load.await_more()
        done = tool(host.project, "gitops-ml", "host", "stop", "production", check=False)
        assert "an agent with --watch keeps alive what serves" in done.stderr
    finally:
        agent.kill()
        agent.wait()
    with capsys.disabled():
        print(f"\n{load.answered} requests; {len(load.lost)} lost")
    assert not [said for said in load.lost if "refused" in said or "503" in said]
    assert len(load.lost) <= 4 * CALLERS
    assert len(load.scores) == 1


def test_a_proxy_is_not_asked_for_what_serves_here(host: Host) -> None:
    """With a proxy set that does not answer, a release is started, found ready, and reported."""
    gitops("host", "stop", "production", cwd=host.project)
    proxy = f"http://127.0.0.1:{free_port()}"
    done = host.asked("host", "deploy", "production", env={"HTTP_PROXY": proxy, "http_proxy": proxy})
    assert (done["state"], len(host.instances())) == ("healthy", 1)


@pytest.fixture
def github(host: Host) -> Iterator[GitHub]:
    """The repository of the host's project, on GitHub."""
    stand_in = GitHub(Path(run("git", "remote", "get-url", "origin", cwd=host.project).strip()))
    yield stand_in
    stand_in.close()
    assert stand_in.wrong == []


def test_on_github_a_promotion_is_a_pull_request(host: Host, github: GitHub) -> None:
    """A promotion, or a rollback, is one pull request with every check and a status, and GitHub merges it."""
    if host.asked("env", "status")["environments"][0]["release"] is None:
        host.asked("env", "promote", "production", "--release", host.releases[0])
        host.asked("host", "deploy", "production")
    host.change_main(approvals=1)
    wanted = host.other()
    first = host.asked("env", "promote", "production", "--release", wanted, env=github.environment)
    assert (first["state"], first["where"]) == ("open", "https://github.com/acme/late-flights/pull/1")
    promote = ("env", "promote", "production", "--release", wanted)
    assert host.asked(*promote, env=github.environment)["where"] == first["where"]
    assert [pull["state"] for pull in github.pulls] == ["open"]
    assert "| yes | signature | signed by a key in deploy/release.pub |" in github.pulls[0]["body"]
    told = github.statuses[-1]
    assert (told["sha"], told["state"], told["context"]) == (first["commit"], "success", "promotion")
    assert host.asked("env", "merge", "production", env=github.environment)["state"] == "merged"
    assert host.asked(*promote, env=github.environment)["state"] == "nothing to do"
    assert host.asked("host", "deploy", "production")["serving"] == wanted
    back = host.asked("env", "rollback", "production", env=github.environment)
    assert back["state"] == "open"
    assert github.pulls[-1]["title"] == f"Roll back to {back['release']} on production"
    assert host.asked("env", "merge", "production", env=github.environment)["state"] == "merged"
    assert host.asked("host", "deploy", "production")["serving"] == back["release"]


def test_a_github_that_does_not_work_is_told_in_a_sentence(host: Host, github: GitHub) -> None:
    """Without a token, with a wrong one, and with GitHub down, a promotion ends with one sentence and exit code 1."""
    wanted = host.other()
    host.asked("release", "unhold", wanted)
    command = ("gitops-ml", "env", "promote", "production", "--release", wanted)
    for change, why in (
        ({"GH_TOKEN": ""}, "set GH_TOKEN"),
        ({"GH_TOKEN": "wrong"}, "401: Bad credentials"),
        ({"GITHUB_API_URL": f"http://127.0.0.1:{free_port()}"}, "GitHub does not answer"),
    ):
        done = tool(host.project, *command, env=github.environment | change, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert why in done.stderr
    github.down = True
    done = tool(host.project, *command, env=github.environment, check=False)
    assert "GitHub refuses GET pulls with 503: down" in done.stderr
