"""What workflows ask of the automation: the plan of a change, what is published of it, and credentials."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from gitops_ml.core import actions
from gitops_ml.core.errors import UserError
from gitops_ml.github import credentials, plan, publish, trust
from gitops_ml.release import keyless
from gitops_ml.versions.git import Git

from tests import forge
from tests.automation.report.test_render import full_report
from tests.automation.world import PROJECT, World, git

HASH = "0" * 32
LOCK: dict[str, Any] = {
    "schema": "2.0",
    "stages": {
        "train": {
            "cmd": "python -m train",
            "deps": [{"path": "data/raw", "hash": "md5", "md5": f"{HASH}.dir", "size": 5, "nfiles": 1}],
            "params": {"params.yaml": {"train": {"seed": 0}}},
            "outs": [{"path": "models/model.skops", "hash": "md5", "md5": HASH, "size": 5}],
        }
    },
}
PIPELINE = {
    "dvc.yaml": yaml.safe_dump({"stages": {"train": {"cmd": "python -m train"}}}),
    "params.yaml": yaml.safe_dump({"train": {"seed": 0}}),
}


class Answering:
    """A server that remembers what it is asked, and answers everything with the same JSON, or the same bytes."""

    def __init__(self, answer: Any) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                asked.append((self.command, self.path, body))
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """A GitHub that takes whatever it is told."""
    server = Answering([])
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/model")
    monkeypatch.setenv("GITHUB_API_URL", server.url)
    monkeypatch.setenv("GH_TOKEN", "not a secret")
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def change(world: World) -> publish.PullRequest:
    """A pull request with a pipeline of one stage."""
    return _push(world, "change", PIPELINE)


def _push(world: World, branch: str, files: dict[str, str]) -> publish.PullRequest:
    base = git(world.root, "rev-parse", "origin/main")
    git(world.root, "checkout", "--quiet", "-B", branch, "origin/main")
    for path, text in files.items():
        (world.root / path).parent.mkdir(parents=True, exist_ok=True)
        (world.root / path).write_text(text)
    git(world.root, "add", "--force", *files)
    git(world.root, "commit", "--quiet", "--message", branch)
    git(world.root, "push", "--quiet", "origin", branch)
    return publish.PullRequest(1, base, git(world.root, "rev-parse", "HEAD"), branch)


def _handed(world: World, lock: str, report: str) -> None:
    folder = world.root / "build/trained"
    (folder / publish.REPORT).parent.mkdir(parents=True, exist_ok=True)
    (folder / publish.LOCK).write_text(lock)
    (folder / publish.REPORT).write_text(report)


REPORT = full_report("x").model_dump_json()


def _statuses(github: Answering, commit: str) -> dict[str, str]:
    """What was said of a commit, by context."""
    return {body["context"]: body["state"] for _, path, body in github.asked if path.endswith(f"/statuses/{commit}")}


DONE = dict.fromkeys(("plan", "check", "train", "package"), "success")


def test_the_workflows_offer_the_environments_of_the_project() -> None:
    """Who promotes or rolls back by hand chooses among the environments that project.yaml names, and no others."""
    named = [each["name"] for each in yaml.safe_load((PROJECT / "project.yaml").read_text())["environments"]]
    for name in ("promote", "rollback"):
        text = (PROJECT / ".github/workflows" / f"{name}.yml").read_text()
        # YAML 1.1 reads the key `on` as true.
        inputs = yaml.safe_load(text)[True]["workflow_dispatch"]["inputs"]
        assert inputs["environment"]["options"] == named


@pytest.mark.parametrize(
    ("files", "trains"),
    [
        ({"README.md": "x", "docs/a.svg": "x"}, False),
        ({"README.md": "x", "params.yaml": "x"}, True),
        ({"data/notes.parquet": "x"}, True),
        ({".github/workflows/pull-request.yml": "x"}, True),
    ],
)
def test_only_a_change_of_documents_trains_nothing(world: World, files: dict[str, str], trains: bool) -> None:
    """Whatever is no document asks for training, which restores what is known."""
    change = _push(world, "change", files)
    assert plan.plan(world.root, change.base, change.head).train == trains


def test_what_cannot_be_compared_is_trained(world: World) -> None:
    """A base that does not exist, as of a first push, asks for training."""
    assert plan.plan(world.root, "0" * 40, "HEAD").train


def test_a_fork_is_never_trained(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change from another repository gets no secrets, so it is only checked, and the reason says so."""
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/model")
    change = _push(world, "change", {"params.yaml": "x"})
    found = plan.plan(world.root, change.base, change.head, "somebody/model")
    assert not found.train
    assert "somebody/model, a fork" in found.reason


def test_the_lock_is_committed_to_the_branch(world: World, change: publish.PullRequest, github: Answering) -> None:
    """A new dvc.lock is one commit on the branch, which changes nothing else; the status is on that commit."""
    _handed(world, yaml.safe_dump(LOCK), REPORT)
    done = publish.publish(world.root, change, DONE)
    assert (done.state, done.locked) == ("success", True)
    assert Git(world.root).changed(change.head, done.commit) == ["dvc.lock"]
    assert Git(world.root).parents(done.commit) == [change.head]
    assert _statuses(github, done.commit) == {"trust": "success", "pull-request": "success"}
    assert publish.publish(world.root, change, DONE).commit == done.commit
    # This GitHub says of jobs what nobody understands.
    assert "What the jobs took is not known" in github.asked[-1][2]["body"]


@pytest.fixture
def hub(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[forge.GitHub]:
    """GitHub, which remembers eleven runs and knows of the twelfth, which asks, what its jobs took until now."""
    found = forge.GitHub(world.origin)
    for name, value in {**found.environment, "GITHUB_RUN_ID": "12"}.items():
        monkeypatch.setenv(name, value)
    event = forge.Event("pull_request", "main", git(world.root, "rev-parse", "HEAD"), {})
    for number in range(12):
        run = found.began(event, "pull-request.yml")
        run["jobs"] = [_job("lint, types, tests", 100 + number), _job("train and evaluate", 7, "skipped")]
        run["conclusion"] = "failure" if number == 10 else None if number == 11 else "success"
    run["jobs"] = [
        *(_job("lint, types, tests", 99), _job("train and evaluate", 61), _job("<b>|@everyone", 2, "failure")),
        _job("publish what was found", 0) | {"completed_at": None, "conclusion": None, "status": "in_progress"},
    ]
    yield found
    found.close()
    assert found.wrong == []


def _job(name: str, seconds: int, conclusion: str = "success") -> dict[str, Any]:
    """A job as GitHub tells of it."""
    begun = datetime(2026, 3, 1, tzinfo=UTC)
    times = {"started_at": begun.isoformat(), "completed_at": (begun + timedelta(seconds=seconds)).isoformat()}
    return {"name": name, "status": "completed", "conclusion": conclusion, **times}


def _cost(hub: forge.GitHub) -> str:
    """What the comment says that the run cost."""
    _, found, cost = hub.comments[-1]["body"].partition("<details><summary>What this run cost: ")
    assert found
    return html.unescape(cost)


def test_the_comment_says_what_the_jobs_took(world: World, hub: forge.GitHub) -> None:
    """Beside each job stands the median of the last ten runs that succeeded; only what they never took is remarked."""
    change = _push(world, "change", PIPELINE)
    # What a change's own code says of its jobs is nothing.
    said = json.loads(REPORT)
    said["cost"]["jobs"] = [{"name": "said to be short", "conclusion": "success", "seconds": 1}]
    _handed(world, yaml.safe_dump(LOCK), json.dumps(said))
    assert publish.publish(world.root, change, DONE).state == "success"
    cost = _cost(hub)
    assert cost.startswith("jobs took 2 min 42 s together; 0 of 1 stage computed</summary>")
    told = [line for line in cost.splitlines() if line.startswith("| <code>") and " s | " in line]
    assert told == [
        "| <code>lint, types, tests</code> | 99 s | 1 min 44 s | shorter than in any, 1 min 40 s at least |",
        "| <code>train and evaluate</code> | 61 s | - |  |",
        "| <code><b>|@everyone</code> | 2 s | - | failure |",
    ]
    assert "Medians of the last 10 runs of this workflow that succeeded." in cost


def test_earlier_runs_that_cannot_be_read_keep_no_comment_away(world: World, hub: forge.GitHub) -> None:
    """What jobs took is told without a comparison, and why; a change that trained nothing has a cost too."""
    git(world.root, "rm", "--quiet", ".github/workflows/pull-request.yml")
    git(world.root, "commit", "--quiet", "--message", "Nobody knows it any more")
    git(world.root, "push", "--quiet", "origin", "HEAD:main")
    change = _push(world, "change", {"README.md": "x"})
    assert publish.publish(world.root, change, {"check": "success", "plan": "success"}).state == "success"
    cost = _cost(hub)
    assert "| <code>train and evaluate</code> | 61 s | - |  |" in cost
    assert "earlier runs is not known: GitHub refuses GET actions/workflows/pull-request.yml/runs with 404" in cost


def test_a_branch_that_moved_on_is_left_alone(world: World, change: publish.PullRequest, github: Answering) -> None:
    """What was found of an older commit is not published."""
    _handed(world, yaml.safe_dump(LOCK), REPORT)
    newer = _push(world, "newer", {"more.txt": "x"})
    git(world.root, "push", "--quiet", "--force", "origin", f"{newer.head}:refs/heads/change")
    assert publish.publish(world.root, change, DONE).state == "outdated"
    assert github.asked == []


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        ("!!python/object/apply:os.system [touch wrong]", "has not the form"),
        ("a: [", "has not the form"),
        (yaml.safe_dump(LOCK | {"more": 1}), "has not the form"),
        (yaml.safe_dump(LOCK).replace("models/model.skops", "../../.ssh/config"), "no path inside"),
        (yaml.safe_dump(LOCK).replace("models/model.skops", "/etc/passwd"), "no path inside"),
        (yaml.safe_dump(LOCK).replace("  train:", "  another:"), "of another pipeline: another, train"),
        ("x" * 2_000_000, "no plain file of a sensible size"),
    ],
    ids=["code", "no YAML", "more", "a path outside", "an absolute path", "another stage", "too large"],
)
def test_a_lock_of_another_form_is_not_committed(
    world: World, change: publish.PullRequest, github: Answering, lock: str, said: str
) -> None:
    """What a change's own code hands over as dvc.lock is held to its form; the status says what is wrong."""
    _handed(world, lock, REPORT)
    done = publish.publish(world.root, change, DONE)
    assert (done.state, done.commit) == ("failure", change.head)
    assert said in done.sentence
    assert _statuses(github, change.head)["pull-request"] == "failure"


def test_a_report_of_another_form_is_not_shown(world: World, change: publish.PullRequest, github: Answering) -> None:
    """A report that is none is a failure, and nothing of it gets into the comment."""
    _handed(world, yaml.safe_dump(LOCK), '{"title": "<b>bold</b>"}')
    assert publish.publish(world.root, change, DONE).sentence.startswith("the report that was handed over is damaged")
    assert "bold" not in str(github.asked)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"gate": None},
        {"metrics": [{"name": "x", "base": None, "here": None, "champion": {"value": 1, "low": 0, "high": 2}}] * 9},
        {"curves": [{"name": "x", "x": "x", "y": "y", "series": {"other": [[0, 0]]}}]},
        {"curves": [{"name": "x", "x": "x", "y": "y", "series": {}}]},
        {"importance": [["x", -1e308], ["y", 1e308]]},
        {"lineage": dict.fromkeys(map(str, range(5000)), "x" * 90)},
        {"decisive": [], "stale": [], "params": [], "changed": False},
    ],
    ids=[
        "no verdict",
        "no figure",
        "another series",
        "no series",
        "numbers too large",
        "too long",
        "not what Git says",
    ],
)
def test_nonsense_that_was_handed_over_is_told(
    world: World, change: publish.PullRequest, github: Answering, nonsense: dict[str, Any]
) -> None:
    """Whatever has the form of a report gets a comment of a length that GitHub takes, and both statuses."""
    _handed(world, yaml.safe_dump(LOCK), json.dumps(json.loads(REPORT) | nonsense))
    done = publish.publish(world.root, change, DONE)
    assert _statuses(github, done.commit).keys() == {"trust", "pull-request"}
    (comment,) = [body["body"] for _, path, body in github.asked if path.endswith("/comments")]
    assert "What decides about trust or quality changes" in comment
    assert len(comment) < 65_536
    assert (done.state == "failure") == ("gate" in nonsense)


@pytest.mark.parametrize("name", ["dvc.yaml", "dvc.lock", "params.yaml", "schema.yaml", "uv.lock", "project.yaml"])
@pytest.mark.parametrize(
    "content", ["a: [", "- 1\n", "a: &a [1]\nb: [*a, *a]\n", "a = " + "[" * 9999, "\x01"], ids=repr
)
def test_no_file_of_a_change_keeps_its_status_away(world: World, github: Answering, name: str, content: str) -> None:
    """A file that has lost its form is a failure that names it, whatever the jobs handed over."""
    change = _push(world, "change", PIPELINE | {name: content})
    git(world.root, "checkout", "--quiet", "--detach", "origin/main")
    _handed(world, yaml.safe_dump(LOCK), REPORT)
    # A lock that was handed over would take the place of the change's own.
    done = publish.publish(world.root, change, DONE | ({"train": "failure"} if name == "dvc.lock" else {}))
    assert done.state == "failure"
    assert _statuses(github, done.commit).keys() == {"trust", "pull-request"}


def test_a_name_that_is_no_text_keeps_no_status_away(world: World, github: Answering) -> None:
    """A file whose name is no UTF-8 is a file like any other."""
    _push(world, "change", PIPELINE)
    with open(bytes(world.root) + b"/\xff\xfe", "w") as file:
        file.write("x\n")
    change = _push(world, "other", PIPELINE)
    _handed(world, yaml.safe_dump(LOCK), REPORT)
    assert publish.publish(world.root, change, DONE).state == "success"


def test_what_decides_is_neither_ready_nor_no_change(world: World, github: Answering) -> None:
    """A floor that is lowered by a change that trains nothing new is the first thing that its comment says."""
    settings = yaml.safe_load((world.root / "project.yaml").read_text())
    settings["gate"]["floors"] = {"roc_auc": 0.01}
    change = _push(world, "change", {"project.yaml": yaml.safe_dump(settings)})
    done = publish.publish(world.root, change, {"check": "success", "plan": "success"})
    assert done.sentence == "train was skipped; package was skipped"
    told = trust.look(world.root, change.base, change.head)
    assert told.sentence == "asks for nobody whom CODEOWNERS of main names: what no model may fall below"
    comment = html.unescape(github.asked[-1][2]["body"])
    assert "Ready" not in comment
    assert "nothing changed" not in comment
    assert "| what no model may fall below | <code>project.yaml: gate.floors.roc_auc</code> " in comment
    assert "| <code>0.65</code> | <code>0.01</code> |" in comment


def test_params_without_their_results_are_not_ready(world: World, github: Answering) -> None:
    """A lock that is handed over and is not of the change's own settings is told by the setting that it lacks."""
    change = _push(world, "change", PIPELINE | {"params.yaml": yaml.safe_dump({"train": {"seed": 1}})})
    _handed(world, yaml.safe_dump(LOCK), REPORT)
    done = publish.publish(world.root, change, DONE)
    assert (done.state, done.sentence) == (
        "failure",
        "`make repro` is missing: train of params.yaml changed after dvc.lock was made",
    )


@pytest.mark.parametrize("text", ["", "check", "check=", "check=fine", '{"check": {"result": "success"}}'])
def test_results_of_another_form_are_no_results(text: str) -> None:
    """What is not a list of jobs and GitHub's words for their ends is refused."""
    with pytest.raises(UserError, match="no list of NAME=RESULT"):
        publish.results_of(text)
    assert publish.results_of("plan=success train=skipped") == {"plan": "success", "train": "skipped"}


def test_a_branch_that_takes_no_lock_is_told(world: World, change: publish.PullRequest, github: Answering) -> None:
    """Where the branch's rules refuse the commit with dvc.lock, comment and statuses say so."""
    _handed(world, yaml.safe_dump(LOCK), REPORT)
    world.refuse_after(0)
    done = publish.publish(world.root, change, DONE)
    assert (done.state, done.locked) == ("failure", False)
    assert "git push" in done.sentence
    assert _statuses(github, change.head) == {"trust": "success", "pull-request": "failure"}


def test_a_job_that_failed_is_named(world: World, change: publish.PullRequest, github: Answering) -> None:
    """The status says which job failed, and that nothing was trained after it."""
    results = {"plan": "success", "check": "failure", "train": "cancelled", "package": "skipped"}
    done = publish.publish(world.root, change, results)
    assert done.sentence == "check failed; train was cancelled; package was skipped"


def test_people_who_commit_the_lock_are_told_to(world: World, github: Answering) -> None:
    """With `lock: verify` nothing is committed, and a lock that does not fit is a failure."""
    settings = yaml.safe_load((world.root / "project.yaml").read_text())
    settings["pull_requests"]["lock"] = "verify"
    (world.root / "project.yaml").write_text(yaml.safe_dump(settings))
    change = _push(world, "change", PIPELINE | {"project.yaml": yaml.safe_dump(settings)})
    _handed(world, yaml.safe_dump(LOCK), REPORT)
    done = publish.publish(world.root, change, DONE)
    assert (done.state, done.locked) == ("failure", False)
    assert "run `make repro`, commit it" in done.sentence


@pytest.mark.parametrize(
    ("url", "given", "known"),
    [
        ("s3://bucket", {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_REGION": "eu-1"}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("azure://box", {"AZURE_CLIENT_ID": "a", "AZURE_TENANT_ID": "b"}, "AZURE_FEDERATED_TOKEN_FILE"),
        (
            "gs://bucket",
            {"GCP_SERVICE_ACCOUNT": "a@b", "GCP_WORKLOAD_IDENTITY_PROVIDER": "projects/1"},
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
    ],
)
def test_a_cloud_is_asked_with_the_jobs_own_token(  # noqa: PLR0913, PLR0917 - parameters of pytest
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, given: dict[str, str], known: str
) -> None:
    """GitHub's OIDC token lies in a file that only this user reads, where the cloud's library looks for it."""
    set_storage(world, url)
    server = Answering({"value": "a.b.c"})
    exported = tmp_path / "exported"
    monkeypatch.setenv("GITHUB_ENV", str(exported))
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{server.url}/token?version=2")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "not a secret")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert "by this job's OIDC token" in credentials.obtain(world.root, tmp_path)
    variables = dict(line.split("=", 1) for line in exported.read_text().splitlines())
    held = Path(variables[known])
    if held.suffix == ".json":
        held = Path(json.loads(held.read_text())["credential_source"]["file"])
    assert (held.read_text(), held.stat().st_mode & 0o777) == ("a.b.c\n", 0o600)
    server.server.shutdown()
    server.server.server_close()


@pytest.mark.parametrize(
    ("url", "said"), [("s3://bucket", "AWS_ROLE_ARN, AWS_REGION"), ("ssh://host/x", "secret DVC_CONFIG")]
)
def test_missing_credentials_are_named(world: World, tmp_path: Path, url: str, said: str) -> None:
    """A storage without credentials is one sentence that names what to set."""
    set_storage(world, url)
    with pytest.raises(UserError, match=said):
        credentials.obtain(world.root, tmp_path)


def test_a_secret_becomes_local_settings(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the secret says is DVC's local settings, which Git ignores and only this user reads."""
    set_storage(world, "ssh://host/x")
    monkeypatch.setenv(credentials.SECRET, "['remote \"storage\"']\n    password = not a secret")
    credentials.obtain(world.root, tmp_path)
    written = world.root / credentials.LOCAL
    assert "not a secret" in written.read_text()
    assert written.stat().st_mode & 0o777 == 0o600


def test_only_images_of_public_repositories_are_signed_without_a_key(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no image is to be signed, or a private name would get into a public log, a sentence says so."""
    path, event = world.root / "project.yaml", tmp_path / "event.json"
    assert "no environment runs images" in keyless.sign(world.root)
    settings = yaml.safe_load(path.read_text())
    settings["environments"][0]["runner"] = "compose"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(UserError, match="needs a job on GitHub with `permissions: id-token: write`"):
        keyless.sign(world.root)
    for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_EVENT_PATH"):
        monkeypatch.setenv(name, str(event))
    event.write_text(json.dumps({"repository": {"visibility": "private"}}))
    for options in ([], ["--fulcio-url=https://fulcio.example.com"], ["--rekor-url", "https://rekor.example.com"]):
        assert "the repository is not public" in keyless.sign(world.root, options)
    event.write_text(json.dumps({"repository": {"visibility": "public"}}))
    with pytest.raises(UserError, match=r"there is no release of \w{12} to sign the image of"):
        keyless.sign(world.root)
    world.release("a")
    assert "the release of this commit has no image" in keyless.sign(world.root)


def test_a_workflows_token_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git gets the job's token by its environment, for the one server, and a name to commit under."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GH_TOKEN", "not a secret")
    monkeypatch.delenv("GITHUB_SERVER_URL", raising=False)
    for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"):
        monkeypatch.setenv(name, "")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    actions.prepare()
    asked = git(PROJECT, "config", "--get-urlmatch", "http.extraheader", "https://github.com/acme/model")
    assert asked.startswith("AUTHORIZATION: basic ")


def set_storage(world: World, url: str) -> None:
    (world.root / ".dvc/config").write_text(f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n")
