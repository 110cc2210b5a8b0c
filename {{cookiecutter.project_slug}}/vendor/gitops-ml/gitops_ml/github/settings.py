"""The settings of a repository on GitHub: each function says how one is, or raises what to do about it."""

from __future__ import annotations

from pydantic import BaseModel

from gitops_ml.core import project, signing
from gitops_ml.core.errors import UserError
from gitops_ml.github import credentials, rulesets
from gitops_ml.versions import forge
from gitops_ml.versions.git import MAIN

ENVIRONMENT = "release"
# Where the app is told of that opens updates' pull requests; the workflow `update` says the same.
UPDATES, APP = "update", "UPDATE_APP"
SET_APP = (
    f"`gh variable set {APP} --env {UPDATES} --body CLIENT_ID` and `gh secret set {APP}_KEY --env {UPDATES} < KEY.pem`"
)
WITHOUT_APP = (
    "the workflow `update` says in an issue when there is a newer version. For a pull request instead: Settings, "
    "Developer settings, New GitHub App, with write access to contents, pull requests and workflows, and installed on "
    f"this repository alone; an environment {UPDATES!r} limited to {MAIN}; {SET_APP}"
)


class _Token(BaseModel):
    can_approve_pull_request_reviews: bool
    default_workflow_permissions: str


class _Actions(BaseModel):
    enabled: bool
    sha_pinning_required: bool = False


class _Environment(BaseModel):
    name: str
    deployment_branch_policy: dict[str, bool] | None = None


class _Error(BaseModel):
    line: int
    kind: str


class _Owners(BaseModel):
    errors: list[_Error]


class _Name(BaseModel):
    name: str


class _Named(BaseModel):
    total_count: int
    secrets: list[_Name] = []
    variables: list[_Name] = []


class FaultError(UserError):
    """Something is not as it must be; the message says what to do."""


def token(hub: forge.GitHub) -> str:
    """What a workflow's token may do."""
    found = hub.held(_Token, "GET", "actions/permissions/workflow")
    if not found.can_approve_pull_request_reviews:
        raise FaultError(
            "workflows may not open pull requests: Settings, Actions, General, "
            "allow GitHub Actions to create and approve pull requests"
        )
    if found.default_workflow_permissions != "read":
        raise FaultError(
            "a workflow's token may write by default: Settings, Actions, General, read repository contents"
        )
    return "a workflow's token reads by default, and jobs that say so may open pull requests"


def pinned(hub: forge.GitHub) -> str:
    """Whether actions must be pinned."""
    if not hub.held(_Actions, "GET", "actions/permissions").sha_pinning_required:
        raise FaultError(
            "actions need not be pinned to a commit: Settings, Actions, General, require actions to be pinned to a "
            "full-length commit SHA"
        )
    return "every action must be pinned to a commit"


def release_environment(hub: forge.GitHub) -> str:
    """The environment that keeps the signing key."""
    where = "Settings, Environments"
    try:
        found = hub.held(_Environment, "GET", f"environments/{ENVIRONMENT}")
    except forge.RefusedError as error:
        if error.status == 404:
            raise FaultError(
                f"there is no environment {ENVIRONMENT!r} to keep the signing key in: {where}, New environment, and "
                f"limit it to the branch {MAIN}"
            ) from error
        raise
    if not found.deployment_branch_policy:
        raise FaultError(
            f"any branch may use the environment {ENVIRONMENT!r}, and so its key: {where}, limit it to {MAIN}"
        )
    return f"the environment {ENVIRONMENT!r} is limited to certain branches"


def signing_secret(hub: forge.GitHub) -> str:
    """The signing key."""
    if signing.VARIABLE in _names(hub, "actions/secrets"):
        raise FaultError(
            f"the secret {signing.VARIABLE} is the whole repository's, so any branch can sign releases: remove it and "
            f"set it in the environment {ENVIRONMENT!r}"
        )
    if signing.VARIABLE not in _names(hub, f"environments/{ENVIRONMENT}/secrets"):
        raise FaultError(
            f"releases cannot be signed: `gh secret set {signing.VARIABLE} --env {ENVIRONMENT} < KEY.pem`; "
            "`gitops-ml release key` told where the private half lies"
        )
    return f"{signing.VARIABLE} is a secret of the environment {ENVIRONMENT!r}"


def storage_credentials(hub: forge.GitHub, kind: str) -> str:
    """What workflows reach the storage with."""
    if kind == "folder":
        return "the storage is a folder and needs none"
    if credentials.SECRET in _names(hub, "actions/secrets"):
        return f"the secret {credentials.SECRET} is set"
    needed = credentials.needs(kind)
    missing = sorted(set(needed) - set(_names(hub, "actions/variables")))
    if not needed:
        raise FaultError(
            f"workflows cannot reach {kind}://: `gh secret set {credentials.SECRET} < .dvc/config.local`, with an "
            "account that reads and adds, and deletes nothing"
        )
    if missing:
        raise FaultError(
            f"workflows cannot reach {kind}://: `gh variable set` {', '.join(missing)}, of a role that trusts this "
            "repository's OIDC tokens, reads and adds, and deletes nothing; docs/platform-engineers.md says which"
        )
    return f"{', '.join(needed)} are set: workflows reach the storage by OIDC"


def protection(hub: forge.GitHub, settings: project.Project) -> str:
    """The rulesets, beside what project.yaml asks."""
    changes = rulesets.apply(hub, settings, dry_run=True)
    if differing := [change.name for change in changes if change.action != "none"]:
        raise FaultError(f"{', '.join(differing)} are not as project.yaml asks: `gitops-ml repo protect --apply`")
    return f"{len(changes)} rulesets are as project.yaml asks"


def owners(hub: forge.GitHub) -> str:
    """The people and teams in CODEOWNERS."""
    if errors := hub.held(_Owners, "GET", "codeowners/errors").errors:
        raise FaultError(f"CODEOWNERS, line {errors[0].line}: {errors[0].kind}; name people or teams that exist")
    return "CODEOWNERS names people or teams that exist"


def updates(hub: forge.GitHub) -> str:
    """The app that opens the pull requests of updates."""
    variable, secret, where = APP, f"{APP}_KEY", f"environments/{UPDATES}"
    try:
        found = hub.held(_Environment, "GET", where)
        variables, secrets = (_names(hub, f"{where}/{kind}") for kind in ("variables", "secrets"))
    except forge.RefusedError as error:
        if error.status != 404:
            raise
        return WITHOUT_APP
    if variable not in variables and secret not in secrets:
        return WITHOUT_APP
    if variable not in variables or secret not in secrets:
        raise FaultError(f"the app that opens updates has only one of {variable} and {secret}: {SET_APP}")
    if not found.deployment_branch_policy:
        raise FaultError(
            f"any branch may use the environment {UPDATES!r}, and so an app that pushes workflows: Settings, "
            f"Environments, limit it to {MAIN}"
        )
    return "an app opens the pull requests of the template's newer versions"


def _names(hub: forge.GitHub, path: str) -> list[str]:
    found = hub.held(_Named, "GET", path, params={"per_page": "30"})
    return [each.name for each in [*found.secrets, *found.variables]]
