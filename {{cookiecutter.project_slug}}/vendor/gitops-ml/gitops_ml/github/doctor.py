"""Examines whether a repository is set up so that its workflows can work, and says how to mend what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from gitops_ml.core import project, signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.storage import Storage
from gitops_ml.github import credentials
from gitops_ml.github import settings as github
from gitops_ml.github.settings import FaultError
from gitops_ml.host import units
from gitops_ml.promotion import hosts
from gitops_ml.promotion.repository import Repository
from gitops_ml.update import record, signed
from gitops_ml.versions import forge
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import REMOTE


class Finding(BaseModel):
    """One thing that was looked at: whether it is as it must be, and if not, what to do."""

    name: str
    state: Literal["ok", "missing", "unknown"]
    sentence: str


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
    yield _asked("workflows' token", lambda: github.token(hub))
    yield _asked("pinned actions", lambda: github.pinned(hub))
    yield _asked("release environment", lambda: github.release_environment(hub))
    yield _asked("signing secret", lambda: github.signing_secret(hub))
    yield _asked("storage credentials", lambda: github.storage_credentials(hub, kind))
    yield _asked("rulesets", lambda: github.protection(hub, settings))
    yield _asked("code owners", lambda: github.owners(hub))
    yield _asked("template", lambda: _template(root))
    yield _asked("template's updates", lambda: github.updates(hub))


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
