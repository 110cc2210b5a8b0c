"""The repository's rules on GitHub, as code: who may change which branch, and what must hold before."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from gitops_ml.core.project import Project
from gitops_ml.github import publish, trust
from gitops_ml.versions.forge import CONTEXT, GitHub

# GitHub's own app, as which a workflow's token acts: a status that anybody else posts does not count.
ACTIONS_APP = 15368
# Roles of a repository, by GitHub's numbers.
ADMINISTRATOR = 5

Ruleset = dict[str, Any]


class Change(BaseModel):
    """What is done, or would be, about one ruleset."""

    name: str
    action: Literal["create", "update", "none"]


class _Known(BaseModel):
    id: int
    name: str


def wanted(settings: Project) -> list[Ruleset]:
    """The rulesets that the settings ask for.

    main takes only pull requests that owners of the code approved and CI found ready; where one person works alone,
    whom nobody else can approve, `pull_requests.approvals` of project.yaml is 0, and CI alone decides. An environment's
    branch takes only promotions whose checks hold, with as many approvals as project.yaml says, and nobody rewrites it.
    Releases are never moved or removed. What agents and automation write is theirs alone.
    """
    approvals = settings.pull_requests.approvals
    environments = [
        _ruleset(
            f"environment {each.name}",
            [f"refs/heads/env/{each.name}"],
            [
                {"type": "deletion"},
                {"type": "non_fast_forward"},
                {"type": "required_linear_history"},
                _pull_request(each.approvals, owners=False, methods=["rebase", "squash"]),
                _status(CONTEXT),
            ],
            # `gitops-ml env bootstrap` creates it, and `make promote` merges at once where nobody is to approve.
            bypass=[_administrators()],
        )
        for each in settings.environments
    ]
    return [
        _ruleset(
            "main",
            ["~DEFAULT_BRANCH"],
            [
                {"type": "deletion"},
                {"type": "non_fast_forward"},
                _pull_request(approvals, owners=approvals > 0, methods=["merge", "squash", "rebase"]),
                _status(publish.CONTEXT, trust.CONTEXT),
            ],
            bypass=[],
        ),
        *environments,
        _ruleset(
            "releases",
            ["refs/tags/release/*"],
            [{"type": "deletion"}, {"type": "update"}, {"type": "non_fast_forward"}],
            bypass=[],
            target="tag",
        ),
        _ruleset(
            "never forgotten",
            ["refs/heads/holds", "refs/heads/freezes", "refs/heads/served/*"],
            [{"type": "deletion"}, {"type": "non_fast_forward"}],
            bypass=[],
        ),
        _ruleset(
            "written by machines",
            [
                "refs/heads/holds",
                "refs/heads/freezes",
                "refs/heads/served/*",
                "refs/heads/agents/**/*",
                "refs/heads/health/*",
                "refs/heads/monitor/*",
            ],
            [{"type": "deletion"}, {"type": "creation"}, {"type": "update"}],
            # The workflows, and the agents of hosts by their deploy keys.
            bypass=[_app(), {"actor_id": None, "actor_type": "DeployKey", "bypass_mode": "always"}, _administrators()],
        ),
    ]


def apply(hub: GitHub, settings: Project, *, dry_run: bool) -> list[Change]:
    """Have the repository's rulesets be the wanted ones; those of other names are left alone.

    Raises:
        UserError: GitHub refuses, as it does without the rights of an administrator, or on a plan without rulesets.
    """
    listed = hub.held(list[_Known], "GET", "rulesets", params={"includes_parents": "false"})
    known = {each.name: each.id for each in listed}
    changes = []
    for ruleset in wanted(settings):
        name = ruleset["name"]
        if name not in known:
            action: Literal["create", "update", "none"] = "create"
        else:
            action = "none" if _holds(ruleset, hub.ask("GET", f"rulesets/{known[name]}")) else "update"
        changes.append(Change(name=name, action=action))
        if dry_run or action == "none":
            continue
        method, path = ("POST", "rulesets") if action == "create" else ("PUT", f"rulesets/{known[name]}")
        hub.ask(method, path, ruleset)
    return changes


def _holds(wanted_: Any, found: Any) -> bool:
    """Whether what GitHub has says all that is wanted; GitHub adds defaults of its own."""
    if isinstance(wanted_, dict):
        return isinstance(found, dict) and all(_holds(value, found.get(key)) for key, value in wanted_.items())
    if isinstance(wanted_, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted_)
            and all(any(_holds(each, other) for other in found) for each in wanted_)
        )
    return bool(wanted_ == found)


def _ruleset(
    name: str, refs: list[str], rules: list[dict[str, Any]], *, bypass: list[dict[str, Any]], target: str = "branch"
) -> Ruleset:
    return {
        "name": name,
        "target": target,
        "enforcement": "active",
        "conditions": {"ref_name": {"include": refs, "exclude": []}},
        "bypass_actors": bypass,
        "rules": rules,
    }


def _pull_request(approvals: int, *, owners: bool, methods: list[str]) -> dict[str, Any]:
    return {
        "type": "pull_request",
        "parameters": {
            "required_approving_review_count": approvals,
            "require_code_owner_review": owners,
            "dismiss_stale_reviews_on_push": True,
            "require_last_push_approval": False,
            "required_review_thread_resolution": False,
            "allowed_merge_methods": methods,
        },
    }


def _status(*contexts: str) -> dict[str, Any]:
    return {
        "type": "required_status_checks",
        "parameters": {
            "required_status_checks": [{"context": each, "integration_id": ACTIONS_APP} for each in contexts],
            "strict_required_status_checks_policy": False,
            "do_not_enforce_on_create": True,
        },
    }


def _app() -> dict[str, Any]:
    return {"actor_id": ACTIONS_APP, "actor_type": "Integration", "bypass_mode": "always"}


def _administrators() -> dict[str, Any]:
    return {"actor_id": ADMINISTRATOR, "actor_type": "RepositoryRole", "bypass_mode": "always"}
