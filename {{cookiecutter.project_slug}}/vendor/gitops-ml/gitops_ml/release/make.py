"""Makes a release: packages, judges, stores, builds and pushes the image, signs and tags. Once for each commit."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitops_ml.core import progress, project, record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.storage import Storage, digest_of
from gitops_ml.gate import judge
from gitops_ml.host import trial
from gitops_ml.image import attach, build, materials, package, proof
from gitops_ml.release import tags
from gitops_ml.report import card, render
from gitops_ml.versions import lock, requirements
from gitops_ml.versions.git import MAIN, Git, RejectedError
from gitops_serving.version import Version


def make(root: Path, dry_run: bool = False) -> tuple[record.Release, bool]:
    """Release what the working tree has: the model of dvc.lock, packaged, judged and proven. The second value: is it
    new.

    It has an image if the runner of any environment wants one. A dry run builds and pushes none.

    A release is made once. The same commit gives the same Bento, so the second time finds the first one's record.

    Raises:
        UserError: the working tree is not a commit of main, dvc.lock was made of other data, other packages are
            installed than uv.lock names, the storage lacks something, there is no key to sign, or an image is wanted
            and cannot be built, does not pass its trial or is not taken by the registry.
    """
    git = Git(root)
    git.fetch()
    commit = _commit(git)
    lock.require_pointers(root)
    requirements.require_installed(root)

    version = package.package(root)
    if known := _known(git, version.release):
        return known, False
    locked = (root / lock.FILE).read_bytes()
    storage = Storage(root)
    if missing := storage.missing(locked):
        raise UserError(f"the storage lacks what dvc.lock names: {', '.join(missing)}; run `make push`")
    result = judge.judge(root)
    proven = proof.prove(root)
    model_card = render.model_card(card.build(root, proven)).encode()
    content = package.archive(root, version)
    facts: dict[str, Any] = {
        "release": version.release,
        "commit": commit,
        "model": version.model,
        "data": version.data,
        "lock": hashlib.sha256(locked).hexdigest(),
        "evaluation": result.evaluation,
        "image": None,
        "proof": proven,
        "metrics": {name: measured.value for name, measured in result.challenger_metrics.items()},
        "verdict": result.verdict if result.passes or result.verdict == "keep" else f"{result.verdict}, blocked",
        "champion": result.champion,
    }
    if dry_run:
        return _sealed(facts, content, model_card), True
    if project.read(root).needs_image:
        facts["image"] = _pushed(root, version, tags.trusted_keys(git))
    return publish(git, storage, facts, content, model_card)


def publish(
    git: Git, storage: Storage, facts: dict[str, Any], archive: bytes, model_card: bytes
) -> tuple[record.Release, bool]:
    """Store the archive, then write the signed record onto a tag that must be new. The second value: is it."""
    release = _sealed(facts, archive, model_card)
    content = record.write(release)
    files = {
        record.FILE: content,
        record.SIGNATURE: signing.sign(content, tags.trusted_keys(git)),
        record.CARD: model_card,
    }
    storage.put(archive)
    # The source commit is the parent: as long as the release is there, so is its source.
    commit = git.commit(git.write(files), release.commit, f"Release {release.release}\n\nVerdict: {release.verdict}")
    try:
        git.push(commit, f"refs/tags/{tags.TAG}{release.short}")
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

    built = build.build(root, version)
    with progress.doing("trying the image out"):
        for _ in trial.tried(root, built):
            pass
    pushed = built.engine.push(built.tag)
    stated = {attach.MATERIALS: materials.materials(root, built), attach.PROVENANCE: build.provenance(root, built)}
    attach.attach(pushed, stated, trusted)
    return pushed


def _known(git: Git, name: str) -> record.Release | None:
    return tags.find(git, name).release if tags.TAG + name.partition(":")[2] in git.tags(tags.TAG) else None


def _commit(git: Git) -> str:
    """The commit that the working tree is, if it is one of main.

    Raises:
        UserError: it is not.
    """
    if changed := git.said("status", "--porcelain").splitlines():
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
