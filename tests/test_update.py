"""A project and a host of version 0.1 are brought to this version while they serve."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from ci.bake import bake_version
from ci.shell import KEYS, ROOT, environment, free_port, run
from tests.conftest import SLUG, UV, gitops, make, tool
from tests.load import Load, row_of_april

pytestmark = pytest.mark.xdist_group("update")
# The last commit of the template whose automation was copied into the project's ci/.
BEFORE = "7eabdbb70e32b9e4de890f227d8c9cf3842ec413"
REPORTED = "reports/metrics.json"


@dataclass
class Served:
    """A project, and the clone of it on the host where it serves."""

    project: Path
    host: Path
    port: int

    def front(self) -> psutil.Process:
        """The process that has the public port."""
        (found,) = [
            process
            for process in psutil.process_iter(["cmdline"])
            if str(self.host / ".deploy/production") in (process.info["cmdline"] or [])
        ]
        return found

    def serving(self) -> str:
        """The release that answers."""
        return str(httpx.get(f"http://127.0.0.1:{self.port}/version").raise_for_status().json()["release"])


def old(project: Path, *arguments: str) -> dict[str, Any]:
    """A command as version 0.1 has it."""
    done = tool(project, "python", "-m", "ci", *arguments, "--json")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A project of version 0.1, trained, released, and served by an agent that its unit starts."""
    folder, port = tmp_path_factory.mktemp("update"), free_port()
    project = bake_version(BEFORE, folder)
    settings = yaml.safe_load((project / "project.yaml").read_text())
    production = settings["environments"][-1] | {"gate": "none", "approvals": 0, "port": port}
    (project / "project.yaml").write_text(yaml.safe_dump(settings | {"environments": [production]}))
    for target in ("setup", "init", "repro"):
        make(target, cwd=project)
    run("git", "commit", "--quiet", "--no-verify", "--all", "--message", "Train", cwd=project)
    make("push", cwd=project)
    run("git", "clone", "--quiet", "--bare", str(project), str(folder / "origin.git"), cwd=folder)
    run("git", "remote", "add", "origin", str(folder / "origin.git"), cwd=project)
    old(project, "release")
    old(project, "bootstrap")
    old(project, "promote", "production")
    made = Served(project, folder / "host", port)
    run("git", "clone", "--quiet", str(folder / "origin.git"), str(made.host), cwd=folder)
    make("setup", cwd=made.host)
    assert old(made.host, "deploy", "production")["state"] == "healthy"
    try:
        yield made
    finally:
        gitops("host", "stop", "production", cwd=made.host)


def updated(project: Path, history: Path) -> dict[str, Any]:
    """Bring a project to this version of the template by the template's own command, merge that, and install it."""
    done = subprocess.run(
        [sys.executable, "-m", "gitops_ml", "repo", "update", "--from", str(history), "--recorded", "0.1.0", "--json"],
        cwd=project,
        env={**environment(), **KEYS, **UV, "PYTHONPATH": str(ROOT / SLUG / "vendor/gitops-ml")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    run("git", "merge", "--quiet", "--ff-only", answer["commit"], cwd=project)
    run("git", "push", "--quiet", "origin", "HEAD:main", cwd=project)
    make("setup", cwd=project)
    return answer


def test_a_host_is_updated_while_it_serves(served: Served, history: Path) -> None:
    """The new agent takes over front and instance of the old one, and no request is lost on the way there and back.

    The step from the whole lock to the export of what trains computes every stage once, and gives the same model.
    """
    project, host = served.project, served.host
    first, front = served.serving(), served.front()
    before = yaml.safe_load((project / "dvc.lock").read_text())
    figures = json.loads((project / REPORTED).read_text())
    done = updated(project, history)
    assert [each for each in done["checks"] if not each["holds"]] == []
    assert done["conflicts"] == done["replaced"] == []
    load = Load(f"http://127.0.0.1:{served.port}", row_of_april(project))
    with load.asking():
        # The host, as its owner updates it; its unit still says what version 0.1 said.
        run("git", "pull", "--quiet", "--ff-only", cwd=host)
        make("setup", cwd=host)
        assert old(host, "deploy", "production")["serving"] == first
        assert served.front().pid == front.pid

        # The pipeline runs once, since its stages depend on other files, and gives the same data and model.
        said = {each["name"]: each["sentence"] for each in done["checks"]}
        assert said["pipeline"].startswith("the stages were run again, and the model is the same to the byte")
        make("repro", cwd=project)
        after = yaml.safe_load((project / "dvc.lock").read_text())
        same = {path for path, digest in outputs(before).items() if outputs(after)[path] == digest}
        # What is said of them has fewer digits by now, and more beside it.
        assert {"data/prepared/train.parquet", "data/prepared/test.parquet", "models/model.skops"} <= same
        assert of_before(json.loads((project / REPORTED).read_text()), figures) == approximately(figures)

        # A release of this version, by the commands of this version, behind the front of the old one.
        assert run("git", "status", "--porcelain", cwd=project) == ""
        gitops("release", "make", cwd=project)
        gitops("env", "promote", "production", cwd=project)
        done = json.loads(tool(host, "gitops-ml", "host", "deploy", "production", "--json").stdout)
        second = done["serving"]
        assert (done["state"], served.serving()) == ("healthy", second)
        assert second != first
        assert served.front().pid == front.pid

        # And back to the release that version 0.1 made.
        assert "is whole and as it was written" in tool(project, "gitops-ml", "env", "verify", "production").stdout
        gitops("env", "rollback", "production", "--reason", "to see the old one serve", cwd=project)
        gitops("host", "deploy", "production", cwd=host)
        assert served.serving() == first
    assert load.lost == []
    assert load.answered > 100
    assert len(load.scores) == 1
    listed = json.loads(tool(project, "gitops-ml", "release", "list", "--json").stdout)
    assert [each["release"] for each in listed] == [second, first]


def of_before(value: Any, before: Any) -> Any:
    """What is reported now, without the figures that an older version did not have."""
    if not isinstance(before, dict):
        return value
    return {name: of_before(value[name], each) for name, each in before.items()}


def approximately(value: Any) -> Any:
    """Nested figures, to be compared but for their last digits."""
    if isinstance(value, dict):
        return {name: approximately(each) for name, each in value.items()}
    if isinstance(value, list):
        return [approximately(each) for each in value]
    return pytest.approx(value, rel=1e-10) if isinstance(value, float) else value


def outputs(lock: dict[str, Any]) -> dict[str, str]:
    """The hash of each output in a dvc.lock."""
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def test_markers_of_an_update_are_refused(served: Served, tmp_path: Path) -> None:
    """The hook sees markers in any commit, not only while Git merges."""
    hooks = yaml.safe_load((served.project / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (entry,) = [hook["entry"].split() for hook in hooks if hook["id"] == "check-merge-conflict"]
    (tmp_path / "model.py").write_text("<<<<<<< HEAD\na = 1\n=======\na = 2\n>>>>>>> template\n")
    command = [Path(entry[0]).name, *entry[1:], str(tmp_path / "model.py")]
    assert "Merge conflict string" in tool(served.project, *command, check=False).stdout


def test_a_front_of_the_old_agent_is_replaced_when_its_port_changes(served: Served) -> None:
    """A front that version 0.1 started is ended like any other once another port is wanted."""
    path = served.project / "project.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["environments"][0]["port"] = other = free_port()
    path.write_text(yaml.safe_dump(settings))
    run("git", "commit", "--quiet", "--no-verify", "--all", "--message", "Another port", cwd=served.project)
    run("git", "push", "--quiet", "origin", "HEAD:main", cwd=served.project)
    before = served.front().pid
    command = [str(served.host / ".venv/bin/gitops-ml"), "host", "deploy", "production"]
    subprocess.run(command, cwd=served.host, env={**environment(), **KEYS}, check=True)
    assert served.front().pid != before
    served.port = other
    assert served.serving()
