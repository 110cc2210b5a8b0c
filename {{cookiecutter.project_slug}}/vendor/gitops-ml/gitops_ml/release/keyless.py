"""A second signature of an image, made by cosign with the identity of the workflow and with no key at all.

Whoever trusts GitHub can so tell which workflow of which repository made an image. Promotions ask for the project's own
signature all the same, which a laptop can make and check too.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from gitops_ml.core import actions, project
from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import run
from gitops_ml.core.record import Image
from gitops_ml.image import attach
from gitops_ml.release import tags
from gitops_ml.versions.git import Git


def sign(root: Path, options: Sequence[str] = ()) -> str:
    """Sign the image of the release of the commit that is checked out, if there is any; returns what was done.

    `options` are further ones of cosign's, such as those that name another Sigstore than the public one.

    Raises:
        UserError: there is no identity here to sign with, no cosign, no release, no image of ours, or Sigstore refuses.
    """
    if not project.read(root).needs_image:
        return "no environment runs images, so there is nothing to sign"
    if actions.identity() is None:
        raise UserError(
            "signing without a key needs a job on GitHub with `permissions: id-token: write`, and this is none; "
            "`gitops-ml release make` has signed with the project's key"
        )
    if not actions.is_public() and not _elsewhere(options):
        return "the repository is not public and its name would stand in a public log, so only the project's key signs"
    image = _image(root)
    if image is None:
        return "the release of this commit has no image, so there is nothing to sign"
    if shutil.which("cosign") is None:
        raise UserError("signing without a key needs cosign; in a workflow sigstore/cosign-installer brings it")
    where = f"{image.name}@{image.digest}"
    try:
        run("cosign", "sign", "--yes", *options, where, cwd=root)
    except UserError as error:
        last = str(error).splitlines()[-1].strip().removeprefix("error during command execution: ")
        raise UserError(f"cosign cannot sign without a key: {last}") from error
    return f"signed {where} as this workflow"


def _elsewhere(options: Sequence[str]) -> bool:
    """Whether nothing gets into the two public logs, that of certificates and that of signatures."""
    said = " ".join(options)
    return (
        "sigstore.dev" not in said
        and "--fulcio-url" in said
        and ("--rekor-url" in said or "--tlog-upload=false" in said)
    )


def _image(root: Path) -> Image | None:
    """Of the release of the commit that is checked out, the image, which our own key has signed."""
    git = Git(root)
    git.fetch()
    commit = git.commit_of("HEAD")
    made = next((each for each in tags.listed(git) if each.commit == commit), None)
    if made is None:
        raise UserError(
            f"there is no release of {str(commit)[:12]} to sign the image of; `gitops-ml release make` makes one"
        )
    if made.image is not None:
        attach.require_signed(made.image, tags.trusted_keys(git))
    return made.image
