"""Examines whether a repository is set up so that its workflows can work, and says how to mend what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from gitops_ml.core import project, signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.storage import Storage
from gitops_ml.github import credentials, rulesets
from gitops_ml.host import units
from gitops_ml.promotion import hosts
from gitops_ml.promotion.repository import Repository
from gitops_ml.update import record, signed
from gitops_ml.versions import forge
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import REMOTE

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


class Finding(BaseModel):
    """One thing that was looked at: whether it is as it must be, and if not, what to do."""

    name: str
    state: Literal["ok", "missing", "unknown"]
    sentence: str


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


def examine(root: Path) -> Iterator[Finding]:
    """Look at everything, in the order in which it is set up; nothing is changed."""
    settings = project.read(root)
    origin = _asked("origin", lambda: _origin(root))
    yield origin
    yield _asked("storage", lambda: _storage(root))
    yield _asked("units of systemd here", lambda: _units(root))
    if origin.state != "ok":
        # All else is told by what origin has.
        return
    yield _asked("main", lambda: _main(root))
    yield _asked("signing key", lambda: _key(root))
    yield _asked("template's signature", lambda: _signed(root))
    yield _asked("environments", lambda: _environments(root))
    yield _asked("agent's host", lambda: _host(root))
    try:
        hub = forge.of(Git(root))
    except UserError as error:
        yield Finding(name="GitHub", state="unknown", sentence=str(error))
        return
    if not isinstance(hub, forge.GitHub):
        yield Finding(name="GitHub", state="ok", sentence="origin is no GitHub; promotions are branches there")
        return
    kind = credentials.kind_of(root)
    yield _asked("workflows' token", lambda: _token(hub))
    yield _asked("pinned actions", lambda: _pinned(hub))
    yield _asked("release environment", lambda: _release_environment(hub))
    yield _asked("signing secret", lambda: _signing_secret(hub))
    yield _asked("storage credentials", lambda: _credentials(hub, kind))
    yield _asked("rulesets", lambda: _rulesets(hub, settings))
    yield _asked("code owners", lambda: _owners(hub))
    yield _asked("template", lambda: _template(root))
    yield _asked("template's updates", lambda: _updates(hub))


def _asked(name: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, state="ok", sentence=question())
    except FaultError as error:
        return Finding(name=name, state="missing", sentence=str(error))
    except UserError as error:
        return Finding(name=name, state="unknown", sentence=str(error))


def _origin(root: Path) -> str:
    git = Git(root)
    try:
        git.require_origin()
    except UserError as error:
        raise FaultError(str(error)) from error
    return f"origin is {git.said('remote', 'get-url', REMOTE)}"


def _main(root: Path) -> str:
    git = Git(root)
    git.fetch()
    if git.tip(MAIN) is None:
        raise FaultError(f"origin has no branch {MAIN}: `git push -u origin {MAIN}`")
    return f"origin has {MAIN}"


def _key(root: Path) -> str:
    git = Git(root)
    main = git.tip(MAIN)
    if main is None or git.read(main, signing.PUBLIC) is None:
        raise FaultError(f"{signing.PUBLIC} is not on {MAIN}: `gitops-ml release key`, commit, push")
    return f"{signing.PUBLIC} is on {MAIN}"


def _signed(root: Path) -> str:
    git = Git(root)
    if (main := git.tip(MAIN)) is None:
        raise FaultError(f"origin has no branch {MAIN}")
    holds, said = signed.vendored(git, main)
    if not holds:
        raise FaultError(said)
    return said


def _storage(root: Path) -> str:
    kind, url = credentials.kind_of(root), Storage.url(root)
    if kind == "folder" and isinstance(_forge(root), forge.GitHub):
        raise FaultError(
            f"the storage is the folder {url}, which GitHub's machines lack: change it to s3://, gs://, azure:// "
            "or ssh:// in .dvc/config and `make setup push`, or run the workflows on a machine of your own that has it"
        )
    return f"the storage is {url}"


def _forge(root: Path) -> forge.Forge | None:
    """None if it cannot be told, as without a token."""
    try:
        return forge.of(Git(root))
    except UserError:
        return None


def _environments(root: Path) -> str:
    repository = Repository.opened(root)
    for each in repository.policy.environments:
        if repository.git.tip(f"env/{each.name}") is None:
            raise FaultError(f"env/{each.name} does not exist: `gitops-ml env bootstrap`")
    return f"{', '.join(f'env/{each.name}' for each in repository.policy.environments)} exist"


def _units(root: Path) -> str:
    found = units.installed(root)
    if faults := [f"{path} {fault}" for path, fault in found.items() if fault]:
        raise FaultError(f"{'; '.join(faults)}; deploy/agents/model@.service shows how; then `systemctl daemon-reload`")
    return f"{len(found)} are of this clone, as they should be" if found else "none is of this clone"


def _host(root: Path) -> str:
    repository = Repository.opened(root)
    found = {each.name: list(hosts.lacking(repository, each)) for each in hosts.here(repository)}
    if faults := [f"an agent of {name} cannot work here: {'; '.join(each)}" for name, each in found.items() if each]:
        raise FaultError("; ".join(faults))
    return f"this machine has what an agent of {' and '.join(found)} needs" if found else "no agent is at work here"


def _token(hub: forge.GitHub) -> str:
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


def _pinned(hub: forge.GitHub) -> str:
    if not hub.held(_Actions, "GET", "actions/permissions").sha_pinning_required:
        raise FaultError(
            "actions need not be pinned to a commit: Settings, Actions, General, require actions to be pinned to a "
            "full-length commit SHA"
        )
    return "every action must be pinned to a commit"


def _release_environment(hub: forge.GitHub) -> str:
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


def _signing_secret(hub: forge.GitHub) -> str:
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


def _credentials(hub: forge.GitHub, kind: str) -> str:
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


def _rulesets(hub: forge.GitHub, settings: project.Project) -> str:
    changes = rulesets.apply(hub, settings, dry_run=True)
    if differing := [change.name for change in changes if change.action != "none"]:
        raise FaultError(f"{', '.join(differing)} are not as project.yaml asks: `gitops-ml repo protect --apply`")
    return f"{len(changes)} rulesets are as project.yaml asks"


def _owners(hub: forge.GitHub) -> str:
    if errors := hub.held(_Owners, "GET", "codeowners/errors").errors:
        raise FaultError(f"CODEOWNERS, line {errors[0].line}: {errors[0].kind}; name people or teams that exist")
    return "CODEOWNERS names people or teams that exist"


def _template(root: Path) -> str:
    git = Git(root)
    main = git.tip(MAIN)
    known = record.read(git, main) if main else None
    source = known.template if known else ""
    if not source:
        raise FaultError(
            f"nothing says where the template is, so the workflow `update` fails: `make update OPTIONS='--from URL'` "
            f"notes it in {record.FILE}"
        )
    if "://" not in source and "@" not in source:
        raise FaultError(
            f"the template is the folder {source}, which GitHub's machines lack, so the workflow `update` fails: put "
            f"its URL into {record.FILE}"
        )
    return f"the template is {source}"


def _updates(hub: forge.GitHub) -> str:
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
