"""Makes releases, and finds them: each is a tag of `origin` that holds the record, its signature and the model card."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ci import environment, project, record, signing
from ci.errors import UserError
from ci.git import Git, RejectedError
from ci.run import run
from ci.storage import Storage, digest_of
from service.version import Version

TAG = "release/"
MAIN = "main"


def make(root: Path, dry_run: bool = False) -> tuple[record.Release, bool]:
    """Release what the working tree has: the model of dvc.lock, packaged and judged. The second value: is it new.

    It has an image if the runner of any environment wants one. A dry run builds and pushes none.

    A release is made once. The same commit gives the same Bento, so the second time finds the first one's record.

    Raises:
        UserError: the working tree is not a commit of main, the storage lacks something, there is no key to sign,
            or an image is wanted and cannot be built, does not pass its trial or is not taken by the registry.
    """
    git = Git(root)
    git.fetch()
    commit = _commit(git)
    from ci import card, judge, package, render  # noqa: PLC0415 - slow to import, and the sentences above come first

    version = package.package(root)
    if known := _known(git, version.release):
        return known, False
    lock = (root / "dvc.lock").read_bytes()
    storage = Storage(root)
    if missing := storage.missing(lock):
        raise UserError(f"the storage lacks what dvc.lock names: {', '.join(missing)}; run `make push`")
    result = judge.judge(root)
    model_card = render.model_card(card.build(root)).encode()
    content = package.archive(root, version)
    facts: dict[str, Any] = {
        "release": version.release,
        "commit": commit,
        "model": version.model,
        "data": version.data,
        "lock": hashlib.sha256(lock).hexdigest(),
        "evaluation": result.evaluation,
        "image": None,
        "metrics": {name: measured.value for name, measured in result.challenger_metrics.items()},
        "verdict": result.verdict if result.passes or result.verdict == "keep" else f"{result.verdict}, blocked",
        "champion": result.champion,
    }
    if dry_run:
        return _sealed(facts, content, model_card), True
    if project.read(root).needs_image:
        facts["image"] = _pushed(root, version, trusted_keys(git))
    return publish(git, storage, facts, content, model_card)


def publish(
    git: Git, storage: Storage, facts: dict[str, Any], archive: bytes, model_card: bytes
) -> tuple[record.Release, bool]:
    """Store the archive, then write the signed record onto a tag that must be new. The second value: is it."""
    release = _sealed(facts, archive, model_card)
    content = record.write(release)
    files = {
        record.FILE: content,
        record.SIGNATURE: signing.sign(content, trusted_keys(git)),
        record.CARD: model_card,
    }
    storage.put(archive)
    # The source commit is the parent: as long as the release is there, so is its source.
    commit = git.commit(git.write(files), release.commit, f"Release {release.release}\n\nVerdict: {release.verdict}")
    try:
        git.push(commit, f"refs/tags/{TAG}{release.short}")
    except RejectedError:
        # Somebody released the same at the same time, and theirs counts.
        git.fetch()
        if known := _known(git, release.release):
            return known, False
        raise
    return release, True


def _sealed(facts: dict[str, Any], archive: bytes, model_card: bytes) -> record.Release:
    return record.seal(
        **facts,
        bento=record.Bento(digest=digest_of(archive), bytes=len(archive)),
        card=hashlib.sha256(model_card).hexdigest(),
        created=datetime.now(UTC).replace(microsecond=0),
    )


def _pushed(root: Path, version: Version, trusted: bytes) -> record.Image:
    """Build the image, try out the very one, push and sign it; nothing is built again after this."""
    from ci import attach, image, materials, trial  # noqa: PLC0415 - releases without an image need not wait for them

    built = image.build(root, version)
    for _ in trial.tried(root, built):
        pass
    pushed = built.engine.push(built.tag)
    stated = {attach.MATERIALS: materials.materials(root, built), attach.PROVENANCE: image.provenance(root, built)}
    attach.attach(pushed, stated, trusted)
    return pushed


def trusted_keys(git: Git) -> bytes:
    """The public keys that main trusts; what a branch or the working tree says does not count."""
    main = git.tip(MAIN)
    content = git.read(main, signing.PUBLIC) if main else None
    if content is None:
        raise UserError(
            f"{signing.PUBLIC} is missing on {MAIN} of origin, so no release can be trusted; "
            "run `make key`, commit and push"
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
        raise UserError(f"there is no release {name!r}; `make releases` lists them")
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


def _known(git: Git, name: str) -> record.Release | None:
    return find(git, name).release if TAG + name.partition(":")[2] in git.tags(TAG) else None


def _commit(git: Git) -> str:
    """The commit that the working tree is, if it is one of main.

    Raises:
        UserError: it is not.
    """
    if changed := run("git", "status", "--porcelain", cwd=git.root).splitlines():
        raise UserError(
            f"a release is made of a commit, and {len(changed)} files are not as committed, such as "
            f"{changed[0][3:]}; commit them or put them away"
        )
    commit, main = git.commit_of("HEAD"), git.tip(MAIN)
    if commit is None:
        raise UserError("a release is made of a commit, and there is none yet; run `make init`")
    if main is None or not git.is_ancestor(commit, main):
        raise UserError(
            f"a release is made of a commit of {MAIN}, and {commit[:12]} is not on origin's; merge or push it"
        )
    return commit
