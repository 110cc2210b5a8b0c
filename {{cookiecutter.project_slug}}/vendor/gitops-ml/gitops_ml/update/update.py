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
from typing import Literal

from pydantic import BaseModel

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import DVC, run
from gitops_ml.update import bakes, checks, merge, origin, owned, record, settings, template, words
from gitops_ml.update.bakes import BAKED, BRANCH, Bake
from gitops_ml.update.checks import Check
from gitops_ml.versions import forge
from gitops_ml.versions.checkout import beside
from gitops_ml.versions.git import MAIN, Git
from gitops_ml.versions.objects import MACHINE, REMOTE

SUBJECT = "Update the template to "
PLACE = Path("build") / "update"


class Wish(BaseModel):
    """What the person said.

    Attributes:
        to: a version; the newest by default.
        source: where the template is, if not where the record says.
        recorded: the version that the project was made from, if nothing says so.
        answers: those that the files do not tell.
        check: whether to install, check and test.
        train: whether to run the pipeline and the gate, too.
    """

    to: str | None = None
    source: str | None = None
    recorded: str | None = None
    answers: dict[str, str] = {}
    check: bool = True
    train: bool = True


class Updating(BaseModel):
    """What came of it; the JSON that other programs read."""

    version: Literal[1] = 1
    state: Literal["up to date", "conflicts", "failed", "open"]
    old: str
    new: str
    branch: str | None = None
    commit: str | None = None
    where: str | None = None
    conflicts: list[str] = []
    deleted: list[str] = []
    replaced: list[str] = []
    checks: list[Check] = []

    @property
    def sentence(self) -> str:
        """For the person at the command line."""
        match self.state:
            case "up to date":
                return f"this project is up to date: it has version {self.new} of the template"
            case "conflicts":
                return (
                    f"{self.where}: {len(self.conflicts)} files are yours to settle: {', '.join(self.conflicts)}; "
                    f"`git fetch`, `git switch {self.branch}`, settle what stands between the markers, commit, push, "
                    "then run this again"
                )
            case "failed":
                failed = ", ".join(check.name for check in self.checks if not check.holds)
                return (
                    f"{self.where} is open, and does not pass: {failed}; mend it on {self.branch}, push, run this again"
                )
            case _:
                return f"{self.where} is open: from {self.old} to {self.new}"


def update(root: Path, wish: Wish, told: Callable[[str], object] = lambda step: None) -> Updating:
    """Propose the template's newer version on top of main.

    Args:
        root: a clone; only what main says counts.
        wish: what the person said.
        told: is told of each step.

    Raises:
        UserError: something is missing or does not fit; nothing was pushed then.
    """
    done = _updated(root, wish, told)
    # With the packages that were installed to check it.
    shutil.rmtree(root / PLACE)
    return done


def _updated(root: Path, wish: Wish, told: Callable[[str], object]) -> Updating:
    git = Git(root)
    git.fetch()
    hub = forge.of(git)
    main = git.tip(MAIN)
    if main is None:
        raise UserError(f"{REMOTE} has no branch {MAIN}: `git push -u {REMOTE} {MAIN}`")
    known = record.read(git, main)
    told("template")
    checkout, source = beside(root, PLACE, main), _source(root, known, wish)
    copy, here = Git(checkout), template.Template(source, checkout.parent / "template.git")
    old = _old(copy, main, here, known, wish)
    target = here.named(wish.to) if wish.to else here.newest()
    if target.number < old.version.number:
        raise UserError(f"{source} has version {target.name}, and this project has {old.version.name} already")
    new = bakes.made(copy, here, target, old.record, checkout.parent / "new")
    if known is not None and new.record.bake == known.bake:
        return Updating(state="up to date", old=old.version.name, new=target.name)
    new = Bake(target, new.record.model_copy(update={"template": _kept(known, source)}), new.tree)
    branch = f"update/v{target.name}"
    theirs = _of_people(git, branch)
    if theirs is None:
        told("merge")
        merged = merge.merge(checkout, old.tree, new.tree)
        _write(copy, checkout, main, old, new)
        parent = main
    else:
        copy.said("checkout", "--quiet", "--detach", theirs)
        merged = merge.Merged(conflicts=merge.marked(copy, theirs))
        parent = theirs
    done: list[Check] = []
    if wish.check and not merged.conflicts:
        relock = copy.said("show", f":{merge.PACKAGES}") != copy.said("show", f"{new.tree}:{merge.PACKAGES}")
        done = checks.look(checkout, _cache(root), relock, wish.train, told)
        copy.said("add", "--update")
        if (checkout / "dvc.lock").exists():
            copy.said("add", "dvc.lock")
        if wish.train and all(check.holds for check in done if check.name != "gate"):
            checks.store(checkout)
    commit = _committed(copy, parent, old, new)
    told("pull request")
    commit = _pushed(git, copy, branch, commit, _branch_of_bakes(git, copy, old, new))
    skipped = (
        "" if wish.check and wish.train else "Not everything was tried here; the workflows of the pull request do."
    )
    changes = here.changes(old.version, target)
    heading = f"From version {old.version.name} of the template to {target.name}."
    text = words.body(heading, changes, merged, done, skipped if not merged.conflicts else "")
    where = hub.propose(branch, MAIN, f"{SUBJECT}{target.name}", text)
    failed = any(not check.holds for check in done)
    return Updating(
        state="conflicts" if merged.conflicts else "failed" if failed else "open",
        old=old.version.name,
        new=target.name,
        branch=branch,
        commit=commit,
        where=where,
        conflicts=[each.path for each in merged.conflicts],
        deleted=merged.deleted,
        replaced=merged.replaced,
        checks=done,
    )


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
        return origin.stated(git, main, here, into, version=wish.recorded, answers=given)
    return origin.recorded(git, here, known, wish.recorded, into)


def _of_people(git: Git, branch: str) -> str | None:
    """The tip of an update's branch if people have worked on it; None if there is none, or only machines did."""
    tip = git.tip(branch)
    if tip is None:
        return None
    made = git.message(tip).startswith(SUBJECT) and BAKED in git.message(tip)
    committer = git.said("show", "--no-patch", "--format=%cn", tip)
    machine = made and committer == MACHINE["GIT_COMMITTER_NAME"] and _on_main(git, tip)
    return None if machine else tip


def _on_main(git: Git, commit: str) -> bool:
    parents = git.parents(commit)
    return len(parents) == 1 and git.is_ancestor(parents[0], git.tip(MAIN) or "")


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


def _pushed(git: Git, copy: Git, branch: str, commit: str, baked: str) -> str:
    """Bring the commits here and to `origin`, from where the credentials are; the commit that the branch has then."""
    for name, each in (("update", commit), (BRANCH, baked)):
        copy.said("update-ref", f"refs/{name}/made", each)
    git.said("fetch", "--quiet", "--no-tags", str(copy.root), "refs/update/made", f"refs/{BRANCH}/made")
    before = git.tip(branch)
    git.push(baked, f"refs/heads/{BRANCH}")
    if before and (git.tree(before), git.parents(before)) == (git.tree(commit), git.parents(commit)):
        return before
    git.push(commit, f"refs/heads/{branch}", expected=before)
    return commit
