"""Where promotions are proposed and merged: on GitHub as pull requests, else with Git alone."""

from __future__ import annotations

import re
from typing import Any, Protocol, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from gitops_ml.core import actions
from gitops_ml.core.errors import UserError
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import REMOTE

GITHUB = re.compile(r"github\.com[:/](?P<name>[^/]+/[^/]+?)(\.git)?/?$")
CONTEXT = "promotion"
# The workflow that follows a merge into an environment's branch; it runs main's code.
DEPLOY = "deploy.yml"
# How far a comment of ours is looked for.
PAGES = 10
DESCRIPTION = 140
SECONDS = 30.0

Form = TypeVar("Form")


class Pull(BaseModel):
    """A pull request, as far as it matters here."""

    number: int
    title: str
    body: str | None
    html_url: str


class Author(BaseModel):
    """Who wrote a comment."""

    type: str


class Comment(BaseModel):
    """A comment; who wrote it may be nobody any more, and its text empty."""

    id: int
    body: str | None = None
    user: Author | None = None


class RefusedError(UserError):
    """GitHub answered, and not with what was asked for."""

    def __init__(self, sentence: str, answer: httpx.Response) -> None:
        super().__init__(sentence)
        self.status = answer.status_code


class Forge(Protocol):
    """What promotions need, beyond the branches that they are."""

    def propose(self, branch: str, base: str, title: str, body: str) -> str:
        """Ask for a branch to be merged; if that was done, with what is to be said now. Where to look at it."""

    def withdraw(self, branch: str, reason: str) -> None:
        """Close what was proposed and remove its branch."""

    def tell(self, commit: str, state: str, sentence: str, context: str = CONTEXT) -> None:
        """Say of a commit whether it may be merged: success, failure or pending; `context` names what this is about."""

    def merge(self, branch: str, base: str, commit: str) -> None:
        """Merge exactly this commit, if the base is still what the commit follows."""


class PlainGit:
    """Git alone: a proposal is its branch, and merging is a push that only goes forward."""

    def __init__(self, git: Git) -> None:
        self.git = git

    def propose(self, branch: str, base: str, title: str, body: str) -> str:
        """See Forge."""
        return f"{branch} into {base}"

    def withdraw(self, branch: str, reason: str) -> None:
        """See Forge."""
        self.git.delete(f"refs/heads/{branch}")

    def tell(self, commit: str, state: str, sentence: str, context: str = CONTEXT) -> None:
        """See Forge; Git has no place for it, and merging verifies again."""

    def merge(self, branch: str, base: str, commit: str) -> None:
        """See Forge."""
        self.git.push(commit, f"refs/heads/{base}")
        self.git.delete(f"refs/heads/{branch}")


class GitHub:
    """GitHub by REST, with the token of the environment."""

    def __init__(self, git: Git, repository: str, token: str, api: str) -> None:
        self.git = git
        self.owner = repository.partition("/")[0]
        self.client = httpx.Client(
            base_url=f"{api.rstrip('/')}/repos/{repository}/",
            headers={
                "authorization": f"Bearer {token}",
                "accept": "application/vnd.github+json",
                "x-github-api-version": "2026-03-10",
            },
            timeout=SECONDS,
        )

    def propose(self, branch: str, base: str, title: str, body: str) -> str:
        """See Forge."""
        pull = self._open(branch)
        if pull is None:
            asked = {"title": title, "head": branch, "base": base, "body": body}
            pull = self.held(Pull, "POST", "pulls", asked)
        elif (pull.title, pull.body) != (title, body):
            self.ask("PATCH", f"pulls/{pull.number}", {"title": title, "body": body})
        return pull.html_url

    def withdraw(self, branch: str, reason: str) -> None:
        """See Forge."""
        if pull := self._open(branch):
            self.ask("POST", f"issues/{pull.number}/comments", {"body": reason})
            self.ask("PATCH", f"pulls/{pull.number}", {"state": "closed"})
        self.git.delete(f"refs/heads/{branch}")

    def tell(self, commit: str, state: str, sentence: str, context: str = CONTEXT) -> None:
        """See Forge."""
        line = " ".join(sentence.split())
        said = line if len(line) <= DESCRIPTION else f"{line[: DESCRIPTION - 1]}…"
        body = {"state": state, "description": said, "context": context}
        if url := actions.run_url():
            body["target_url"] = url
        self.ask("POST", f"statuses/{commit}", body)

    def merge(self, branch: str, base: str, commit: str) -> None:
        """See Forge; `sha` has GitHub refuse if the branch is not this commit any more."""
        pull = self._open(branch)
        if pull is None:
            raise UserError(f"there is no open pull request of {branch}; promote again")
        self.ask("PUT", f"pulls/{pull.number}/merge", {"sha": commit, "merge_method": "rebase"})
        if actions.running():
            # What a workflow's token merges starts no workflow by itself.
            self.start(DEPLOY, environment=base.removeprefix("env/"))
        self.git.fetch()
        self.git.delete(f"refs/heads/{branch}")

    def start(self, workflow: str, **inputs: str) -> None:
        """Start a workflow of main."""
        self.ask("POST", f"actions/workflows/{workflow}/dispatches", {"ref": MAIN, "inputs": inputs})

    def comment(self, number: int, marker: str, body: str) -> None:
        """Write the one comment of a pull request that begins with a marker, or write it anew."""
        for page in range(1, PAGES + 1):
            params = {"per_page": "100", "page": str(page)}
            found = self.held(list[Comment], "GET", f"issues/{number}/comments", params=params)
            own = [each for each in found if _is_ours(each, marker)]
            if own:
                self.ask("PATCH", f"issues/comments/{own[0].id}", {"body": f"{marker}\n{body}"})
                return
            if len(found) < 100:
                break
        self.ask("POST", f"issues/{number}/comments", {"body": f"{marker}\n{body}"})

    def _open(self, branch: str) -> Pull | None:
        params = {"head": f"{self.owner}:{branch}", "state": "open"}
        found = self.held(list[Pull], "GET", "pulls", params=params)
        return found[0] if found else None

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, str] | None = None
    ) -> Any:
        """Ask for something under this repository, and return what the answer holds.

        Raises:
            UserError: GitHub does not answer, or refuses.
        """
        try:
            answer = self.client.request(method, path, json=body, params=params)
        except httpx.HTTPError as error:
            raise UserError(f"GitHub does not answer: {error or type(error).__name__}") from error
        if not answer.is_success:
            raise RefusedError(f"GitHub refuses {method} {path} with {answer.status_code}: {_said(answer)}", answer)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise UserError(f"GitHub answers {method} {path} with what is no JSON; try again later") from error

    def held(
        self,
        form: type[Form],
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
    ) -> Form:
        """Ask for something, and hold the answer to its form.

        Raises:
            UserError: GitHub does not answer, refuses, or answers something else.
        """
        try:
            return TypeAdapter(form).validate_python(self.ask(method, path, body, params))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "all of it"
            raise UserError(f"GitHub answers {method} {path} in another form: {place}: {first['msg']}") from error


def _is_ours(comment: Comment, marker: str) -> bool:
    return (comment.body or "").startswith(marker) and comment.user is not None and comment.user.type == "Bot"


def of(git: Git) -> Forge:
    """GitHub where `origin` is there, or where a workflow of GitHub runs; else Git alone.

    Raises:
        UserError: it is GitHub, and there is no token; or there is no `origin`.
    """
    git.require_origin()
    known = GITHUB.search(git.said("remote", "get-url", REMOTE))
    name = actions.repository() or (known["name"] if known else None)
    if name is None:
        return PlainGit(git)
    token = actions.token()
    if token is None:
        raise UserError(
            "promotions on GitHub are pull requests; set GH_TOKEN, for example to what `gh auth token` prints"
        )
    return GitHub(git, name, token, actions.api())


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
