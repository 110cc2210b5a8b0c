"""What the branch of an environment holds: the whole tree is a function of release, source commit and environment."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from gitops_ml.core import record
from gitops_ml.core.errors import UserError
from gitops_ml.versions.git import Git
from gitops_ml.versions.revision import Revision

PREFIX = "env/"
STATE = "state"
SOURCE = "deploy"
# The workflow that a push to the branch starts. It has no facts: GitHub lets a workflow's token push only one that main
# has too, to the byte.
WORKFLOW = ".github/workflows/deploy.yml"
# Files of the source commit and where they stand on the branch. Those of the next two need an image.
COPIED = {f"{SOURCE}/branch/README.md": "README.md", WORKFLOW: WORKFLOW}
COPIED_WITH_IMAGE = {
    f"{SOURCE}/compose.yaml": "compose.yaml",
    f"{SOURCE}/branch/kustomization.yaml": "kubernetes/kustomization.yaml",
}
FOLDERS_WITH_IMAGE = (f"{SOURCE}/base", f"{SOURCE}/overlays/{{environment}}")
FACT = re.compile(rb"@([a-z]+)@")
# What a commit on the branch, or proposed for it, says that it does. Version 0.1 said it in the title alone.
Action = Literal["promote", "roll back"]
STATED = re.compile(r"^(Action: promote$|Action: roll back$|Promote \S+:[0-9a-f]{16}\b|Roll back to \S+)", re.MULTILINE)
EMPTY = "# Environment {name}\n\nNothing was promoted to it yet. Machines write this branch; do not edit it by hand.\n"


@dataclass(frozen=True)
class Candidate:
    """A release as its tag holds it: the record, and the exact bytes of the three files."""

    release: record.Release
    files: Mapping[str, bytes]


class _Own(BaseModel):
    name: str
    image: record.ImageName | None = None


class _Environments(BaseModel):
    """What rendering needs of project.yaml, which may have had another form in an old commit."""

    environments: list[_Own] = []


def branch(name: str) -> str:
    """The branch of an environment."""
    return PREFIX + name


def empty(name: str) -> dict[str, bytes]:
    """The tree of an environment that never had a release."""
    return _with_state({"README.md": EMPTY.format(name=name).encode()})


def render(git: Git, candidate: Candidate, name: str) -> dict[str, bytes]:
    """The whole tree of the branch that has a release serve in an environment, byte by byte.

    Nothing but the arguments and the source commit decides, so whoever renders again gets the same bytes: the files of
    the source commit's deploy/ with each `@fact@` replaced, the workflow, the record, its signature and the model card.

    Raises:
        UserError: the source commit is not here, or its deploy/ has no such environment.
    """
    release = candidate.release
    if git.commit_of(release.commit) is None:
        raise UserError(f"the source commit {release.commit[:12]} of {release.release} is not in this repository")
    facts = _facts(release, name, image(git, release, name))
    sources = _sources(git, release, name)
    files = {
        target: content if target == WORKFLOW else _replaced(content, facts) for target, content in sources.items()
    }
    files |= dict(candidate.files)
    return _with_state(files)


def image(git: Git, release: record.Release, name: str) -> record.Image | None:
    """The image as which a release serves in an environment, by the digest that it was tried out and signed under.

    It is in the environment's own repository, if project.yaml of the source commit gives it one.

    Raises:
        UserError: that file is missing or wrong.
    """
    if release.image is None:
        return None
    settings = Revision(git.root, release.commit).settings("project.yaml", _Environments)
    own = next((each.image for each in settings.environments if each.name == name), None)
    return release.image.model_copy(update={"name": own}) if own else release.image


def is_empty(git: Git, commit: str) -> bool:
    """Whether a commit of an environment's branch is as the first one, before any promotion."""
    return git.read(commit, record.FILE) is None and bool(whole(git, [git.tree(commit)]))


def whole(git: Git, trees: Iterable[str]) -> set[str]:
    """Those of the trees of an environment's branch that are as a machine wrote them, as far as their state tells."""
    files = {tree: git.objects(tree) for tree in set(trees)}
    names = sorted({name for each in files.values() for name in each.values()})
    contents = {name: content or b"" for name, content in zip(names, git.read_all(names), strict=True)}
    found = {tree: {path: contents[name] for path, name in each.items()} for tree, each in files.items()}
    return {tree for tree, each in found.items() if each == _with_state(each)}


def serving(git: Git, commit: str) -> record.Release | None:
    """The release that a commit on an environment's branch names; None if none was ever promoted.

    Raises:
        UserError: the commit has a record that cannot be trusted, or neither record nor the mark of an empty branch.
    """
    if is_empty(git, commit):
        return None
    content = git.read(commit, record.FILE)
    if content is None:
        raise UserError(f"{commit[:12]} has no {record.FILE}: what serves there is not known")
    return record.read(content, commit[:12])


def action(git: Git, commit: str) -> Action | None:
    """What a commit says that it does; None if it says nothing, as one that was made by hand.

    Who merges by hand may leave the words to the commit that is merged.
    """
    tree = git.tree(commit)
    for each in (commit, *(each for each in git.parents(commit)[1:] if git.tree(each) == tree)):
        if found := stated(git.message(each)):
            return found
    return None


def stated(message: str) -> Action | None:
    """What the message of a commit says that it does; None if it says nothing."""
    found = STATED.search(message)
    return None if found is None else "roll back" if "oll back" in found[0] else "promote"


def _sources(git: Git, release: record.Release, name: str) -> dict[str, bytes]:
    targets = dict(COPIED)
    if release.image is not None:
        targets |= COPIED_WITH_IMAGE
        for folder in (each.format(environment=name) for each in FOLDERS_WITH_IMAGE):
            found = git.paths(release.commit, folder)
            if not found:
                raise UserError(f"{folder} is missing in {release.commit[:12]}, so {name} cannot be rendered")
            targets |= {path: f"kubernetes/{path.removeprefix(f'{SOURCE}/')}" for path in found}
    contents = git.read_all(f"{release.commit}:{path}" for path in targets)
    rendered = {}
    for (path, target), content in zip(targets.items(), contents, strict=True):
        if content is None:
            raise UserError(f"{path} is missing in {release.commit[:12]}, so {name} cannot be rendered")
        rendered[target] = content
    return rendered


def _facts(release: record.Release, name: str, image: record.Image | None) -> dict[str, str]:
    project, _, short = release.release.partition(":")
    return {
        "environment": name,
        "project": project,
        "release": release.release,
        "short": short,
        "commit": release.commit,
        "model": release.model,
        "data": release.data,
        "verdict": release.verdict,
        "tier": release.tier,
        "created": release.created.isoformat(),
        "metrics": "\n".join(f"| {metric} | {value:.4f} |" for metric, value in sorted(release.metrics.items())),
        "image": image.name if image else "",
        "digest": image.digest if image else "",
    }


def _replaced(content: bytes, facts: Mapping[str, str]) -> bytes:
    return FACT.sub(lambda found: facts.get(found[1].decode(), found[0].decode()).encode(), content)


def _with_state(files: dict[str, bytes]) -> dict[str, bytes]:
    """Add one line that is another one for any other content.

    Two promotions from the same base then always conflict in it, and Git can never merge them into a mixture.
    """
    whole = hashlib.sha256()
    others = {path: content for path, content in files.items() if path != STATE}
    for path, content in sorted(others.items()):
        whole.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return others | {STATE: f"{whole.hexdigest()}\n".encode()}
