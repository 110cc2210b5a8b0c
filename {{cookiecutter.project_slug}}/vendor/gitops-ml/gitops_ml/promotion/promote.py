"""Promotion and rollback are one operation: put a release on an environment.

It is one machine-written commit on the current tip of the environment's branch, on a branch of its own that never
changes, and it is merged only if every check holds. What differs is how the release is chosen and which checks apply.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gitops_ml.core import record
from gitops_ml.core.errors import UserError
from gitops_ml.image import attach
from gitops_ml.marks import freezes, holds
from gitops_ml.promotion import checks, proposals, served, verify
from gitops_ml.promotion.outcome import Outcome
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags
from gitops_ml.versions import environment
from gitops_ml.versions.objects import DamagedError


def promote(repository: Repository, name: str, wanted: str | None = None, dry_run: bool = False) -> Outcome:
    """Put a release on an environment: by default what the environment before serves, or the newest one of main.

    Raises:
        UserError: there is no release to promote, or something cannot be read.
    """
    repository.tip(name)
    chosen = wanted or _next(repository, name)
    return _put(repository, name, tags.find(repository.git, chosen), "promote", dry_run)


def rollback(
    repository: Repository, name: str, to: str | None = None, reason: str | None = None, dry_run: bool = False
) -> Outcome:
    """Put the release that served before on an environment, and hold the one that serves now.

    The hold is pushed with the proposal, in one step, once every check of the target holds: what serves is not held as
    long as there is nothing to put in its place. Rolling back twice is rolling back once; to go back further, name the
    release.

    Raises:
        UserError: nothing served there before, or something cannot be read.
    """
    serving = _named(repository, name)
    if not served.releases(repository.git, name):
        raise UserError(f"nothing was ever healthy in {name}, so there is nothing to roll back to")
    if to is None and serving is not None and _is_back(repository, name):
        to = serving.release
    target = tags.find(repository.git, to or _previous(repository, name, serving))
    bad = serving if serving is not None and target.release.release != serving.release else None
    hold = proposals.Holding(bad, reason or f"rolled back in {name}") if bad else None
    return _put(repository, name, target, "rollback", dry_run, hold)


def merge(repository: Repository, name: str, dry_run: bool = False, settling: bool = False) -> Outcome:
    """Merge what is proposed for an environment, if every check holds now.

    When `settling`, nobody asked for it: what needs approval, or only time, stays open.

    Raises:
        UserError: nothing is proposed, or more than one thing.
    """
    serving = _named(repository, name)
    if proposals.withdraw_merged(repository, name, dry_run) and serving and not proposals.find(repository, name):
        return Outcome(environment=name, kind="promote", release=serving.release, replaces=None, state="nothing to do")
    branch, commit = proposals.only(repository, name)
    checked = verify.verify(repository, name, commit, proposals.kind_of(branch))
    waits = settling and (checked.waits or (checked.passes and repository.settings(name).approvals > 0))
    outcome = Outcome(
        environment=name,
        kind=checked.kind,
        release=checked.release or "an unreadable release",
        replaces=serving.release if serving else None,
        state="open" if waits else "merged" if checked.passes else "blocked",
        dry_run=dry_run,
        branch=branch,
        commit=commit,
        checks=checked.checks,
    )
    if not dry_run:
        proposals.tell(repository, checked)
        if outcome.state == "merged":
            proposals.merge(repository, name, branch, commit)
    return outcome


def freeze(repository: Repository, name: str, reason: str) -> bool:
    """Have nothing promoted to an environment, and say so at once of what is proposed; False if it was frozen already.

    Raises:
        UserError: there is no such environment, or something cannot be read.
    """
    repository.settings(name)
    changed = freezes.add(repository.git, name, reason, datetime.now(UTC))
    for branch, commit in proposals.find(repository, name).items() if changed else ():
        if proposals.kind_of(branch) == "promote":
            stopped = verify.Verification(environment=name, kind="promote", commit=commit)
            stopped.ask("freeze", lambda: checks.freeze(repository, name))
            proposals.tell(repository, stopped)
    return changed


def unfreeze(repository: Repository, name: str, reason: str) -> bool:
    """Have what is proposed for an environment go on when it is looked at next; False if it was not frozen.

    Raises:
        UserError: there is no such environment, or something cannot be read.
    """
    repository.settings(name)
    return freezes.remove(repository.git, name, reason)


def verify_proposal(repository: Repository, name: str, wanted: str | None = None) -> verify.Verification:
    """Check what is proposed for an environment, or a commit that may be; if there is neither, what it has.

    Raises:
        UserError: there is nothing to check, or no such commit.
    """
    if wanted is None and not proposals.find(repository, name):
        return verify.verify_tip(repository, name)
    if wanted is None:
        branch, commit = proposals.only(repository, name)
    else:
        found = repository.git.commit_of(wanted)
        if found is None:
            raise UserError(f"there is no commit {wanted!r} here")
        proposed = proposals.find(repository, name)
        branch, commit = next((each for each, tip in proposed.items() if tip == found), ""), found
    return verify.verify(repository, name, commit, proposals.kind_of(branch))


def _put(  # noqa: PLR0917 - what is put, where, how
    repository: Repository,
    name: str,
    candidate: environment.Candidate,
    kind: verify.Kind,
    dry_run: bool,
    hold: proposals.Holding | None = None,
) -> Outcome:
    """Propose a release for an environment, and merge it where nobody needs to approve."""
    git, tip = repository.git, repository.tip(name)
    proposals.withdraw_merged(repository, name, dry_run)
    target = candidate.release
    serving = _named(repository, name)
    outcome = Outcome(
        environment=name,
        kind=kind,
        release=target.release,
        replaces=serving.release if serving else None,
        state="nothing to do",
        dry_run=dry_run,
    )
    tree = git.write(environment.render(git, candidate, name))
    if tree == git.tree(tip):
        return outcome
    # Named by its base too: a branch that was proposed never changes, and a moved base needs a new one.
    branch = f"{kind}/{name}/{target.short}-{tip[:8]}"
    proposed = proposals.find(repository, name)
    if branch in proposed and (git.tree(proposed[branch]), git.parents(proposed[branch])) != (tree, [tip]):
        if not dry_run:
            repository.forge.withdraw(branch, "Somebody edited this branch, so it can be merged no more.")
        del proposed[branch]
    copied = verify.Verification(environment=name, kind=kind, commit=tip)
    if not dry_run and not copied.ask("image", lambda: _bring_image(repository, name, target)):
        return outcome.model_copy(update={"state": "blocked", "checks": copied.checks})
    commit = proposed.get(branch) or git.commit(tree, tip, _message(name, kind, target, serving, hold))
    checked = verify.verify(repository, name, commit, kind)
    outcome = outcome.model_copy(update={"branch": branch, "commit": commit, "checks": checked.checks})
    if not checked.passes and not checked.waits:
        if branch in proposed and not dry_run:
            proposals.tell(repository, checked)
        return outcome.model_copy(update={"state": "blocked"})
    outcome = outcome.model_copy(update={"held": hold.release.release if hold else None})
    if dry_run:
        waits = checked.waits or repository.settings(name).approvals
        return outcome.model_copy(update={"state": "open" if waits else "merged"})
    commit = proposals.propose(repository, branch, commit, hold)
    # Somebody else's commit, if the same was proposed already: it is of that one that things are said.
    outcome, checked = outcome.model_copy(update={"commit": commit}), checked.model_copy(update={"commit": commit})
    return _proposed(repository, name, outcome, checked, [other for other in proposed if other != branch])


def _bring_image(repository: Repository, name: str, found: record.Release) -> str:
    """Copy a release's image to the repository of an environment, if it has one of its own.

    Raises:
        UserError: the image is gone or not signed, or a registry does not let us.
    """
    image = environment.image(repository.git, found, name)
    if found.image is None or image is None or image == found.image:
        return "it is where it shall be"
    # Nothing of another project, and into no other repository than main says; checks.image tells of both.
    if (found.image.name, image.name) == (repository.policy.image, repository.image(name)):
        attach.copy(found.image, image.name, tags.trusted_keys(repository.git))
    return f"{image.name} has a copy"


def _proposed(
    repository: Repository, name: str, outcome: Outcome, checked: verify.Verification, replaced: list[str]
) -> Outcome:
    assert outcome.branch  # noqa: S101 - for the type checker, as the next one
    assert outcome.commit  # noqa: S101
    title = f"{'Promote' if outcome.kind == 'promote' else 'Roll back to'} {outcome.release} on {name}"
    where = repository.forge.propose(outcome.branch, environment.branch(name), title, _body(outcome))
    for other in replaced:
        repository.forge.withdraw(
            other, f"{outcome.release} is proposed for {name} now; this one can be merged no more."
        )
    proposals.tell(repository, checked)
    if checked.waits or repository.settings(name).approvals:
        return outcome.model_copy(update={"state": "open", "where": where})
    proposals.merge(repository, name, outcome.branch, outcome.commit)
    return outcome.model_copy(update={"state": "merged", "where": where})


def _next(repository: Repository, name: str) -> str:
    before = repository.before(name)
    if before is not None:
        serving = repository.serving(before.name)
        if serving is None:
            raise UserError(f"{before.name}, which comes before {name}, has no release yet; promote one there first")
        return serving.release
    held = holds.read(repository.git)
    newest = next((each for each in tags.listed(repository.git) if each.release not in held), None)
    if newest is None:
        raise UserError("there is no release that is not on hold; `gitops-ml release make` makes one")
    return newest.release


def _named(repository: Repository, name: str) -> record.Release | None:
    """The release that the branch names; None too if somebody edited the record, which a new commit then mends."""
    try:
        return repository.serving(name)
    except DamagedError:
        raise
    except UserError:
        repository.tip(name)
        return None


def _is_back(repository: Repository, name: str) -> bool:
    """Whether what the branch has now came there by a rollback.

    Raises:
        UserError: a person brought back an older state, so whether that is the good one or the bad one is not known.
    """
    git = repository.git
    tip, *before = git.history(repository.tip(name))
    stated = environment.action(git, tip)
    if stated is None and git.tree(tip) in {git.tree(each) for each in before}:
        known = ", ".join(served.releases(git, name)[:3])
        raise UserError(
            f"{environment.branch(name)} was brought back to an older state by hand, so which release is the bad one "
            f"is not known; name the one that is to serve with --to: {known} served there last"
        )
    return stated == "roll back"


def _previous(repository: Repository, name: str, serving: record.Release | None) -> str:
    held = holds.read(repository.git)
    bad = serving.release if serving else None
    others = [each for each in served.releases(repository.git, name) if each != bad and each not in held]
    if not others:
        raise UserError(f"no other release was healthy in {name} before and is not on hold; promote a new one")
    return others[0]


def _message(
    name: str,
    kind: verify.Kind,
    target: record.Release,
    serving: record.Release | None,
    hold: proposals.Holding | None,
) -> str:
    title = f"{'Promote' if kind == 'promote' else 'Roll back to'} {target.release}"
    came = f"Replaces: {serving.release}\n" if serving else ""
    # In one line, or it could say something else that the commit does.
    why = f"Reason: {' '.join(hold.reason.split())}\n" if hold else ""
    action = "promote" if kind == "promote" else "roll back"
    return (
        f"{title}\n\nAction: {action}\nEnvironment: {name}\nCommit: {target.commit}\nModel: {target.model}\n{came}{why}"
        f"Verdict: {target.verdict}"
    )


def _body(outcome: Outcome) -> str:
    rows = "\n".join(
        f"| {'yes' if check.holds else 'no'} | {check.name} | {check.sentence} |" for check in outcome.checks
    )
    replaced = f" It replaces {outcome.replaces}." if outcome.replaces else ""
    return (
        f"Puts {outcome.release} on {outcome.environment}.{replaced} A machine wrote this branch; do not add to it.\n\n"
        f"| holds | check | why |\n|---|---|---|\n{rows}\n"
    )
