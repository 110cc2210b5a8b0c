"""The template's newer version, as GitHub is told of it: who may push proposes it, else one issue says so."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

import pytest
from gitops_ml.core import actions
from gitops_ml.core.errors import UserError
from gitops_ml.github import offer
from gitops_ml.update import proposal, update
from gitops_ml.update.proposal import Proposal, Updating
from gitops_ml.versions.git import Git

from tests.automation.world import git
from tests.forge import REPOSITORY, TOKEN, GitHub

WORKFLOW = ".github/workflows/batch.yml"
MAY = {"contents": "write", "pull_requests": "write", "workflows": "write"}


class Project:
    """A clone of a repository on GitHub, in which newer versions of the template are worked out."""

    def __init__(self, github: GitHub, root: Path) -> None:
        self.github, self.root = github, root
        git(root.parent, "clone", "--quiet", str(github.origin), str(root))
        git(root, "remote", "set-url", "origin", f"{github.url}/{REPOSITORY}")

    def keep(self, new: str, *, asks: str = "- Dance.", text: str = "on: push\n") -> None:
        """Keep an update that changes a workflow, as `repo update --no-push` does."""
        here = Git(self.root)
        here.fetch()
        main = here.tip("main") or ""
        message = f"{update.SUBJECT}{new}\n\nFrom 0.2.0.\n\n{update.BAKED}{'0' * 64}\n"
        commit = here.commit(here.with_files(main, {WORKFLOW: text.encode()}), main, message, machine=True)
        bakes = here.tip("template") or here.commit(here.tree(main), None, f"{update.BAKED}0\n", machine=True)
        branch = f"update/v{new}"
        made = Proposal(
            outcome=Updating(state="open", old="0.2.0", new=new, branch=branch, commit=commit, conflicts=["a.py"]),
            title=f"{update.SUBJECT}{new}",
            body="What is new.",
            musts={new: asks} if asks else {},
            baked=bakes,
            before=here.tip(branch),
        )
        proposal.keep(here, made, main, self.root / update.KEPT)

    def current(self) -> None:
        """Keep that the project has the newest version."""
        outcome = Updating(state="up to date", old="0.3.0", new="0.3.0")
        proposal.keep(Git(self.root), Proposal(outcome=outcome), "", self.root / update.KEPT)

    def offer(self) -> str:
        """Tell GitHub; what is said then."""
        # Each run of the workflow begins with its own token.
        actions.authenticate(TOKEN)
        said = offer.offer(self.root).sentence
        assert self.github.wrong == []
        return said

    def open(self) -> list[str]:
        """The titles of the issues that are open."""
        return [each["title"] for each in self.github.issues if each["state"] == "open"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project on GitHub, as one of its workflows sees it, where a person has an issue of that label, too."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "first")
    (tmp_path / "first/README.md").write_text("A project\n")
    git(tmp_path / "first", "add", "--all")
    git(tmp_path / "first", "commit", "--quiet", "--message", "First")
    git(tmp_path, "clone", "--quiet", "--bare", "first", "origin.git")
    server = GitHub(tmp_path / "origin.git")
    server.issues.append(
        {"number": 1, "title": "Ours", "body": "Version 0.3.0?", "labels": [offer.LABEL], "state": "open"}
    )
    for name, value in {**server.environment, "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0", "APP_TOKEN"):
        # What a test sets is taken back after it.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    actions.authenticate(TOKEN)
    yield Project(server, tmp_path / "clone")
    server.close()


def test_without_an_app_there_is_one_issue_however_often_and_it_is_kept_true(project: Project) -> None:
    """It names the version, what that asks for and the command; a newer version is told in the same issue."""
    project.keep("0.3.0", asks="")
    assert project.offer().endswith("issues/2 is open")
    body = project.github.issues[1]["body"]
    assert "\n    make update\n" in body
    assert "\n**Nothing verified.** Read what it changes as you would a stranger's.\n" in body
    assert "The changelog asks nothing of you." in body
    assert "1 file will be yours to settle, changed by both sides:\n\n- <code>a.py</code>" in html.unescape(body)
    assert project.offer().endswith("issues/2 says so")
    project.keep("0.4.0")
    project.offer()
    assert project.open() == ["Ours", "Version 0.4.0 of the template"]
    assert "## What you must do for 0.4.0\n\n- Dance." in project.github.issues[1]["body"]
    assert list(project.github.tips()) == ["main"]


def test_an_issue_that_the_team_has_closed_stays_closed_until_the_next_version(project: Project) -> None:
    """The same version is not told again; the next one is."""
    project.keep("0.3.0")
    project.offer()
    project.github.issues[1]["state"] = "closed"
    assert "issues/2 was closed, so no issue is opened again for version 0.3.0" in project.offer()
    assert project.open() == ["Ours"]
    project.keep("0.4.0")
    assert project.offer().endswith("issues/3 is open")


def test_a_project_that_is_up_to_date_has_its_own_issue_closed_and_nobody_elses(project: Project) -> None:
    """It says that there is nothing to do; an issue of people stays, whatever its label."""
    project.current()
    assert project.offer() == "this project is up to date: it has version 0.3.0 of the template"
    project.keep("0.3.0")
    project.offer()
    project.current()
    assert project.offer().endswith("issues/2 is closed")
    assert project.open() == ["Ours"]
    assert [each["body"] for each in project.github.comments] == ["This project has version 0.3.0 now."]


def test_an_app_that_may_push_workflows_proposes_and_refreshes_one_pull_request(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The issue is over then; a newer version closes the older pull request; what the team closed stays closed."""
    project.keep("0.3.0")
    project.offer()
    project.github.tokens["app"] = MAY
    monkeypatch.setenv("APP_TOKEN", "app")
    assert project.offer().endswith("pull/1 is open: from 0.2.0 to 0.3.0")
    assert project.open() == ["Ours"]
    project.keep("0.3.0", text="on: [push, pull_request]\n")
    project.offer()
    assert [(pull["head"], pull["state"]) for pull in project.github.pulls] == [("update/v0.3.0", "open")]
    assert git(project.github.origin, "show", f"update/v0.3.0:{WORKFLOW}") == "on: [push, pull_request]"
    project.keep("0.4.0")
    project.offer()
    states = {pull["head"]: pull["state"] for pull in project.github.pulls}
    assert states == {"update/v0.3.0": "closed", "update/v0.4.0": "open"}
    assert set(project.github.tips()) == {"main", "template", "update/v0.4.0"}
    project.github.pulls[1]["state"] = "closed"
    assert "pull/2 was closed, so version 0.4.0 is not proposed again" in project.offer()


def test_what_people_pushed_meanwhile_is_not_overwritten(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between working it out and pushing it somebody settles something; the run ends with a sentence."""
    project.github.tokens["app"] = MAY
    monkeypatch.setenv("APP_TOKEN", "app")
    project.keep("0.3.0")
    project.offer()
    project.keep("0.3.0", text="on: [push, pull_request]\n")
    theirs = git(project.github.origin, "commit-tree", "main^{tree}", "-p", "update/v0.3.0", "-m", "Settle")
    git(project.github.origin, "update-ref", "refs/heads/update/v0.3.0", theirs)
    with pytest.raises(UserError, match="was rejected"):
        project.offer()
    assert project.github.tip("update/v0.3.0") == theirs


@pytest.mark.parametrize("rights", [{}, {"contents": "write", "pull_requests": "write"}])
def test_github_refuses_workflow_files_of_whoever_may_not_push_them(
    project: Project, monkeypatch: pytest.MonkeyPatch, rights: dict[str, str]
) -> None:
    """An app without the permission, or the workflow's own token in its place, pushes nothing, and the run says why."""
    project.github.tokens["app"] = rights
    monkeypatch.setenv("APP_TOKEN", "app" if rights else TOKEN)
    project.keep("0.3.0")
    with pytest.raises(UserError, match=r"create or update workflow .* without 'workflows' permission"):
        project.offer()
    assert project.github.pulls == []
    assert "update/v0.3.0" not in project.github.tips()


def test_what_was_kept_is_held_to_its_form(project: Project) -> None:
    """Nothing kept, a damaged file, and another branch than an update's are refused with a sentence each."""
    with pytest.raises(UserError, match="no update is worked out here"):
        project.offer()
    project.keep("0.3.0")
    made = proposal.read(project.root / update.KEPT)
    wrong = made.model_copy(update={"outcome": made.outcome.model_copy(update={"branch": "main"})})
    with pytest.raises(UserError, match="names the branch 'main', which is no update's"):
        proposal.push(Git(project.root), wrong, project.root / update.KEPT)
    (project.root / update.KEPT / proposal.FILE).write_text("{}")
    with pytest.raises(UserError, match=r"proposal\.json is damaged"):
        project.offer()
