"""Updates a project: one branch on main's tip, one pull request, and nothing of it in anybody's working tree.

The template's bakes are kept as commits of the branch `template`, which only machines write. All work is done in
`build/update`; nothing is pushed before all of it is there. So whatever ends it leaves everything as it was, and the
next run begins anew, or goes on from what people have pushed to the update's branch.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run
from gitops_ml.update import (
    bakes,
    checks,
    merge,
    origin,
    owned,
    packages,
    people,
    proposal,
    record,
    settings,
    signed,
    template,
    words,
)
from gitops_ml.update.bakes import BAKED, BRANCH, Bake
from gitops_ml.update.checks import Check
from gitops_ml.update.people import SUBJECT
from gitops_ml.update.proposal import Proposal, Updating
from gitops_ml.versions import forge
from gitops_ml.versions.checkout import beside
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import REMOTE

PLACE = Path("build") / "update"
# What is to be proposed: made by `prepare`, pushed by whoever may.
KEPT = PLACE / "proposal"


class Wish(BaseModel):
    """What the person said.

    Attributes:
        to: a version; the newest by default.
        source: where the template is, if not where the record says.
        recorded: the version that the project was made from, if nothing says so.
        answers: those that the files do not tell.
        key: a file with the template's public keys, in place of those that main has.
        unsigned: whether to go on with a version that none of the keys signed.
        check: whether to install, check and test.
        train: whether to run the pipeline and the gate, too.
    """

    to: str | None = None
    source: str | None = None
    recorded: str | None = None
    answers: dict[str, str] = {}
    key: Path | None = None
    unsigned: bool = False
    check: bool = True
    train: bool = True


def update(root: Path, wish: Wish, told: Callable[[str], object] = lambda step: None) -> Updating:
    """Propose the template's newer version on top of main.

    Args:
        root: a clone; only what main says counts.
        wish: what the person said.
        told: is told of each step.

    Raises:
        UserError: something is missing or does not fit; nothing was pushed then.
    """
    git = Git(root)
    # Before an hour's work: is there a token?
    hub = forge.of(git)
    made = prepare(root, wish, told)
    done = made.outcome
    if done.state != "up to date":
        told("pull request")
        done = proposal.propose(git, hub, made, root / KEPT)
    # With the packages that were installed to check it.
    shutil.rmtree(root / PLACE)
    return done


def prepare(root: Path, wish: Wish, told: Callable[[str], object] = lambda step: None) -> Proposal:
    """Work out the template's newer version on top of main, and keep it in `build/update/proposal`; nothing is pushed.

    Raises:
        UserError: something is missing or does not fit.
    """
    git = Git(root)
    git.fetch()
    main = git.tip(MAIN)
    if main is None:
        raise UserError(f"{REMOTE} has no branch {MAIN}: `git push -u {REMOTE} {MAIN}`")
    known = record.read(git, main)
    trusted = signed.trust(git, main, wish.key and root / wish.key, unsigned=wish.unsigned, known=known)
    told("template")
    checkout, source = beside(root, PLACE, main), _source(root, known, wish)
    copy, here = Git(checkout), template.Template(source, checkout.parent / "template.git", trusted)
    target = here.named(wish.to) if wish.to else here.newest()
    verified = here.verified(target)
    old = _old(copy, main, here, known, wish)
    if target.number < old.version.number:
        raise UserError(f"{source} has version {target.name}, and this project has {old.version.name} already")
    new = bakes.made(copy, here, target, old.record, checkout.parent / "new")
    if known is not None and new.record.bake == known.bake and new.record.signed in ("", known.signed):
        current = Updating(state="up to date", old=old.version.name, new=target.name, verified=verified)
        return proposal.keep(copy, Proposal(outcome=current), main, root / KEPT)
    new = Bake(target, new.record.model_copy(update={"template": _kept(known, source)}), new.tree)
    branch = f"{proposal.BRANCHES}{target.name}"
    theirs = people.of(git, branch)
    if theirs is None:
        told("merge")
        merged = merge.merge(checkout, old.tree, new.tree)
        _write(copy, checkout, main, old, new)
        parent = main
    else:
        copy.said("checkout", "--quiet", "--detach", theirs)
        merged = merge.Merged(conflicts=merge.marked(copy, theirs))
        parent = theirs
    done = [] if merged.conflicts else _tried(root, copy, new, wish, told)
    commit = _committed(copy, parent, old, new)
    skipped = (
        "" if wish.check and wish.train else "Not everything was tried here; the workflows of the pull request do."
    )
    changes = here.changes(old.version, target)
    heading = words.heading(old.version.name, target.name, verified)
    failed = any(not check.holds for check in done)
    outcome = Updating(
        state="conflicts" if merged.conflicts else "failed" if failed else "open",
        old=old.version.name,
        new=target.name,
        branch=branch,
        commit=commit,
        verified=verified,
        conflicts=[each.path for each in merged.conflicts],
        deleted=merged.deleted,
        replaced=merged.replaced,
        checks=done,
    )
    made = Proposal(
        outcome=outcome,
        title=f"{SUBJECT}{target.name}",
        body=words.body(heading, changes, merged, done, skipped if not merged.conflicts else ""),
        musts=words.musts(changes),
        baked=_branch_of_bakes(git, copy, old, new),
        before=git.tip(branch),
    )
    return proposal.keep(copy, made, main, root / KEPT)


def _tried(root: Path, copy: Git, new: Bake, wish: Wish, told: Callable[[str], object]) -> list[Check]:
    """Lock what must be locked anew, and try what is to be tried; its results are in the index then."""
    checkout = copy.root
    ours, baked = (copy.said("show", f"{place}:{merge.PACKAGES}") for place in ("", new.tree))
    relock = packages.differ(ours, baked)
    if not wish.check:
        done = checks.lock(checkout, told) if relock else []
        copy.said("add", "--update")
        return done
    done = checks.look(checkout, _cache(root), relock, wish.train, told)
    copy.said("add", "--update")
    if (checkout / "dvc.lock").exists():
        copy.said("add", "dvc.lock")
    if wish.train and all(check.holds for check in done if check.name != "gate"):
        checks.store(checkout)
    return done


def _cache(root: Path) -> Path:
    return Path(run(*DVC, "cache", "dir", cwd=root))


def _source(root: Path, known: record.Record | None, wish: Wish) -> str:
    source = wish.source or (known.template if known else "")
    if not source:
        raise UserError("nothing says where the template is; name a clone or a URL of it with --from")
    return str((root / source).resolve()) if (root / source).is_dir() else source


def _kept(known: record.Record | None, source: str) -> str:
    """What the record says from now on, without a password; this time's source counts only if none was known."""
    return re.sub(r"^(https?://)[^/@]*@", r"\1", known.template if known and known.template else source)


def _old(git: Git, main: str, here: template.Template, known: record.Record | None, wish: Wish) -> Bake:
    """The bake that main was made from."""
    into = git.root.parent / "old"
    if known is None:
        given = record.answers_of(git, main) | wish.answers
        if wish.recorded:
            # A person says it, in place of the record.
            here.made_from(here.named(wish.recorded))
        return origin.stated(git, main, here, into, version=wish.recorded, answers=given)
    return origin.recorded(git, here, known, wish.recorded, into)


def _write(git: Git, checkout: Path, main: str, old: Bake, new: Bake) -> None:
    """Migrate the settings, and note what the project is made from now."""
    text = (git.read(main, settings.FILE) or b"").decode()
    baked = (git.read(new.tree, settings.FILE) or b"").decode()
    (checkout / settings.FILE).write_text(settings.migrated(text, baked, old.version.number, new.version.number))
    (checkout / record.FILE).write_bytes(new.record.written)
    git.said("add", "--force", "--", settings.FILE, record.FILE)
    if (cruft := git.read(main, record.CRUFT)) is not None:
        (checkout / record.CRUFT).write_bytes(record.in_cruft(cruft, new.version.commit))
        git.said("add", "--", record.CRUFT)


def _committed(git: Git, parent: str, old: Bake, new: Bake) -> str:
    tree = git.said("write-tree")
    if tree == git.tree(parent):
        return parent
    message = f"{SUBJECT}{new.version.name}\n\nFrom {old.version.name}.\n\n{BAKED}{new.record.bake}\n"
    return git.commit(tree, parent, message, machine=True)


def _branch_of_bakes(git: Git, copy: Git, old: Bake, new: Bake) -> str:
    """The branch of bakes with the new one on it.

    Raises:
        UserError: `origin` has a branch of that name that is somebody's own.
    """
    tip = git.tip(BRANCH)
    if tip and BAKED not in git.message(tip):
        raise UserError(
            f"{REMOTE} has a branch {BRANCH} that is no machine's; rename it, since the template's bakes go there"
        )
    for each in (old, new):
        tree = bakes.without(copy, each.tree, owned.NOT_KEPT)
        if tip is None or (each is new and copy.tree(tip) != tree):
            message = f"Bake version {each.version.name} of the template\n\n{BAKED}{each.record.bake}\n"
            tip = copy.commit(tree, tip, message, machine=True)
    return tip or ""
