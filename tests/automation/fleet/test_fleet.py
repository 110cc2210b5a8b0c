"""One page of many repositories is told by Git alone, and what one of them lacks is said in its own row."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gitops_ml.core import record, signing
from gitops_ml.fleet import listing, page, read
from gitops_ml.fleet.content import Fleet, Model
from gitops_ml.host import host
from gitops_ml.marks import freezes, holds
from gitops_ml.notify import branch
from gitops_ml.versions.git import Git

from tests.automation.tables import PROJECT
from tests.automation.world import World, environments, git

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project in which a bit of everything happens: see `play`."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("story")
        patch.setenv(signing.FOLDER_VARIABLE, str(folder / "keys"))
        patch.setattr(host, "DRAIN_SECONDS", 0.05)
        staging, production = (environments(name)[0] for name in ("staging", "production"))
        world = World(folder / "world", [staging, production | {"approvals": 1}])
        world.bootstrap()
        play(world)
        yield world
        world.close()


def play(world: World) -> None:
    """A release serves in staging, is held, and proposed for production, which is frozen and has an alarm."""
    release = world.release("a", verdict="no champion")
    world.roll_out("staging")
    assert world.promote("production").state == "open"
    clone = Git(world.root)
    branch.write(clone, finding(release.release))
    holds.add(clone, release, "answers are <b>wrong</b>", NOW)
    freezes.add(clone, "production", "the tables move", NOW)
    root = world.clone("template")
    (root / ".template.json").write_text(json.dumps({"version": "0.1.0", "answers": {}}))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Say what it was made from")
    git(root, "push", "--quiet", "origin", "main")


def finding(release: str, **more: object) -> branch.Finding:
    """What the monitor found in staging."""
    facts: dict[str, object] = {
        "environment": "staging",
        "release": release,
        "moment": NOW,
        "since": NOW - 7 * DAY,
        "until": NOW,
        "verdict": "alarm",
        "sentence": "alarm (1 of 20 signals)",
        "alarms": ["drift: 31 % of hour are 3 or less"],
        "watch": [],
        "worth": {"unit": "USD", "worth": 3210.0, "gain": 540.0, "sentence": "1,000 decisions are worth 3,210 USD"},
    }
    return branch.Finding.model_validate(facts | more)


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., Fleet]:
    """What a fleet of these repositories says."""

    def ask(*named: str | Path, template: str | None = None, seconds: float = 60) -> Fleet:
        wanted = listing.read([str(each) for each in named], template)
        return read.fleet(wanted, tmp_path / "cache", seconds=seconds, jobs=4)

    return ask


def only(found: Fleet) -> Model:
    """The one model of a fleet."""
    [model] = found.models
    return model


def test_a_model_is_told_whole(story: World, told: Callable[..., Fleet]) -> None:
    """What serves where since when on which verdict, held, frozen, proposed, alarm, owner, worth, last heard."""
    model = only(told(story.origin))
    release = next(iter(story.released))
    assert (model.problems, model.title, model.owner_from) == ([], "{{ cookiecutter.__title_quoted }}", "project.yaml")
    staging, production = model.environments
    assert (staging.release, staging.serving, staging.health) == (release, release, "healthy")
    assert staging.judged is not None
    assert staging.judged.text == "Fit to serve"
    assert staging.since is not None
    assert staging.created == story.released[release].created
    assert staging.heard is not None
    assert datetime.now(UTC) - staging.heard < timedelta(minutes=30)
    assert staging.hold is not None
    assert staging.hold.reason == "answers are <b>wrong</b>"
    assert staging.finding == finding(release)
    assert (production.health, production.awaited) == ("empty", [f"promote {release.partition(':')[2]}"])
    assert production.frozen is not None
    assert model.marks == ["alarm", "on hold", "frozen", "proposed"]


def test_a_url_says_what_a_folder_says_and_leaves_little(
    story: World, told: Callable[..., Fleet], tmp_path: Path
) -> None:
    """Of a URL the newest commits are fetched, bare; asked again, nothing is; what is gone there is gone here."""
    url = f"file://{story.origin}"
    there, here = only(told(story.origin)), only(told(url))
    assert here.problem == ""
    assert here.environments == there.environments
    [cached] = (tmp_path / "cache").glob("*.git")
    assert not (cached / "FETCH_HEAD").exists()
    assert git(cached, "rev-list", "--count", "main") == "1"
    assert not [name for name in git(cached, "for-each-ref", "--format=%(refname)").split() if "served" in name]
    before = {path: path.stat().st_mtime_ns for path in cached.rglob("*") if path.is_file()}
    assert only(told(url)).environments == there.environments
    assert {path: path.stat().st_mtime_ns for path in cached.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", [f"{'x' * 80}-{'y' * 59}", "-", "--bare", "é"])
def test_a_folder_of_the_cache_is_never_an_option(name: str) -> None:
    """However long a URL is, and whatever it ends with, the name of its folder does not begin with a dash."""
    [source] = listing.read([f"https://example.org/{name}"], None).sources
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", source.key)


def test_a_cache_that_is_of_no_use_is_made_anew(story: World, told: Callable[..., Fleet], tmp_path: Path) -> None:
    """What a killed run left behind, a lock or half of the objects, is thrown away."""
    url = f"file://{story.origin}"
    whole = only(told(url))
    [cached] = (tmp_path / "cache").glob("*.git")
    for pack in (cached / "objects").rglob("*.*"):
        pack.unlink()
    assert only(told(url)) == whole
    git(cached, "update-ref", "-d", "refs/heads/main")
    (cached / "shallow.lock").touch()
    assert only(told(url)) == whole
    foreign = make(tmp_path / "foreign.git", {"README.md": "Hello"})
    told(f"file://{foreign}")
    [kept] = (tmp_path / "cache").glob("*foreign*.git")
    born = kept.stat().st_ino
    assert "no project of ours" in only(told(f"file://{foreign}")).problem
    assert kept.stat().st_ino == born


def test_a_clone_says_what_its_origin_had_when_it_asked(story: World, told: Callable[..., Fleet]) -> None:
    """A folder with an `origin` is read as far as it was fetched, and its row says when that was."""
    clone = story.clone("reader")
    git(clone, "fetch", "--quiet")
    model = only(told(clone))
    assert model.environments == only(told(story.origin)).environments
    assert model.fetched is not None
    assert only(told(story.clone("made"))).fetched is not None
    assert only(told(story.origin)).fetched is None
    assert not git(clone, "status", "--porcelain")


def make(folder: Path, files: dict[str, str], branch_: str = "main") -> Path:
    """A bare repository with files on a branch."""
    work = folder.with_suffix(".work")
    work.mkdir()
    git(work, "init", "--quiet", f"--initial-branch={branch_}")
    for name, text in files.items():
        (work / name).write_text(text)
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--allow-empty", "--message", "Start")
    git(work, "clone", "--quiet", "--bare", str(work), str(folder))
    return folder


def test_what_cannot_be_read_is_a_row_and_the_others_are_unaffected(
    story: World, told: Callable[..., Fleet], tmp_path: Path
) -> None:
    """Gone, empty, not ours, broken settings, larger than anything of ours: each says so in one sentence."""
    (tmp_path / "folder").mkdir()
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    torn = make(tmp_path / "torn.git", {"project.yaml": "name: a"})
    shutil.rmtree(torn / "objects")
    (torn / "objects").mkdir()
    rows = {
        tmp_path / "gone": "there is no such folder",
        tmp_path / "folder": "not a git repository",
        f"file://{tmp_path}/gone": "does not appear to be a git repository",
        "ext::sh -c touch% wrong": "there is no such folder",
        "gopher://example.org/a": "only file://, git://, http://, https://, ssh://, host:path and folders are read",
        "--upload-pack=touch wrong": "there is no such folder",
        tmp_path / "empty.git": "has no branch main, so it is no project of ours",
        make(tmp_path / "master.git", {}, "master"): "has no branch main, so it is no project of ours",
        make(tmp_path / "foreign.git", {"README.md": "Hello"}): "is no project of ours: main has no project.yaml",
        make(tmp_path / "many.git", {"project.yaml": f"name: a\nenvironments: {[{'name': 'a'}] * 51}"}): "at most 50",
        make(tmp_path / "bad.git", {"project.yaml": "name: ["}): "project.yaml is not valid YAML",
        make(tmp_path / "odd.git", {"project.yaml": "[1]"}): "project.yaml is not one of ours",
        make(tmp_path / "large.git", {"project.yaml": "#" * 4_000_001}): "has more than 4,000,000 bytes",
        torn: "",
    }
    found = told(story.origin, *rows)
    assert found.models[0] == only(told(story.origin))
    for model, said in zip(found.models[1:], rows.values(), strict=True):
        assert said in model.problem
        assert model.problem
        assert "\n" not in model.problem
        assert model.marks == ["not read"]
    assert found.exit_code == 3
    assert not (Path.cwd() / "wrong").exists()


def test_what_one_environment_lacks_is_said_there(story: World, told: Callable[..., Fleet], tmp_path: Path) -> None:
    """A record of a newer form, or a finding of one, is a sentence of its environment; all else is told."""
    newer = tmp_path / "newer.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(story.origin), str(newer))
    clone = Git(story.clone("newer"))
    clone.said("remote", "set-url", "origin", str(newer))
    clone.fetch()
    later = finding("flights:0123456789abcdef").model_dump(mode="json") | {"version": 2, "verdict": "panic"}
    for name, file, content in (
        ("monitor/staging", branch.FILE, later),
        ("env/production", record.FILE, {"version": 9}),
    ):
        commit = clone.commit(clone.write({file: json.dumps(content).encode()}), None, "Newer")
        git(clone.root, "push", "--quiet", "--force", "origin", f"{commit}:refs/heads/{name}")
    model = only(told(newer))
    staging, production = model.environments
    assert staging.problem == "finding.json on monitor/staging has form 2, and this version of gitops-ml reads up to 1"
    assert "has form 9, and this checkout reads up to 2" in production.problem
    assert production.frozen is not None
    assert model.marks[0] == "not read"
    assert model.held


class Silent(BaseHTTPRequestHandler):
    """Takes a request and does not answer; counts who asked with which name."""

    def do_GET(self) -> None:
        if "slow" in self.path:
            time.sleep(60)
        self.send_response(401 if "closed" in self.path else 404)
        self.send_header("www-authenticate", "Basic")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_host_that_refuses_or_does_not_answer_costs_only_its_row(
    told: Callable[..., Fleet], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody is asked for a password, time is up for each by itself, and no token of a URL is anywhere to be seen."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"127.0.0.1:{server.server_address[1]}"
    begun = time.monotonic()
    found = told(
        f"http://{base}/slow.git",
        f"http://{base}/closed.git",
        f"http://ghp_token@{base}/closed2.git",
        f"http://me:pass%2Fword@{base}/gone.git?private_token=s3cret",
        seconds=5,
    )
    assert time.monotonic() - begun < 30
    server.shutdown()
    server.server_close()
    said = [each.problem for each in found.models]
    assert said[0] == "was not read within 5 seconds"
    assert "could not read Username" in said[1]
    assert "not found" in said[3]
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()).decode(errors="replace")
    for text in (found.model_dump_json(), left, *capfd.readouterr()):
        assert not [each for each in ("ghp_token", "pass%2Fword", "pass/word", "s3cret", "me:") if each in text]
    assert [each.source for each in found.models][3] == f"http://{base}/gone.git"


def test_in_a_workflow_its_token_lets_git_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GH_TOKEN goes to GitHub alone, as a header of Git, beside the URL that Git is told; nobody sees it."""
    asked: list[str | None] = []

    class Server(Silent):
        def do_GET(self) -> None:
            asked.append(self.headers.get("authorization"))
            super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    for name, value in {"GITHUB_ACTIONS": "true", "GH_TOKEN": "s3cret", "GITHUB_SERVER_URL": base}.items():
        monkeypatch.setenv(name, value)
    done = command(tmp_path, f"{base}/my-org/gone.git", "--json")
    server.shutdown()
    server.server_close()
    assert done.returncode == 3
    basic = base64.b64encode(b"x-access-token:s3cret").decode()
    assert asked[0] == f"basic {basic}"
    assert not [each for each in ("s3cret", basic) if each in done.stdout + done.stderr]


def test_a_list_is_lines_or_yaml(tmp_path: Path) -> None:
    """Comments are left out, paths are relative to the list, the same repository is read once, nonsense is refused."""
    lines = tmp_path / "plain"
    lines.write_text(
        "# ours\nhttps://example.org/a.git  # the first\n\n../b\ngit@example.org:c.git\nhttps://example.org/a.git\n"
    )
    found = listing.read([str(lines), "d"], None)
    assert [each.shown for each in found.sources] == ["https://example.org/a.git", "../b", "git@example.org:c.git", "d"]
    assert found.sources[1].folder == tmp_path / ".." / "b"
    assert found.template is None
    yaml_ = tmp_path / "list.yaml"
    yaml_.write_text("template: ../t\nrepositories:\n  - https://example.org/a.git\n")
    named = listing.read([str(yaml_)], None)
    assert named.template is not None
    assert named.template.folder == tmp_path / ".." / "t"
    other = listing.read([str(yaml_)], "https://example.org/t.git")
    assert other.template is not None
    assert other.template.given == "https://example.org/t.git"


@pytest.mark.parametrize(
    "text", ["repositories: a\n", "repositories: [{a: b}]\n", "repositories: [\n", "- 1\n", "repos: [a]\n"]
)
def test_a_list_that_is_none_is_refused_in_a_sentence(text: str, tmp_path: Path) -> None:
    """The command ends with exit code 1, one line, and no page."""
    (tmp_path / "list.yaml").write_text(text)
    done = command(tmp_path, "list.yaml", "--html", "page.html")
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("error: list.yaml")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it as its user does, in a folder that is no project, with a Python that knows no project's packages."""
    code = (
        "import sys; sys.path = [each for each in sys.path if not each.endswith('project_slug}}')]\n"
        "from gitops_ml.launch import main; raise SystemExit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "fleet", "--cache", "cache", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_runs_outside_of_any_project(story: World, tmp_path: Path) -> None:
    """It needs none of a project's packages; exit code 3 says that something was not read, and which stands there."""
    done = command(tmp_path, str(story.origin), "--html", "public/index.html", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["version"] == 1
    assert told["models"][0]["marks"] == ["alarm", "on hold", "frozen", "proposed"]
    shown = (tmp_path / "public/index.html").read_text()
    assert "&lt;b&gt;wrong&lt;/b&gt;" in shown
    assert "<b>wrong" not in shown
    missed = command(tmp_path, str(story.origin), "gone")
    assert missed.returncode == 3
    assert missed.stderr == "❌ gone: there is no such folder\n"
    assert missed.stdout.splitlines()[-1].startswith("2 models, not read: 1, alarm: 1")


def template(folder: Path) -> Path:
    """A template with three versions, the newest of which has two commits more than the one before."""
    package = folder / "{{cookiecutter.project_slug}}/vendor/gitops-ml"
    package.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "cookiecutter.json").write_text("{}")
    sections = ""
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        sections = f"## {version}\n\nNew.\n\n{sections}"
        (folder / "CHANGELOG.md").write_text(sections)
        (package / "pyproject.toml").write_text(f'version = "{version}"\n')
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", version)
        git(folder, "commit", "--quiet", "--allow-empty", "--message", "More")
        git(folder, "tag", f"v{version}")
    return folder


def test_a_template_says_how_far_a_project_is_behind(story: World, told: Callable[..., Fleet], tmp_path: Path) -> None:
    """By versions where there are any between, else by commits; and where nobody named a template, it is not known."""
    where = template(tmp_path / "template")
    model = only(told(story.origin, template=str(where)))
    assert model.template.sentence == "2 versions behind 0.3.0"
    assert model.marks[-1] == "template behind"
    assert only(told(story.origin)).template.sentence == "how far behind is not known: no template was named"
    for commit, said in (("v0.3.0~1", "1 commit behind 0.3.0"), ("v0.3.0", "the newest")):
        made = {"version": "0.3.0", "commit": git(where, "rev-parse", commit), "answers": {}}
        settings = (PROJECT / "project.yaml").read_text()
        place = make(tmp_path / f"{commit}.git", {"project.yaml": settings, ".template.json": json.dumps(made)})
        assert only(told(place, template=f"file://{where}")).template.sentence == said
    strange = told(story.origin, template=str(tmp_path / "nowhere"))
    assert (strange.exit_code, only(strange).template.newest) == (3, "")
    assert "nowhere" in strange.template_problem


def test_a_finding_of_another_release_or_of_long_ago_is_no_verdict_on_what_serves(
    story: World, told: Callable[..., Fleet], tmp_path: Path
) -> None:
    """An alarm about what was there before is no alarm, and who has not looked for a whole window is not all well."""
    copy = tmp_path / "copy.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(story.origin), str(copy))
    clone = Git(story.clone("copy"))
    clone.said("remote", "set-url", "origin", str(copy))
    clone.fetch()
    release = next(iter(story.released))
    assert branch.write(clone, finding("flights:0123456789abcdef", moment=NOW + timedelta(seconds=1)))
    staging = only(told(copy)).environments[0]
    assert staging.unwatched == "this was found of flights:0123456789abcdef"
    assert staging.marks == {"not watched", "on hold"}
    assert not branch.write(clone, finding(release)), "what is older never replaces what is newer"
    old = finding(release, moment=NOW - 8 * DAY, since=NOW - 15 * DAY, until=NOW - 8 * DAY, verdict="all is well")
    clone.delete("refs/heads/monitor/staging")
    clone.fetch()
    assert branch.write(clone, old)
    assert only(told(copy)).environments[0].unwatched == "nobody has looked for longer than a window"
    assert clone.parents(clone.tip("monitor/staging") or "") == []


def test_agents_that_say_nothing_are_told(
    story: World, told: Callable[..., Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was not heard for longer than project.yaml allows is silent."""

    now = datetime.now(UTC)

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now + timedelta(minutes=61)

    monkeypatch.setattr(read, "datetime", Later)
    staging = only(told(story.origin)).environments[0]
    assert len(staging.silent) == 1
    assert "silent" in staging.marks


def test_nothing_is_changed(story: World, told: Callable[..., Fleet]) -> None:
    """Reading leaves every byte of a repository as it was."""
    files = {path: path.read_bytes() for path in story.origin.rglob("*") if path.is_file()}
    assert told(story.origin, story.origin / ".." / "origin.git").models
    assert {path: path.read_bytes() for path in story.origin.rglob("*") if path.is_file()} == files


def test_a_project_of_before_there_were_environments_is_told(told: Callable[..., Fleet], tmp_path: Path) -> None:
    """The first projects had none; that is no fault of theirs, and how old they are is what the page is for."""
    model = only(told(make(tmp_path / "first.git", {"project.yaml": "name: a\ntitle: A\nowner: b\n"})))
    assert (model.problems, model.environments, model.owner) == ([], [], "b")
    assert "names no environment" in page.html(Fleet(moment=NOW, models=[model]))


def test_no_repository_is_no_error(told: Callable[..., Fleet], tmp_path: Path) -> None:
    """An empty list gives a page that says so."""
    (tmp_path / "none.yaml").write_text("repositories: []\n")
    found = told(tmp_path / "none.yaml")
    assert (found.models, found.exit_code) == ([], 0)
