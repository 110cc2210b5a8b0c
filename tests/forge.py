"""A stand-in for GitHub: real Git over HTTP, and the slice of its REST API that a project uses.

Every request that it gets and every response that it gives is held to GitHub's own description of its API, in the
version that the request asks for, as githubkit-schemas publishes it. So it can be wrong about what GitHub does, but not
about what GitHub accepts and answers.
"""

from __future__ import annotations

import base64
import inspect
import json
import os
import re
import subprocess
import threading
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import githubkit_schemas.v2026_03_10.models as github
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from githubkit_schemas.v2026_03_10.rest import actions
from githubkit_schemas.v2026_03_10.rest.actions import ActionsClient
from pydantic import AnyUrl, BaseModel, TypeAdapter

from ci.shell import CommandError, run

VERSION = "2026-03-10"
TOKEN = "not-a-secret"  # noqa: S105
APP = "the app"
REPOSITORY = "acme/late-flights"
# A workflow's token, which alone comes over HTTP here, may push no workflow that main does not have to the byte. GitHub
# says so of tokens of another kind, and of any other branch: "Workflow files can be committed without this scope if the
# same file (with both the same path and contents) exists on another branch in the same repository".
# The token of an app passes if it was asked for with that permission.
PRE_RECEIVE = """#!/bin/sh
[ -n "$REMOTE_USER" ] && [ "$REMOTE_USER" != "$MAY_PUSH_WORKFLOWS" ] || exit 0
git rev-list $(cut --delimiter=' ' --fields=2 | grep --invert-match '^0*$') --not --all |
  git diff-tree --stdin -r -m --root --no-commit-id --diff-filter=AM -- .github/workflows |
  while read -r _ _ _ blob _ path; do
    [ "$(git rev-parse --verify --quiet "refs/heads/main:$path")" = "$blob" ] || {
      echo "refusing to allow a GitHub App to create or update workflow '$path' without 'workflows' permission"
      exit 1
    }
  done
"""


@dataclass(frozen=True)
class Event:
    """Something that may start workflows: its name, the branch and commit that it is about, and what GitHub says."""

    name: str
    branch: str
    commit: str
    payload: dict[str, Any]
    workflow: str | None = None


class GitHub:
    """One private repository `acme/late-flights` on a server of its own."""

    def __init__(self, origin: Path) -> None:
        self.origin = origin
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.issues: list[dict[str, Any]] = []
        self.rulesets: list[dict[str, Any]] = []
        self.events: list[Event] = []
        # Each run of a workflow, the last one last, with what is known of its jobs by now.
        self.runs: list[dict[str, Any]] = []
        self.wrong: list[str] = []
        self.down = False
        # Whether everything is as the README's list for a new repository asks.
        self.set_up = False
        # The public key of a GitHub App that is installed here, and what each of its tokens may do.
        self.app: tuple[str, rsa.RSAPublicKey] | None = None
        self.tokens: dict[str, dict[str, str]] = {}
        self.asking = threading.local()
        hook = origin / "hooks/pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(PRE_RECEIVE)
        hook.chmod(0o755)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What a workflow of this GitHub has in its environment."""
        return {
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_API_URL": self.url,
            "GH_TOKEN": TOKEN,
        }

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def who(self, authorization: str) -> str | None:
        """Who asks: the workflow's token, a token of the app, or the app by its key; None if nobody knows."""
        kind, _, said = authorization.partition(" ")
        if kind.lower() == "basic":
            said = base64.b64decode(said).decode().removeprefix("x-access-token:")
        elif kind not in ("Bearer", "token"):
            return None
        if said == TOKEN or said in self.tokens:
            return said
        return APP if self.app and _signed_by(*self.app, said) else None

    def pushed(self, branch: str, before: str = "0" * 40) -> None:
        """Somebody, and no workflow, pushed to a branch."""
        commit = self.tip(branch)
        self.events.append(Event("push", branch, commit, {"ref": f"refs/heads/{branch}", "before": before}))
        for pull in self.pulls:
            if pull["head"] == branch and pull["state"] == "open":
                self._changed(pull, "synchronize")

    def opened(self, branch: str, title: str, source: str = REPOSITORY) -> int:
        """Somebody opened a pull request of a branch into main; `source` is the repository that has the branch."""
        pull = {"title": title, "head": branch, "base": "main", "body": "", "number": len(self.pulls) + 1}
        self.pulls.append({**pull, "state": "open", "source": source})
        self._changed(self.pulls[-1], "opened")
        return len(self.pulls)

    def merged(self, number: int) -> str | None:
        """Somebody presses the button of a pull request; returns why it cannot be pressed, if so."""
        pull = self.pulls[number - 1]
        head, base = self.tip(pull["head"]), self.tip(pull["base"])
        promoting = pull["base"].startswith("env/")
        for context in ["promotion"] if promoting else ["pull-request", "trust"]:
            said = [each for each in self.statuses if (each["sha"], each["context"]) == (head, context)]
            if not said or said[-1]["state"] != "success":
                return f"{context} is {said[-1]['state'] if said else 'missing'}"
        if promoting:
            self._merge_pull(pull, head)
        else:
            try:
                tree = run("git", "merge-tree", "--write-tree", base, head, cwd=self.origin).split()[0]
            except CommandError:
                return "it is in conflict"
            message = f"Merge pull request #{number}"
            made = run("git", "commit-tree", tree, "-p", base, "-p", head, "-m", message, cwd=self.origin).strip()
            run("git", "update-ref", f"refs/heads/{pull['base']}", made, base, cwd=self.origin)
            pull.update(state="closed", merged=True)
        self.pushed(pull["base"], before=base)
        return None

    def dispatched(self, workflow: str, **inputs: str) -> None:
        """Somebody started a workflow of main by hand."""
        commit = self.tip("main")
        self.events.append(Event("workflow_dispatch", "main", commit, {"inputs": inputs}, workflow))

    def tip(self, branch: str) -> str:
        """The commit of a branch."""
        return run("git", "rev-parse", f"refs/heads/{branch}", cwd=self.origin).strip()

    def tips(self) -> dict[str, str]:
        """The commits of all branches."""
        listed = run("git", "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads", cwd=self.origin)
        return dict(line.split(" ") for line in listed.splitlines())

    def _changed(self, pull: dict[str, Any], action: str) -> None:
        head, base = self.tip(pull["head"]), self.tip(pull["base"])
        run("git", "update-ref", f"refs/pull/{pull['number']}/head", head, cwd=self.origin)
        described = {
            "number": pull["number"],
            "title": pull["title"],
            "head": {"sha": head, "ref": pull["head"], "repo": {"full_name": pull["source"]}},
            "base": {"sha": base, "ref": pull["base"], "repo": {"full_name": REPOSITORY}},
        }
        payload = {"action": action, "number": pull["number"], "pull_request": described}
        self.events.append(Event("pull_request", pull["base"], head, payload))
        # With rights, so of the commit that it would be merged into.
        self.events.append(Event("pull_request_target", pull["base"], base, payload))

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Find the route, hold the request to its description, and answer."""
        for verb, shape, accepted, reply in self._routes():
            if verb == method and (found := re.fullmatch(shape, path)):
                if isinstance(accepted, type):
                    self._hold(accepted, body)
                elif accepted is not None:
                    self._hold_query(accepted, query)
                return reply(found, query, body)
        self.wrong.append(f"{method} {path}: no such route here")
        return 404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}

    def _routes(
        self,
    ) -> list[tuple[str, str, type[BaseModel] | Callable[..., Any] | None, Callable[..., tuple[int, Any]]]]:
        at = f"/repos/{REPOSITORY}"
        return [
            ("GET", rf"{at}/pulls", None, self._list),
            ("POST", rf"{at}/pulls", github.ReposOwnerRepoPullsPostBody, self._open),
            ("PATCH", rf"{at}/pulls/(\d+)", github.ReposOwnerRepoPullsPullNumberPatchBody, self._close),
            ("PUT", rf"{at}/pulls/(\d+)/merge", github.ReposOwnerRepoPullsPullNumberMergePutBody, self._merge),
            ("GET", rf"{at}/issues", None, self._list_issues),
            ("POST", rf"{at}/issues", github.ReposOwnerRepoIssuesPostBody, self._open_issue),
            ("PATCH", rf"{at}/issues/(\d+)", github.ReposOwnerRepoIssuesIssueNumberPatchBody, self._edit_issue),
            ("GET", rf"{at}/issues/(\d+)/comments", None, self._list_comments),
            (
                "POST",
                rf"{at}/issues/(\d+)/comments",
                github.ReposOwnerRepoIssuesIssueNumberCommentsPostBody,
                self._comment,
            ),
            (
                "PATCH",
                rf"{at}/issues/comments/(\d+)",
                github.ReposOwnerRepoIssuesCommentsCommentIdPatchBody,
                self._edit,
            ),
            ("POST", rf"{at}/statuses/([0-9a-f]+)", github.ReposOwnerRepoStatusesShaPostBody, self._status),
            (
                "POST",
                rf"{at}/actions/workflows/([\w.-]+)/dispatches",
                github.ReposOwnerRepoActionsWorkflowsWorkflowIdDispatchesPostBody,
                self._dispatch,
            ),
            ("GET", rf"{at}/actions/workflows/([\w.-]+)/runs", ActionsClient.list_workflow_runs, self._list_runs),
            ("GET", rf"{at}/actions/runs/(\d+)/jobs", ActionsClient.list_jobs_for_workflow_run, self._list_jobs),
            ("GET", rf"{at}/installation", None, self._installation),
            (
                "POST",
                r"/app/installations/7/access_tokens",
                github.AppInstallationsInstallationIdAccessTokensPostBody,
                self._token,
            ),
            ("GET", rf"{at}/actions/permissions/workflow", None, self._token_permissions),
            ("GET", rf"{at}/actions/permissions", None, self._permissions),
            ("GET", rf"{at}/environments/([\w-]+)", None, self._environment),
            ("GET", rf"{at}/(actions|environments/[\w-]+)/(secrets|variables)", None, self._names),
            ("GET", rf"{at}/codeowners/errors", None, self._code_owners),
            ("GET", rf"{at}/rulesets", None, self._list_rulesets),
            ("GET", rf"{at}/rulesets/(\d+)", None, self._show_ruleset),
            ("POST", rf"{at}/rulesets", github.ReposOwnerRepoRulesetsPostBody, self._create_ruleset),
            ("PUT", rf"{at}/rulesets/(\d+)", github.ReposOwnerRepoRulesetsRulesetIdPutBody, self._update_ruleset),
        ]

    def _installation(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        return 200, self._filled(github.Installation, id=7)

    def _token(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        assert self.asking.by == APP
        made = f"ghs_{len(self.tokens)}"
        self.tokens[made] = body["permissions"]
        return 201, self._filled(github.InstallationToken, token=made)

    def _list(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        wanted = [
            self._shown(github.PullRequestSimple, pull)
            for pull in self.pulls
            if pull["state"] == query.get("state", "open") and query.get("head", "") in ("", f"acme:{pull['head']}")
        ]
        return 200, wanted

    def _open(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        pull = {**body, "number": len(self.pulls) + 1, "state": "open", "source": REPOSITORY}
        self.pulls.append(pull)
        # What a workflow's own token opens starts nothing.
        if self.asking.by in self.tokens:
            self._changed(pull, "opened")
        return 201, self._shown(github.PullRequest, pull)

    def _close(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        pull = self._pull(found)
        pull.update(body)
        return 200, self._shown(github.PullRequest, pull)

    def _merge(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        pull = self._pull(found)
        if self.tip(pull["head"]) != body["sha"]:
            return 409, {"message": "Head branch was modified. Review and try the merge again."}
        made = self._merge_pull(pull, body["sha"])
        return 200, self._filled(github.PullRequestMergeResult, sha=made, merged=True, message="merged")

    def _merge_pull(self, pull: dict[str, Any], commit: str) -> str:
        # Rebasing on GitHub gives commits of GitHub's own with the messages of the old, whatever they are rebased onto.
        tree, parent = f"{commit}^{{tree}}", self.tip(pull["base"])
        said = run("git", "show", "--no-patch", "--format=%B", commit, cwd=self.origin)
        made = run("git", "commit-tree", tree, "-p", parent, "-m", said, cwd=self.origin).strip()
        run("git", "update-ref", f"refs/heads/{pull['base']}", made, parent, cwd=self.origin)
        pull.update(state="closed", merged=True)
        return made

    def _list_issues(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        known = [each for each in self.issues if each["state"] == query["state"] and query["labels"] in each["labels"]]
        return 200, [self._shown_issue(each) for each in known]

    def _open_issue(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        # Issues and pull requests are numbered together on GitHub; here nobody minds.
        self.issues.append({**body, "number": len(self.issues) + 1, "state": "open"})
        return 201, self._shown_issue(self.issues[-1])

    def _edit_issue(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        issue = self.issues[int(found[1]) - 1]
        issue.update(body)
        return 200, self._shown_issue(issue)

    def _shown_issue(self, issue: dict[str, Any]) -> Any:
        return self._filled(
            github.Issue,
            **{name: issue[name] for name in ("number", "state", "title", "body", "labels")},
            html_url=f"https://github.com/{REPOSITORY}/issues/{issue['number']}",
        )

    def _list_comments(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        own = [each for each in self.comments if each["pull"] == int(found[1])] if query["page"] == "1" else []
        return 200, [self._shown_comment(each) for each in own]

    def _comment(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.comments.append({"id": len(self.comments) + 1, "pull": int(found[1]), "body": body["body"]})
        return 201, self._shown_comment(self.comments[-1])

    def _edit(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        comment = self.comments[int(found[1]) - 1]
        comment["body"] = body["body"]
        return 200, self._shown_comment(comment)

    def _shown_comment(self, comment: dict[str, Any]) -> Any:
        bot = _example(github.SimpleUser) | {"login": "github-actions[bot]", "type": "Bot"}
        return self._filled(github.IssueComment, id=comment["id"], body=comment["body"], user=bot)

    def _dispatch(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        assert body["ref"] == "main"
        self.dispatched(found[1], **body.get("inputs", {}))
        return 204, None

    def began(self, event: Event, workflow: str) -> dict[str, Any]:
        """A run of a workflow begins; whoever runs it writes into it what becomes of its jobs."""
        self.runs.append(
            {"id": len(self.runs) + 1, "event": event, "workflow": workflow, "conclusion": None, "jobs": []}
        )
        return self.runs[-1]

    def _list_runs(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        if not run("git", "ls-tree", "main", f".github/workflows/{found[1]}", cwd=self.origin):
            return 404, {"message": "Not Found"}
        known = [each for each in reversed(self.runs) if each["workflow"] == found[1]]
        for name, fact in {"event": "name", "branch": "branch"}.items():
            known = [each for each in known if query.get(name) in {None, getattr(each["event"], fact)}]
        if "status" in query:
            known = [each for each in known if query["status"] in {each["conclusion"], "completed"}]
        shown = [self._shown_run(each) for each in known[: int(query.get("per_page", "30"))]]
        form = github.ReposOwnerRepoActionsWorkflowsWorkflowIdRunsGetResponse200
        return 200, self._filled(form, total_count=len(known), workflow_runs=shown)

    def _shown_run(self, each: dict[str, Any]) -> Any:
        facts = {"id": each["id"], "event": each["event"].name, "conclusion": each["conclusion"]}
        status = "completed" if each["conclusion"] else "in_progress"
        return self._filled(github.WorkflowRun, **facts, head_sha=each["event"].commit, status=status)

    def _list_jobs(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        if not 0 < int(found[1]) <= len(self.runs):
            return 404, {"message": "Not Found"}
        known = self.runs[int(found[1]) - 1]["jobs"]
        shown = [self._filled(github.Job, **each) for each in known[: int(query.get("per_page", "30"))]]
        form = github.ReposOwnerRepoActionsRunsRunIdJobsGetResponse200
        return 200, self._filled(form, total_count=len(known), jobs=shown)

    def _token_permissions(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        form = github.ActionsGetDefaultWorkflowPermissions
        rights = "read" if self.set_up else "write"
        return 200, self._filled(
            form, default_workflow_permissions=rights, can_approve_pull_request_reviews=self.set_up
        )

    def _permissions(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        return 200, self._filled(github.ActionsRepositoryPermissions, enabled=True, sha_pinning_required=self.set_up)

    def _environment(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        if not self.set_up:
            return 404, {"message": "Not Found"}
        policy = {"protected_branches": False, "custom_branch_policies": True}
        return 200, self._filled(github.Environment, name=found[1], deployment_branch_policy=policy)

    def _names(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        names = ["RELEASE_KEY"] if self.set_up and found[1] == "environments/release" else []
        moment = datetime.now(UTC).isoformat()
        held = [{"name": name, "created_at": moment, "updated_at": moment} for name in names]
        return 200, {"total_count": len(held), found[2]: held}

    def _code_owners(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        error = {"line": 4, "column": 1, "kind": "Unknown owner", "path": "CODEOWNERS", "message": "Unknown owner"}
        return 200, self._filled(github.CodeownersErrors, errors=[] if self.set_up else [error])

    def _list_rulesets(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        return 200, [self._shown_ruleset(each, with_rules=False) for each in self.rulesets]

    def _show_ruleset(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        return 200, self._shown_ruleset(self.rulesets[int(found[1]) - 1])

    def _create_ruleset(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.rulesets.append({**body, "id": len(self.rulesets) + 1})
        return 201, self._shown_ruleset(self.rulesets[-1])

    def _update_ruleset(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.rulesets[int(found[1]) - 1].update(body)
        return 200, self._shown_ruleset(self.rulesets[int(found[1]) - 1])

    def _shown_ruleset(self, ruleset: dict[str, Any], with_rules: bool = True) -> Any:
        left_out = () if with_rules else ("rules", "conditions", "bypass_actors")
        facts = {name: value for name, value in ruleset.items() if name not in left_out}
        return self._filled(github.RepositoryRuleset, **facts)

    def _status(self, found: re.Match[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.statuses.append({**body, "sha": found[1]})
        return 201, self._filled(github.Status, **body)

    def _pull(self, found: re.Match[str]) -> dict[str, Any]:
        return self.pulls[int(found[1]) - 1]

    def _shown(self, form: type[BaseModel], pull: dict[str, Any]) -> Any:
        facts = {name: pull[name] for name in ("number", "state", "title", "body")}
        merged = datetime.now(UTC).isoformat() if pull.get("merged") else None
        where = f"https://github.com/{REPOSITORY}/pull/{pull['number']}"
        return self._filled(form, **facts, html_url=where, merged_at=merged)

    def _hold(self, form: type[BaseModel], body: Any) -> None:
        try:
            form.model_validate(body)
        except ValueError as error:
            self.wrong.append(str(error))
        known = {field.alias or name for name, field in form.model_fields.items()}
        self.wrong += [f"{form.__name__} has no {name}" for name in body if name not in known]

    def _hold_query(self, operation: Callable[..., Any], query: dict[str, str]) -> None:
        """Hold a query to what githubkit's client for the same operation takes, each value to its type."""
        taken = [each for each in inspect.signature(operation).parameters.values() if each.kind is each.KEYWORD_ONLY]
        known = {each.name.removesuffix("_"): each for each in taken if each.name not in {"headers", "stream"}}
        for name, value in query.items():
            if name not in known:
                self.wrong.append(f"{operation.__name__} takes no {name}")
                continue
            try:
                TypeAdapter(eval(known[name].annotation, vars(actions))).validate_python(value)  # noqa: S307 - of its source
            except ValueError as error:
                self.wrong.append(f"{operation.__name__} {name}: {error}")

    def _filled(self, form: type[BaseModel], **facts: Any) -> Any:
        """A response that has all that GitHub says it has; what does not matter here is filled in."""
        whole = _example(form) | facts
        return json.loads(form.model_validate(whole).model_dump_json(by_alias=True, exclude_unset=True))


def _signed_by(client: str, key: rsa.RSAPublicKey, token: str) -> bool:
    """Whether this is a JSON Web Token of an app that is valid now."""
    try:
        said, _, signature = token.rpartition(".")
        key.verify(_decoded(signature), said.encode(), padding.PKCS1v15(), hashes.SHA256())
        claims = json.loads(_decoded(said.partition(".")[2]))
    except (ValueError, InvalidSignature):
        return False
    return bool(claims["iss"] == client and claims["iat"] <= datetime.now(UTC).timestamp() < claims["exp"])


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _example(form: Any) -> Any:  # noqa: PLR0911 - one for each kind of type
    """Some value of a type, with all that is required."""
    origin = typing.get_origin(form)
    if isinstance(form, type) and issubclass(form, BaseModel):
        fields = form.model_fields.items()
        return {field.alias or name: _example(field.annotation) for name, field in fields if field.is_required()}
    if origin is typing.Annotated:
        return _example(typing.get_args(form)[0])
    if origin is Literal:
        return typing.get_args(form)[0]
    if origin in (typing.Union, types.UnionType):
        choices = typing.get_args(form)
        return None if type(None) in choices else _example(choices[0])
    if origin is list or form is list:
        return []
    if origin is dict or form is dict:
        return {}
    examples = {str: "x", int: 1, float: 1.0, bool: False, datetime: datetime.now(UTC).isoformat(), Any: None}
    return "https://example.org" if form is AnyUrl else examples[form]


def _handler(github_: GitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer_any(self) -> None:
            asked = urlsplit(self.path)
            if asked.path.startswith(f"/{REPOSITORY}.git/") or asked.path.startswith(f"/{REPOSITORY}/"):
                self.serve_git(asked.path, asked.query)
                return
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            query = {name: values[-1] for name, values in parse_qs(asked.query).items()}
            if github_.down:
                code, answer = 503, {"message": "down"}
            elif (by := github_.who(self.headers.get("authorization") or "")) is None:
                code, answer = 401, {"message": "Bad credentials"}
            elif self.headers.get("x-github-api-version") != VERSION:
                code, answer = 400, {"message": "another version is described here"}
            else:
                github_.asking.by = by
                code, answer = github_.answer(self.command, asked.path, query, body)
            content = json.dumps(answer).encode() if code != 204 else b""
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def serve_git(self, path: str, query: str) -> None:
            """Git's own server, for who has the token."""
            by = github_.who(self.headers.get("authorization") or "")
            if by is None or by == APP:
                self.send_response(401)
                self.send_header("www-authenticate", 'Basic realm="GitHub"')
                self.send_header("content-length", "0")
                self.end_headers()
                return
            variables = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(github_.origin.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": by,
                "MAY_PUSH_WORKFLOWS": by if github_.tokens.get(by, {}).get("workflows") == "write" else "",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": f"/{github_.origin.name}{path.removeprefix(f'/{REPOSITORY}').removeprefix('.git')}",
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("content-type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            }
            before = github_.tips()
            done = subprocess.run(
                ["git", "http-backend"], env=variables, input=self._content(), capture_output=True, check=True
            )
            if by in github_.tokens:
                for branch in github_.tips().items() - before.items():
                    github_.pushed(branch[0])
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            lines = [line.partition(": ") for line in head.decode().split("\r\n")]
            status = next((value for name, _, value in lines if name == "Status"), "200 OK")
            self.send_response(int(status.split()[0]))
            for name, _, value in lines:
                if name != "Status":
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _content(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "POST", "PATCH", "PUT"):
        setattr(Handler, f"do_{method}", Handler.answer_any)
    return Handler
