"""The way of a change on GitHub, with the project's own workflows: from a pull request to production and back."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ci.shell import KEYS, ROOT, CommandError, environment, free_port, run
from tests.actions import Actions, Run
from tests.automation.update.conftest import newer
from tests.conftest import SLUG, UV, clone, gitops, make, tool
from tests.forge import REPOSITORY, TOKEN, GitHub

pytestmark = pytest.mark.xdist_group("story")
# What a pull request's own tests are is its matter; one file of them is enough here.
QUICK = {"TESTS": "tests/data/test_split.py"}
LOOK_SECONDS = "2"
# One round; `make study` has more, and judges exactly.
TRIALS = os.environ.get("SEARCH_TRIALS", "10")


@dataclass
class Team:
    """A repository on GitHub, a developer's clone of it, and the hosts that serve."""

    github: GitHub
    actions: Actions
    developer: Path
    ports: dict[str, int]

    def push(self, branch: str, changes: dict[str, str]) -> None:
        """Change settings of params.yaml, or write other files, and push that to a branch."""
        known = run("git", "ls-remote", "origin", f"refs/heads/{branch}", cwd=self.developer).split()
        run("git", "fetch", "--quiet", "origin", cwd=self.developer)
        start = f"origin/{branch if known else 'main'}"
        run("git", "checkout", "--quiet", "--force", "-B", branch, start, cwd=self.developer)
        for path, text in changes.items():
            (self.developer / path).parent.mkdir(parents=True, exist_ok=True)
            (self.developer / path).write_text(text)
        run("git", "add", "--all", cwd=self.developer)
        run("git", "commit", "--quiet", "--no-verify", "--message", f"Change {', '.join(changes)}", cwd=self.developer)
        run("git", "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", cwd=self.developer)
        self.github.pushed(branch)

    def params(self, **train: object) -> dict[str, str]:
        """params.yaml with other settings of the estimator."""
        params = yaml.safe_load((self.developer / "params.yaml").read_text())
        params["train"]["estimator"].update(train)
        return {"params.yaml": yaml.safe_dump(params, sort_keys=False)}

    def status(self, context: str, commit: str) -> str:
        """What was said last of a commit."""
        return [each["state"] for each in self.github.statuses if (each["sha"], each["context"]) == (commit, context)][
            -1
        ]

    def serving(self, name: str) -> str:
        """The release that answers in an environment."""
        answer = httpx.get(f"http://127.0.0.1:{self.ports[name]}/version").raise_for_status().json()
        return str(answer["release"])


@pytest.fixture(scope="module")
def team(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The trained project on GitHub, with an agent for each environment on its host."""
    folder = tmp_path_factory.mktemp("team")
    origin, ports = folder / "late-flights.git", {"staging": free_port(), "production": free_port()}
    run("git", "clone", "--quiet", "--bare", str(trained), str(origin), cwd=folder)
    developer = clone(origin, folder / "developer")
    (developer / ".venv").unlink()
    (developer / ".venv").symlink_to(trained / ".venv")
    settings = yaml.safe_load((developer / "project.yaml").read_text())
    for each in settings["environments"]:
        each["port"] = ports[each["name"]]
    settings["monitor"]["store"] = str(folder / "store")
    # What is told here does not depend on how busy the machine is, nor on how exact an interval is.
    settings["gate"] |= {"latency_ms": 60_000} | ({} if "SEARCH_TRIALS" in os.environ else {"resamples": 100})
    # So that what is written down can be collected at once.
    settings["log"]["file_seconds"] = 0.5
    (developer / "project.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    run("git", "commit", "--quiet", "--no-verify", "--all", "--message", "Ports of these hosts", cwd=developer)
    run("git", "push", "--quiet", "origin", "main", cwd=developer)
    github = GitHub(origin)
    public = (developer / "deploy/release.pub").read_bytes().strip()
    private = Path(KEYS["RELEASE_KEY_FOLDER"]) / f"{hashlib.sha256(public).hexdigest()[:16]}.pem"
    # What GitHub's machines have, and nothing of what is installed here for other purposes.
    tools = folder / "tools"
    tools.mkdir()
    for name, program in {"gh": ROOT / ".venv/bin/gh", "uv": UV["UV"]}.items():
        (tools / name).symlink_to(program)
    actions = Actions(
        github,
        folder,
        tools=[tools],
        secrets={"RELEASE_KEY": private.read_text()},
        given={
            **QUICK,
            "MYPY_CACHE_DIR": str(folder / "mypy"),
            "SHARED_ENVIRONMENT": str(trained / ".venv"),
            "GH_ENTERPRISE_TOKEN": "not-a-secret",
        },
    )
    gitops("env", "bootstrap", cwd=developer)
    hosts = []
    for name in ports:
        host = clone(origin, folder / name)
        (host / ".venv").unlink()
        (host / ".venv").symlink_to(trained / ".venv")
        command = [str(trained / ".venv/bin/gitops-ml"), "host", "deploy", name, "--watch", LOOK_SECONDS]
        with (folder / f"{name}.log").open("w") as log:
            hosts.append(subprocess.Popen(command, cwd=host, env={**environment(), **KEYS}, stdout=log, stderr=log))
    try:
        yield Team(github, actions, developer, ports)
    finally:
        for host in hosts:
            host.kill()
            host.wait()
        for name in ports:
            gitops("host", "stop", name, cwd=folder / name)
        github.close()
        assert github.wrong == []


def jobs(runs: list[Run]) -> list[tuple[str, dict[str, str]]]:
    """The workflows that ran and what became of their jobs."""
    return [(each.workflow, each.jobs) for each in runs]


RELEASED = ("release", {"plan": "success", "check": "success", "release": "success"})
DEPLOYED = ("deploy", {"start": "skipped", "deploy": "success"})
# What the environment's own branch says: start main's workflow.
STARTED = ("deploy", {"start": "success", "deploy": "skipped"})
ALL = dict.fromkeys(("plan", "check", "train", "package", "publish"), "success")
# What the jobs beside the one that publishes are called.
BESIDE = {"what there is to do", "lint, types, tests", "train and evaluate", "package and try out"}
TRUST = ("trust", {"trust": "success"})


def test_the_way_of_a_change(team: Team) -> None:  # noqa: PLR0915 - a story is told in one go
    """A change is trained, reviewed, released, promoted twice and rolled back, each by the workflow that is for it."""
    github, actions = team.github, team.actions

    # The first release goes to staging by itself; somebody approves it for production.
    github.dispatched("release.yml")
    done = actions.answer()
    assert jobs(done) == [RELEASED, DEPLOYED]
    assert "no environment runs images, so there is nothing to sign" in done[0].said
    assert [(pull["base"], pull["state"]) for pull in github.pulls] == [
        ("env/staging", "closed"),
        ("env/production", "open"),
    ]
    first = team.serving("staging")
    assert github.merged(2) is None
    assert jobs(actions.answer()) == [STARTED, DEPLOYED]
    assert team.serving("production") == first

    # A change is trained; its lock, one comment and the status are on the branch.
    team.push("tune", team.params(arguments={"max_iter": 150, "learning_rate": 0.06, "l2_regularization": 0.01}))
    number = github.opened("tune", "A little regularization")
    pushed = github.tip("tune")
    assert jobs(actions.answer()) == [("pull-request", ALL), TRUST]
    locked = github.tip("tune")
    changed = run("git", "diff", "--name-only", pushed, locked, cwd=github.origin).split()
    assert changed == ["dvc.lock"]
    assert team.status("pull-request", locked) == "success"
    (comment,) = github.comments
    assert "Ready to be merged" in comment["body"]
    assert "| ROC AUC | " in comment["body"]
    cost = told_cost(comment)
    assert "2 of 4 stages computed in " in cost
    assert re.search(r"^Brought from the storage: [\d.]+ [kM]B in .* Computed: [\d.]+ [kM]B in", cost, re.MULTILINE)
    assert set(re.findall(r"^\| <code>([a-z, ]+)</code> \| [0-9hmins ]+ \| - \|", cost, re.MULTILINE)) == BESIDE
    assert "There is no earlier run to compare the jobs with." in cost

    # A second push brings the same comment up to date.
    team.push("tune", team.params(arguments={"max_iter": 150, "learning_rate": 0.06, "l2_regularization": 0.02}))
    assert jobs(actions.answer()) == [("pull-request", ALL), TRUST]
    assert [each["pull"] for each in github.comments] == [number]
    assert "<code>0.02</code>" in github.comments[0]["body"]
    assert "Medians of the last run of this workflow that succeeded." in told_cost(github.comments[0])

    # Merged, it is released and served in staging; the same bytes then in production.
    assert github.merged(number) is None
    assert jobs(actions.answer()) == [RELEASED, DEPLOYED]
    second = team.serving("staging")
    assert second != first
    assert team.serving("production") == first

    # While production is frozen nobody merges it, whoever proposes it again; unfrozen, it goes on.
    stop_the_line(team, "freeze")
    assert github.merged(len(github.pulls)) == "promotion is pending"
    github.dispatched("promote.yml", environment="production", release="")
    waiting = actions.answer()
    assert jobs(waiting) == [("promote", {"settle": "skipped", "propose": "success"})]
    assert "wait freeze: production is frozen since" in waiting[0].said
    assert github.merged(len(github.pulls)) == "promotion is pending"
    stop_the_line(team, "unfreeze")
    github.dispatched("promote.yml", environment="production", release="")
    assert jobs(actions.answer()) == [("promote", {"settle": "skipped", "propose": "success"})]
    assert github.merged(len(github.pulls)) is None
    assert jobs(actions.answer()) == [STARTED, DEPLOYED]
    assert team.serving("production") == second

    # A worse model is not to be merged.
    team.push("guess", team.params(path="sklearn.dummy.DummyClassifier", arguments={}))
    number = github.opened("guess", "Guess")
    assert jobs(actions.answer()) == [("pull-request", ALL), TRUST]
    assert "Not to be merged" in github.comments[-1]["body"]
    assert github.merged(number) == "pull-request is failure"

    # And the way back, for which a freeze is no hindrance.
    stop_the_line(team, "freeze")
    github.dispatched("rollback.yml", environment="production", to="", reason="answers $(touch wrong) are late")
    assert jobs(actions.answer()) == [("rollback", {"rollback": "success"})]
    assert github.merged(len(github.pulls)) is None
    assert jobs(actions.answer()) == [STARTED, DEPLOYED]
    assert team.serving("production") == first
    github.dispatched("promote.yml", environment="production", release="")
    blocked = actions.answer()
    assert jobs(blocked) == [("promote", {"settle": "skipped", "propose": "failure"})]
    assert re.search(r"on hold since [^:]+:\d\d: answers \$\(touch wrong\) are late", blocked[0].said)

    # The hold ends by its workflow, which also sets one.
    reason = '$(touch wrong) "again"'
    for what in ("unhold", "hold", "unhold"):
        github.dispatched("hold.yml", what=what, release=second, environment="production", reason=reason)
        assert jobs(actions.answer()) == [("hold", held(what))]
        found = json.loads(ask(team, "env", "status", "--json").stdout)["held"]
        assert [each["reason"] for each in found] == [reason] * (what == "hold")

    stop_the_line(team, "unfreeze")
    told = json.loads(ask(team, "env", "ledger", "--json").stdout)["entries"]
    assert [each["why"] for each in told if each["action"] == "freeze"] == ["wrong $(touch wrong)"] * 2

    # What the monitor finds is one issue, however often; it starts the retraining, which finds no new data.
    url = f"http://127.0.0.1:{team.ports['production']}/predict"
    assert {httpx.post(url, json={"row": {"nothing": 1}}).status_code for _ in range(5)} == {400}
    written = actions.folder / "production/.deploy/production/predictions"
    while json.loads(ask(team, "watch", "predictions", "--folder", str(written), "--json").stdout)["unfinished"]:
        pass
    for _ in range(2):
        github.dispatched("monitor.yml")
        assert jobs(actions.answer()) == [("monitor", {"monitor": "success"}), ("retrain", {"retrain": "success"})]
        (issue,) = github.issues
        assert (issue["title"], issue["state"]) == ("Alarm: the model in production", "open")
        assert "100 % of the requests were refused" in html.unescape(issue["body"])
        finding = json.loads(run("git", "show", "monitor/production:finding.json", cwd=github.origin))
        assert finding["verdict"] == "alarm"

    # Once few enough are refused, the issue is closed, and nothing is retrained.
    example = httpx.get(f"{url.removesuffix('/predict')}/docs.json").json()["components"]["schemas"]["Row"]["example"]
    for _ in range(120):
        httpx.post(url, json={"row": example}).raise_for_status()
    while json.loads(ask(team, "watch", "predictions", "--folder", str(written), "--json").stdout)["unfinished"]:
        pass
    github.dispatched("monitor.yml")
    assert jobs(actions.answer()) == [("monitor", {"monitor": "success"})]
    assert [each["state"] for each in github.issues] == ["closed"]
    assert github.comments[-1]["body"].startswith("Over on ")

    # Packages came from main's cache, and no pull request needed one of its own.
    caches = actions.folder / "caches"
    assert [str(path.relative_to(caches).parent) for path in caches.rglob("packages-*")] == ["refs/heads/main"]


def test_a_search_ends_in_a_pull_request(team: Team, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a search finds is trained and judged by its pull request's own workflow, against what production serves."""
    github, actions = team.github, team.actions
    in_production(team)
    # In an environment of its own, since a search installs what it needs.
    seeker = tmp_path / "seeker"
    run("git", "clone", "--quiet", str(github.origin), str(seeker), cwd=tmp_path)
    make("setup", "pull", cwd=seeker)
    # What somebody opens starts workflows, and what a workflow's token opens does not.
    github.tokens["somebody's"] = {}
    asking = github.environment | {"GH_TOKEN": "somebody's"}
    make("search", f"TRIALS={TRIALS}", cwd=seeker, env=asking)
    assert run("git", "status", "--porcelain", cwd=seeker) == ""
    pull = github.pulls[-1]
    assert (pull["base"], pull["head"].partition("/")[0]) == ("main", "search")
    assert jobs(actions.answer()) == [("pull-request", ALL), TRUST]
    body = html.unescape(re.sub(r"</?code>", "", github.comments[-1]["body"]))
    said = re.search(r"^\*\*(.*?)\*\*: (.*)$", body, re.MULTILINE)
    assert said
    assert (said[1] == "Ready to be merged") == (team.status("pull-request", github.tip(pull["head"])) == "success")
    found = pull["body"].partition("\n")[0].removesuffix(".")
    assert found.startswith(f"{TRIALS} trials (")
    assert found in body
    with capsys.disabled():
        print(f"\nsearch: {found}\ngate: {said[1]}: {said[2]}")


def in_production(team: Team) -> None:
    """Have production serve main's first release, unless it serves one."""
    if team.github.pulls:
        return
    team.github.dispatched("release.yml")
    assert jobs(team.actions.answer()) == [RELEASED, DEPLOYED]
    assert team.github.merged(2) is None
    assert jobs(team.actions.answer()) == [STARTED, DEPLOYED]


def told_cost(comment: dict[str, Any]) -> str:
    """What a comment says that the run cost."""
    return html.unescape(str(comment["body"]).partition("<summary>What this run cost: ")[2])


def stop_the_line(team: Team, what: str) -> None:
    """Freeze production, or unfreeze it, as from a phone."""
    team.github.dispatched("hold.yml", what=what, release="", environment="production", reason="wrong $(touch wrong)")
    assert jobs(team.actions.answer()) == [("hold", held(what))]


def held(what: str) -> dict[str, str]:
    """What becomes of the jobs of hold.yml, of which one does what is asked."""
    return dict.fromkeys(("hold", "unhold", "freeze", "unfreeze"), "skipped") | {what: "success"}


def test_what_arrives_is_scored_each_night(team: Team, tmp_path: Path) -> None:
    """The workflow `batch` scores what arrived with the release that production serves, and a second time nothing."""
    before = (team.developer / "project.yaml").read_text()
    places = {"rows": str(tmp_path / "rows"), "scores": str(tmp_path / "scores")}
    settings = yaml.safe_load(before)
    team.push("main", {"project.yaml": yaml.safe_dump(settings | {"batch": places}, sort_keys=False)})
    team.github.events.clear()
    (tmp_path / "rows").mkdir()
    shutil.copy(next((ROOT / SLUG / "data/raw").glob("*.parquet")), tmp_path / "rows" / "night.parquet")
    for said in ("of 1 file, 0 rejected", "of 1 file, 1 of them were there"):
        team.github.dispatched("batch.yml")
        (done,) = team.actions.answer()
        assert jobs([done]) == [("batch", {"batch": "success"})]
        assert said in done.said
    (manifest,) = (tmp_path / "scores").glob("*/manifest.json")
    assert json.loads(manifest.read_text())["outputs"][0]["output"] == "night.parquet"
    team.push("main", {"project.yaml": before})
    team.github.events.clear()


def test_a_change_of_documents_trains_nothing(team: Team) -> None:
    """A pull request whose files are documents is checked, said to be ready, and nothing is trained or packaged."""
    team.push("words", {"docs/how.md": "How\n"})
    number = team.github.opened("words", "Words")
    done = team.actions.answer()
    assert jobs(done) == [("pull-request", ALL | {"train": "skipped", "package": "skipped"}), TRUST]
    assert team.status("pull-request", team.github.tip("words")) == "success"
    assert team.github.merged(number) is None
    assert jobs(team.actions.answer()) == [("release", {"plan": "success", "check": "success", "release": "skipped"})]


def test_a_fork_is_checked_and_told_what_was_skipped(team: Team) -> None:
    """A fork's pull request gets the checks, the reason why nothing was trained, and what main's code says of trust."""
    before = len(team.github.comments)
    team.push("from-a-fork", team.params(arguments={"max_iter": 10}))
    number = team.github.opened("from-a-fork", "From outside", source="somebody/late-flights")
    done = team.actions.answer()
    skipped = dict.fromkeys(("train", "package", "publish"), "skipped")
    assert jobs(done) == [("pull-request", ALL | skipped), TRUST]
    assert "this comes from somebody/late-flights, a fork, whose code gets no secrets" in done[0].said
    assert len(team.github.comments) == before
    assert team.status("trust", team.github.tip("from-a-fork")) == "success"
    assert team.github.merged(number) == "pull-request is missing"


def test_hostile_names_are_only_names(team: Team) -> None:
    """Title, branch and file names that look like commands, markup or paths run nothing and end nowhere else."""
    branch = "$(touch${IFS}wrong);`touch${IFS}wrong`;'\"&|"
    team.push(branch, {"docs/$(touch wrong)\n::set-output name=train::true.md": "x\n"})
    team.github.opened(branch, '$(touch wrong)"; touch wrong #\n@everybody <script>alert(1)</script>')
    done = team.actions.answer()
    assert jobs(done) == [("pull-request", ALL | {"train": "skipped", "package": "skipped"}), TRUST]
    assert team.status("pull-request", team.github.tip(branch)) == "success"
    assert list(team.actions.folder.rglob("wrong")) == []
    assert "<script" not in team.github.comments[-1]["body"]


def test_a_change_of_the_automation_is_not_what_publishes(team: Team) -> None:
    """A change whose automation and actions do harm fails its checks; main's say so in a comment and a status."""
    vendor, setup = "vendor/gitops-ml", ".github/actions/setup/action.yml"
    run("git", "fetch", "--quiet", "origin", cwd=team.developer)
    listed = run("git", "ls-tree", "-r", "--name-only", "origin/main", vendor, cwd=team.developer).split()
    changes = {path: 'raise RuntimeError("the change")\n' for path in listed if path.endswith(".py")}
    action = run("git", "show", f"origin/main:{setup}", cwd=team.developer)
    team.push("harm", {**changes, setup: f'{action}    - run: touch "$CACHES/of-$GITHUB_JOB"\n      shell: bash\n'})
    number = team.github.opened("harm", "Harm")
    done = team.actions.answer()
    failed = {"plan": "failure", "check": "failure", "train": "skipped", "package": "skipped", "publish": "success"}
    assert jobs(done) == [("pull-request", failed), TRUST]
    # The action of the change has run where its code may, and nowhere else.
    assert [path.name for path in (team.actions.folder / "caches").glob("of-*")] == ["of-check"]
    assert team.status("pull-request", team.github.tip("harm")) == "failure"
    comment = team.github.comments[-1]
    assert (comment["pull"], "check failed" in comment["body"]) == (number, True)
    assert team.github.merged(number) == "pull-request is failure"


def test_a_change_cannot_say_of_itself_that_nothing_decisive_changed(team: Team) -> None:
    """It lowers what is asked, adds a key and owners, and rewrites the workflow that judges it; `trust` names all."""
    developer = team.developer
    run("git", "fetch", "--quiet", "origin", cwd=developer)
    run("git", "checkout", "--quiet", "--force", "origin/main", cwd=developer)
    settings = yaml.safe_load((developer / "project.yaml").read_text())
    settings["gate"]["floors"] = {"roc_auc": 0.01}
    settings["environments"][-1] |= {"gate": "none", "approvals": 0}
    key = (developer / "deploy/release.pub").read_text()
    nothing = "jobs: {all: {runs-on: ubuntu-24.04, steps: [run: 'true']}}\n"
    gentle = f"on: {{pull_request: {{branches: [main]}}}}\npermissions: {{}}\n{nothing}"
    changes = {
        "project.yaml": yaml.safe_dump(settings, sort_keys=False),
        "deploy/release.pub": f"{key}-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----\n",
        "CODEOWNERS": "* @somebody\n",
        ".github/workflows/pull-request.yml": gentle,
        ".github/workflows/trust.yml": gentle.replace("pull_request:", "pull_request_target:"),
        ".github/actions/setup/action.yml": "runs: {using: composite, steps: [{run: exit 1, shell: bash}]}\n",
    }
    team.push("trusting", changes)
    number = team.github.opened("trusting", "Small things")
    done = team.actions.answer()
    assert jobs(done) == [("pull-request", {"all": "success"}), TRUST]
    (said,) = [each for each in team.github.statuses if each["sha"] == team.github.tip("trusting")]
    assert (said["context"], said["state"]) == ("trust", "success")
    assert said["description"].startswith("asks for @my-org/ml-engineers, @my-org/data-scientists: ")
    told = json.loads(ask(team, "workflow", "trust", "--head", "trusting", "--json").stdout)
    assert {each["path"] for each in told["changes"]} == set(changes)
    assert team.github.merged(number) == "pull-request is missing"


def test_whatever_the_jobs_did_somebody_says_what_happened(team: Team) -> None:
    """A change that hands on megabytes, spoils the later steps and uploads nothing gets a comment and a status."""
    make_ = (ROOT / "{{cookiecutter.project_slug}}/Makefile").read_text()
    spoiled = make_.replace(
        "\nplan:\n",
        "\nplan:\n\t@printf 'more=%3000000s\\n' x >> \"$$GITHUB_OUTPUT\"\n",
    ).replace(
        "\t$(RUN) dvc push --run-cache\n", "\trm -rf dvc.lock build/report; echo 'PATH=/nowhere' >> \"$$GITHUB_ENV\"\n"
    )
    assert spoiled.count("GITHUB_") == 2
    team.push("spoil", {"Makefile": spoiled, **team.params(arguments={"max_iter": 20})})
    number = team.github.opened("spoil", "Spoil")
    ((_, done), trusted) = jobs(team.actions.answer())
    assert (done["publish"], trusted) == ("success", TRUST)
    assert team.status("pull-request", team.github.tip("spoil")) == "failure"
    comment = team.github.comments[-1]
    assert (comment["pull"], "Not to be merged" in comment["body"]) == (number, True)
    assert "<code>Makefile</code>" in comment["body"].replace("&#46;", ".")


def test_a_token_pushes_no_workflow_that_main_does_not_have(team: Team) -> None:
    """GitHub refuses such a push; deploy.yml passes, on a branch without history too, as long as it is main's."""
    developer, origin = team.developer, f"{team.github.url}/{REPOSITORY}"
    run("git", "fetch", "--quiet", "origin", cwd=developer)
    run("git", "checkout", "--quiet", "--force", "--orphan", "alone", "origin/main", cwd=developer)
    basic = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    push = ("git", "-c", f"http.extraheader=AUTHORIZATION: basic {basic}", "push", origin, "HEAD:refs/heads/alone")
    deploy = developer / ".github/workflows/deploy.yml"
    run("git", "commit", "--quiet", "--no-verify", "--message", "The same", cwd=developer)
    run(*push, cwd=developer)
    for path in (deploy, deploy.with_name("more.yml")):
        path.write_text(f"{deploy.read_text()}# more\n")
        run("git", "add", "--all", cwd=developer)
        run("git", "commit", "--quiet", "--no-verify", "--message", "Another", cwd=developer)
        refused = rf"to create or update workflow '\.github/workflows/{path.name}' without 'workflows' permission"
        with pytest.raises(CommandError, match=refused):
            run(*push, cwd=developer)
        run("git", "reset", "--quiet", "--hard", "HEAD~1", cwd=developer)
    # A person may.
    deploy.with_name("more.yml").write_text("more\n")
    run("git", "add", "--all", cwd=developer)
    run("git", "commit", "--quiet", "--no-verify", "--message", "By hand", cwd=developer)
    run("git", "push", "--quiet", "origin", "HEAD:refs/heads/by-hand", cwd=developer)


def test_the_templates_newer_version_is_told_and_proposed(team: Team, history: Path, tmp_path: Path) -> None:
    """Without an app, an issue says what there is and the command; with one there is a pull request with workflows."""
    github, actions = team.github, team.actions
    schedule = (".github/workflows/batch.yml", "23 3 * * *", "24 3 * * *")
    template = newer(history, tmp_path, schedule=schedule)
    run("git", "tag", "v0.2.0", "HEAD~1", cwd=template)
    run("git", "tag", "v0.3.0", cwd=template)
    run("git", "fetch", "--quiet", "origin", cwd=team.developer)
    before = run("git", "show", "origin/main:.template.json", cwd=team.developer)
    team.push("main", {".template.json": json.dumps(json.loads(before) | {"template": str(template)})})
    github.events.clear()
    known = len(github.issues), len(github.pulls)

    def answered() -> str:
        github.dispatched("update.yml")
        done = actions.answer(in_turn=False)
        assert jobs(done) == [("update", {"prepare": "success", "propose": "success"})]
        return done[0].said

    answered()
    issue = github.issues[-1]
    assert (len(github.issues), issue["title"]) == (known[0] + 1, "Version 0.3.0 of the template")
    assert "\n    make update\n" in issue["body"]
    assert "## What you must do for 0.3.0\n\n- Dance." in issue["body"]
    assert "update/v0.3.0" not in github.tips()

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    github.app = ("Iv1.an-app", key.public_key())
    secrets, actions.secrets = actions.secrets, {**actions.secrets, "UPDATE_APP_KEY": pem}
    actions.variables = {"UPDATE_APP": "Iv1.an-app"}
    try:
        said = answered()
        pull = github.pulls[-1]
        assert (len(github.pulls), pull["head"], pull["base"]) == (known[1] + 1, "update/v0.3.0", "main")
        assert f"pull/{pull['number']} is open: from 0.2.0 to 0.3.0" in said
        assert "- Dance." in pull["body"]
        changed = run("git", "diff", "--name-only", "main", "update/v0.3.0", cwd=github.origin).split()
        own = [path for path in changed if not path.startswith("vendor/")]
        assert own == [".github/workflows/batch.yml", ".template.json"]
        # What the app pushes and opens starts the workflows that check it, and the issue is over.
        assert {each.name for each in github.events} >= {"pull_request", "pull_request_target"}
        assert (issue["state"], github.comments[-1]["body"].partition(" ")[2]) == ("closed", "proposes it.")
    finally:
        actions.secrets, actions.variables = secrets, {}
        team.push("main", {".template.json": before})
        github.events.clear()


def test_two_changes_at_once_are_settled_by_one_command(team: Team) -> None:
    """Two pull requests that both train conflict in dvc.lock; `lock resolve` settles it by reproducing."""
    github, developer = team.github, team.developer
    for name, arguments in (("one", {"max_iter": 20}), ("other", {"max_iter": 25})):
        team.push(name, team.params(arguments=arguments))
        run("git", "checkout", "--quiet", "--force", name, cwd=developer)
        make("repro", cwd=developer)
        run("git", "commit", "--quiet", "--no-verify", "--all", "--message", f"Train {name}", cwd=developer)
    with pytest.raises(CommandError):
        run("git", "merge", "one", cwd=developer)
    with pytest.raises(CommandError, match=r"params\.yaml must be settled first"):
        gitops("lock", "resolve", cwd=developer)
    run("git", "checkout", "--ours", "params.yaml", cwd=developer)
    run("git", "add", "params.yaml", cwd=developer)
    assert "settled dvc.lock" in gitops("lock", "resolve", cwd=developer)
    run("git", "commit", "--quiet", "--no-verify", "--message", "Merge one", cwd=developer)
    make("pull", cwd=developer)
    assert "is what reproducing gives" in gitops("lock", "verify", cwd=developer)
    github.events.clear()


def test_a_run_that_is_cancelled_leaves_nothing_half(team: Team) -> None:
    """A run that is ended while it trains has changed no branch, comment or status; the next one does all of it."""
    before = len(team.github.comments)
    team.push("again", team.params(arguments={"max_iter": 30}))
    pushed = team.github.tip("again")
    team.github.opened("again", "Once more")
    events = list(team.github.events)
    assert jobs(team.actions.answer(until="make repro")) == [("pull-request", dict.fromkeys(ALL, "cancelled")), TRUST]
    assert team.github.tip("again") == pushed
    assert len(team.github.comments) == before
    assert {each["context"] for each in team.github.statuses if each["sha"] == pushed} == {"trust"}
    team.github.events = events
    assert jobs(team.actions.answer()) == [("pull-request", ALL), TRUST]
    assert team.github.tip("again") != pushed


def test_what_is_missing_is_said_where_it_is_missed(team: Team) -> None:
    """Without the signing key, and with the storage gone, a run fails with the sentence that says what to do."""
    secrets, team.actions.secrets = team.actions.secrets, {}
    team.push("main", team.params(arguments={"max_iter": 150, "learning_rate": 0.05}))
    stale = team.actions.answer()
    assert jobs(stale) == [("release", {"plan": "success", "check": "success", "release": "failure"})]
    assert "dvc.lock is not of this commit: params.yaml changed since train was run" in stale[0].said
    make("repro", cwd=team.developer)
    make("push", cwd=team.developer)
    team.push("main", {"dvc.lock": (team.developer / "dvc.lock").read_text()})
    unsigned = team.actions.answer()
    assert jobs(unsigned) == [("release", {"plan": "success", "check": "success", "release": "failure"})]
    assert "only who has the private half of deploy/release.pub can make a release" in unsigned[0].said
    team.actions.secrets = secrets
    storage = Path(tool(team.developer, "dvc", "config", "--project", "remote.storage.url").stdout.strip())
    storage.rename(storage.with_name("gone"))
    try:
        team.github.dispatched("release.yml")
        down = team.actions.answer()
    finally:
        storage.with_name("gone").rename(storage)
    assert jobs(down) == [("release", {"plan": "success", "check": "success", "release": "failure"})]


def test_a_registry_that_is_down_leaves_nothing_half(team: Team) -> None:
    """Where an environment runs images and their registry does not answer, a run says so; nothing is made of it."""
    github = team.github
    made = ("git", "for-each-ref", "refs/tags", "refs/heads/env", "refs/heads/promote")
    before = run(*made, cwd=github.origin), len(github.pulls)
    settings = yaml.safe_load((team.developer / "project.yaml").read_text())
    where = f"127.0.0.1:{free_port()}"
    first, *others = settings["environments"]
    images = {"image": f"{where}/team/late-flights", "environments": [first | {"runner": "compose"}, *others]}
    team.push("main", {"project.yaml": yaml.safe_dump(settings | images, sort_keys=False)})
    github.dispatched("promote.yml", environment="staging", release="")
    try:
        released, promoted = team.actions.answer()
    finally:
        team.push("main", {"project.yaml": yaml.safe_dump(settings, sort_keys=False)})
        github.events.clear()
    assert jobs([released]) == [("release", {"plan": "success", "check": "success", "release": "failure"})]
    assert jobs([promoted]) == [("promote", {"settle": "skipped", "propose": "failure"})]
    for each in (released, promoted):
        assert f"error: the registry {where} cannot be reached" in each.said
    assert (run(*made, cwd=github.origin), len(github.pulls)) == before


def test_the_repositorys_rules_are_set_once(team: Team) -> None:
    """`repo protect` shows what would be set, sets it when told to, and then finds nothing to do."""
    github = team.github
    shown = ask(team, "repo", "protect")
    assert "main: would be created" in shown.stdout
    assert "nothing was changed" in shown.stdout
    assert github.rulesets == []
    ask(team, "repo", "protect", "--apply")
    again = ask(team, "repo", "protect", "--apply")
    assert again.stdout.splitlines() == [f"{each['name']}: as it should be" for each in github.rulesets]
    rules = {
        each["name"]: {rule["type"]: rule.get("parameters", {}) for rule in each["rules"]} for each in github.rulesets
    }
    review = rules["main"]["pull_request"]
    assert review["require_code_owner_review"]
    assert review["dismiss_stale_reviews_on_push"]
    assert review["required_approving_review_count"] == 1
    assert rules["environment production"]["pull_request"]["required_approving_review_count"] == 1
    assert rules["environment staging"]["pull_request"]["required_approving_review_count"] == 0
    assert all(required(rules[name]) == ["promotion"] for name in rules if name.startswith("environment"))
    assert required(rules["main"]) == ["pull-request", "trust"]
    github.rulesets[0]["rules"].pop()
    assert "main: updated" in ask(team, "repo", "protect", "--apply").stdout


def required(rules: dict[str, Any]) -> list[str]:
    """The statuses that a branch requires."""
    return [each["context"] for each in rules["required_status_checks"]["required_status_checks"]]


def ask(team: Team, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of the project's automation as a developer who is logged in to GitHub."""
    return tool(team.developer, "gitops-ml", *command, env=team.github.environment, check=check)


def test_the_doctor_says_what_is_missing_and_how_to_set_it(team: Team) -> None:
    """`repo doctor` names each thing that a repository lacks, with what to do, and nothing on one that is set up."""
    found = ask(team, "repo", "doctor", check=False)
    assert found.returncode == 3
    said = {line.split(":")[0].strip(): line for line in found.stdout.splitlines()}
    for name, remedy in {
        "workflows' token": "allow GitHub Actions to create and approve pull requests",
        "pinned actions": "require actions to be pinned",
        "release environment": "New environment",
        "signing secret": "gh secret set RELEASE_KEY --env release",
        "code owners": "line 4: Unknown owner",
        "storage": "change it to s3://",
    }.items():
        assert remedy in said[f"MISSING {name}"]
    assert "ok      environments" in said
    team.github.set_up = True
    ask(team, "repo", "protect", "--apply")
    left = json.loads(ask(team, "repo", "doctor", "--json", check=False).stdout)
    # The storage of these tests is a folder of this machine, and nobody knows where their template came from.
    assert [each["name"] for each in left if each["state"] != "ok"] == ["storage", "template"]
    (updates,) = [each["sentence"] for each in left if each["name"] == "template's updates"]
    assert "`gh secret set UPDATE_APP_KEY --env update < KEY.pem`" in updates
