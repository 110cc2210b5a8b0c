"""Finds releases: each is a tag of `origin` that holds the record, its signature and the model card."""

from __future__ import annotations

import hashlib
import re

from gitops_ml.core import record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.versions import environment
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import DamagedError

TAG = "release/"
OURS = re.compile(r"release/[0-9a-f]{16}")


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
    """All releases, in the order of their source commits on main, the newest first; see `foreign` for what is none."""
    main = git.tip(MAIN)
    ages = {commit: age for age, commit in enumerate(git.ancestors(main) if main else [])}
    found = [each for each in _all(git).values() if isinstance(each, record.Release)]
    found.sort(key=lambda release: (release.created, release.release), reverse=True)
    # Those of commits that main does not have any more come last.
    return sorted(found, key=lambda release: ages.get(release.commit, len(ages)))


def foreign(git: Git) -> dict[str, str]:
    """Tags that hold no release, or none that can be read here, and why; nothing that serves depends on them."""
    return {tag: why for tag, why in _all(git).items() if isinstance(why, str)}


def find(git: Git, name: str) -> environment.Candidate:
    """The release of a name: the Bento's tag, or the beginning of what stands behind its colon.

    Raises:
        UserError: there is none, or more than one, or it cannot be read.
    """
    project, _, wanted = name.rpartition(":")
    ours = {tag: commit for tag, commit in git.tags(TAG).items() if OURS.fullmatch(tag)}
    found = {tag: commit for tag, commit in ours.items() if tag.startswith(TAG + wanted)} if wanted else {}
    if len(found) > 1:
        raise UserError(f"{name!r} may be any of {', '.join(sorted(found))}; give more digits")
    for tag, commit in found.items():
        candidate = candidate_of(git, commit)
        if tag != TAG + candidate.release.short:
            raise UserError(f"the tag {tag} holds another release, {candidate.release.release}")
        if project in ("", candidate.release.release.partition(":")[0]):
            return candidate
    raise UserError(f"there is no release {name!r}; `gitops-ml release list` lists them")


def _all(git: Git) -> dict[str, record.Release | str]:
    """The release of each tag, or why it is none."""
    found: dict[str, record.Release | str] = {}
    for tag, commit in git.tags(TAG).items():
        if not OURS.fullmatch(tag):
            found[tag] = "no release has such a name"
            continue
        try:
            release = candidate_of(git, commit).release
        except DamagedError:
            raise
        except UserError as error:
            found[tag] = str(error)
        else:
            found[tag] = release if tag == TAG + release.short else f"it holds another release, {release.release}"
    return found


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
