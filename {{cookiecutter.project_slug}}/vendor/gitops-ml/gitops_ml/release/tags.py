"""Finds releases: each is a tag of `origin` that holds the record, its signature and the model card."""

from __future__ import annotations

import hashlib

from gitops_ml.core import environment, record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.git import MAIN, Git

TAG = "release/"


def trusted_keys(git: Git) -> bytes:
    """The public keys that main trusts; what a branch or the working tree says does not count."""
    main = git.tip(MAIN)
    content = git.read(main, signing.PUBLIC) if main else None
    if content is None:
        raise UserError(
            f"{signing.PUBLIC} is missing on {MAIN} of origin, so no release can be trusted; "
            "run `gitops-ml release key`, commit and push"
        )
    return content


def listed(git: Git) -> list[record.Release]:
    """All releases, in the order of their source commits on main, the newest first.

    Raises:
        UserError: a tag holds no whole record.
    """
    main = git.tip(MAIN)
    ages = {commit: age for age, commit in enumerate(git.ancestors(main) if main else [])}
    found = [candidate_of(git, commit).release for commit in git.tags(TAG).values()]
    found.sort(key=lambda release: (release.created, release.release), reverse=True)
    # Those of commits that main does not have any more come last.
    return sorted(found, key=lambda release: ages.get(release.commit, len(ages)))


def find(git: Git, name: str) -> environment.Candidate:
    """The release of a name: the Bento's tag, or the beginning of what stands behind its colon.

    Raises:
        UserError: there is none, or more than one.
    """
    wanted = name.rpartition(":")[2]
    found = {tag: commit for tag, commit in git.tags(TAG).items() if tag.startswith(TAG + wanted)} if wanted else {}
    if not found:
        raise UserError(f"there is no release {name!r}; `gitops-ml release list` lists them")
    if len(found) > 1:
        raise UserError(f"{name!r} may be any of {', '.join(sorted(found))}; give more digits")
    ((tag, commit),) = found.items()
    candidate = candidate_of(git, commit)
    if tag != TAG + candidate.release.short or (":" in name and name != candidate.release.release):
        raise UserError(f"the tag {tag} holds another release, {candidate.release.release}")
    return candidate


def candidate_of(git: Git, commit: str) -> environment.Candidate:
    """The release that a tag's commit, or one of an environment's branch, holds.

    Raises:
        UserError: it has no whole record and card.
    """
    names = (record.FILE, record.SIGNATURE, record.CARD)
    files = dict(zip(names, git.read_all(f"{commit}:{name}" for name in names), strict=True))
    content, card = files[record.FILE], files[record.CARD]
    if content is None or card is None:
        raise UserError(f"{commit[:12]} holds no release: {record.FILE} or {record.CARD} is missing")
    release = record.read(content, commit[:12])
    if hashlib.sha256(card).hexdigest() != release.card:
        raise UserError(f"{record.CARD} on {commit[:12]} was edited: it is not the one that {record.FILE} names")
    return environment.Candidate(release, {name: content for name, content in files.items() if content is not None})
