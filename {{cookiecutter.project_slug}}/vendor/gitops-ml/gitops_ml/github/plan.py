"""What a change asks of CI: whether anything must be trained and packaged, or why not.

It is asked before anything is installed, so this module and what it imports need nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path

from gitops_ml.core import actions
from gitops_ml.core.errors import UserError
from gitops_ml.versions.git import Git

# What no stage reads and no service holds.
DOCUMENTS = re.compile(r"(.*/)?[^/]+\.(md|rst)|docs/.*|LICENSE|CODEOWNERS|\.github/(CODEOWNERS|ISSUE_TEMPLATE/.*)")


@dataclass(frozen=True)
class Plan:
    """Whether to train and package, the reason, and how many files changed."""

    train: bool
    reason: str
    changed: int


def plan(root: Path, base: str, head: str, source: str | None = None) -> Plan:
    """Look at the files that differ between the commit where `head` left `base`, and `head`.

    `source` is the repository that the change comes from, where that may be a fork. Whatever cannot be compared, such
    as a first push, is trained: DVC computes only what is not known.
    """
    changed = _changed(Git(root), base, head)
    if source is not None and source != actions.repository():
        return Plan(
            train=False,
            changed=len(changed or []),
            reason=f"this comes from {source}, a fork, whose code gets no secrets: it was checked, and nothing was "
            "trained or packaged; a maintainer can push the branch to this repository to have that done",
        )
    if changed is None:
        return Plan(train=True, changed=0, reason="there is nothing to compare with")
    asking = [path for path in changed if not DOCUMENTS.fullmatch(path)]
    if asking:
        return Plan(train=True, changed=len(changed), reason=f"{len(asking)} of {len(changed)} files are no documents")
    return Plan(train=False, changed=len(changed), reason=f"only documents changed ({len(changed)})")


def _changed(git: Git, base: str, head: str) -> list[str] | None:
    """The paths that differ; None if the two commits cannot be compared."""
    older, newer = (git.commit_of(name) or git.tip(name) for name in (base, head))
    if older is None or newer is None:
        return None
    left = git.merge_base(older, newer)
    return git.changed(left, newer) if left else None


def main() -> int:
    """`python -m gitops_ml.github.plan`: say it, and hand it to the jobs that come after."""
    parser = argparse.ArgumentParser(prog="plan", description="Whether a change asks for training, or only for checks.")
    parser.add_argument("--base", default="main", help="the commit or branch that it would be merged into")
    parser.add_argument("--head", default="HEAD", help="the change")
    parser.add_argument("--source", help="OWNER/NAME of the repository that it comes from")
    asked = parser.parse_args()
    try:
        found = plan(Path.cwd(), asked.base, asked.head, asked.source or None)
    except UserError as error:
        parser.exit(1, f"error: {error}\n")
    actions.output("train", json.dumps(found.train))
    said = f"{'train and package' if found.train else 'only checks'}: {found.reason}"
    actions.summarise(said)
    print(said)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
