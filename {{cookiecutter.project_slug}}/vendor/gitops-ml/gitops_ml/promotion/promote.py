"""Promotion and rollback are one operation: put a release on an environment.

It is one machine-written commit on the current tip of the environment's branch, on a branch of its own that never
changes, and it is merged only if every check holds. What differs is how the release is chosen and which checks apply.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gitops_ml.core import environment, record
from gitops_ml.core.errors import UserError
from gitops_ml.core.git import RejectedError
from gitops_ml.image import attach
from gitops_ml.promotion import health, holds, verify
from gitops_ml.promotion.outcome import Outcome
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags

KINDS: tuple[verify.Kind, ...] = ("promote", "rollback")


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

    The hold comes first: whatever happens next, the bad release goes nowhere. Rolling back twice is rolling back once;
    to go back further, name the release.

    Raises:
        UserError: nothing served there before, or something cannot be read.
    """
    serving = _named(repository, name)
    if not health.served(repository.git, name):
        raise UserError(f"nothing was ever healthy in {name}, so there is nothing to roll back to")
    if to is None and serving is not None and _was_rolled_back(repository, name):
        to = serving.release
    target = tags.find(repository.git, to or _previous(repository, name, serving))
    replaces = serving is not None and target.release.release != serving.release
    if serving is not None and replaces and not dry_run:
        holds.add(repository.git, serving, reason or f"rolled back in {name}", datetime.now(UTC))
    outcome = _put(repository, name, target, "rollback", dry_run)
    return outcome.model_copy(update={"held": serving.release if serving is not None and replaces else None})


def merge(repository: Repository, name: str, dry_run: bool = False, settling: bool = False) -> Outcome:
    """Merge what is proposed for an environment, if every check holds now.

    When `settling`, nobody asked for it: what needs approval, or only time, stays open.

    Raises:
        UserError: nothing is proposed, or more than one thing.
    """
    branch, commit = _proposal(repository, name)
    checked = verify.verify(repository, name, commit, _kind(branch))
    serving = _named(repository, name)
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
        _tell(repository, checked)
        if outcome.state == "merged":
            _merge(repository, name, branch, commit)
    return outcome


def verify_proposal(repository: Repository, name: str, wanted: str | None = None) -> verify.Verification:
    """Check what is proposed for an environment, or a commit that may be; if there is neither, what it has.

    Raises:
        UserError: there is nothing to check, or no such commit.
    """
    if wanted is None and not proposals(repository, name):
        return verify.verify_tip(repository, name)
    if wanted is None:
        branch, commit = _proposal(repository, name)
    else:
        found = repository.git.commit_of(wanted)
        if found is None:
            raise UserError(f"there is no commit {wanted!r} here")
        proposed = proposals(repository, name)
        branch, commit = next((each for each, tip in proposed.items() if tip == found), ""), found
    return verify.verify(repository, name, commit, _kind(branch))


def proposals(repository: Repository, name: str) -> dict[str, str]:
    """The open branches that shall be merged into an environment's, and their commits."""
    found: dict[str, str] = {}
    for kind in KINDS:
        found |= repository.git.branches(f"{kind}/{name}/")
    return found


def _proposal(repository: Repository, name: str) -> tuple[str, str]:
    repository.tip(name)
    proposed = proposals(repository, name)
    if not proposed:
        raise UserError(f"nothing is proposed for {name}; `gitops-ml env promote {name}` proposes")
    if len(proposed) > 1:
        raise UserError(f"{len(proposed)} branches are proposed for {name}: {', '.join(proposed)}; promote again")
    return next(iter(proposed.items()))


def _kind(branch: str) -> verify.Kind:
    return "rollback" if branch.startswith("rollback/") else "promote"


def _put(
    repository: Repository, name: str, candidate: environment.Candidate, kind: verify.Kind, dry_run: bool
) -> Outcome:
    """Propose a release for an environment, and merge it where nobody needs to approve."""
    git, tip = repository.git, repository.tip(name)
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
    proposed = proposals(repository, name)
    if branch in proposed and (git.tree(proposed[branch]), git.parents(proposed[branch])) != (tree, [tip]):
        if not dry_run:
            repository.forge.withdraw(branch, "Somebody edited this branch, so it can be merged no more.")
        del proposed[branch]
    copied = verify.Verification(environment=name, kind=kind, commit=tip)
    if not dry_run and not copied.ask("image", lambda: _bring_image(repository, name, target)):
        return outcome.model_copy(update={"state": "blocked", "checks": copied.checks})
    commit = proposed.get(branch) or git.commit(tree, tip, _message(name, kind, target, serving))
    checked = verify.verify(repository, name, commit, kind)
    outcome = outcome.model_copy(update={"branch": branch, "commit": commit, "checks": checked.checks})
    if not checked.passes and not checked.waits:
        if branch in proposed and not dry_run:
            _tell(repository, checked)
        return outcome.model_copy(update={"state": "blocked"})
    if dry_run:
        return outcome.model_copy(update={"state": "open"})
    commit = _propose(repository, name, branch, commit, tree)
    outcome = outcome.model_copy(update={"commit": commit})
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
    _tell(repository, checked)
    if checked.waits or repository.settings(name).approvals:
        return outcome.model_copy(update={"state": "open", "where": where})
    _merge(repository, name, outcome.branch, outcome.commit)
    return outcome.model_copy(update={"state": "merged", "where": where})


def _propose(repository: Repository, name: str, branch: str, commit: str, tree: str) -> str:
    """Push a proposal's branch; one that is there already with the same content on the same base is taken as it is."""
    git = repository.git
    try:
        git.push(commit, f"refs/heads/{branch}")
    except RejectedError:
        git.fetch()
        found = git.tip(branch)
        if found is None or git.tree(found) != tree or git.parents(found) != git.parents(commit):
            raise UserError(
                f"origin has a branch {branch} with another content; look who made it, remove it, and try again"
            ) from None
        return found
    return commit


def _merge(repository: Repository, name: str, branch: str, commit: str) -> None:
    try:
        repository.forge.merge(branch, environment.branch(name), commit)
    except RejectedError as error:
        raise UserError(
            f"{environment.branch(name)} has moved on while this was checked, so it was not merged; promote again"
        ) from error


def _tell(repository: Repository, checked: verify.Verification) -> None:
    state = "success" if checked.passes else "pending" if checked.waits else "failure"
    said = "; ".join(f"{check.name}: {check.sentence}" for check in checked.failures) or "every check holds"
    repository.forge.tell(checked.commit, state, said)


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
    except UserError:
        repository.tip(name)
        return None


def _was_rolled_back(repository: Repository, name: str) -> bool:
    """Whether what the branch has now replaced a release that is on hold."""
    history = repository.git.history(repository.tip(name))
    try:
        replaced = environment.serving(repository.git, history[1]) if len(history) > 1 else None
    except UserError:
        return False
    return replaced is not None and replaced.release in holds.read(repository.git)


def _previous(repository: Repository, name: str, serving: record.Release | None) -> str:
    held = holds.read(repository.git)
    bad = serving.release if serving else None
    others = [each for each in health.served(repository.git, name) if each != bad and each not in held]
    if not others:
        raise UserError(f"no other release was healthy in {name} before and is not on hold; promote a new one")
    return others[0]


def _message(name: str, kind: verify.Kind, target: record.Release, serving: record.Release | None) -> str:
    title = f"{'Promote' if kind == 'promote' else 'Roll back to'} {target.release}"
    came = f"Replaces: {serving.release}\n" if serving else ""
    facts = f"Environment: {name}\nCommit: {target.commit}\nModel: {target.model}\n{came}Verdict: {target.verdict}"
    return f"{title}\n\n{facts}"


def _body(outcome: Outcome) -> str:
    rows = "\n".join(
        f"| {'yes' if check.holds else 'no'} | {check.name} | {check.sentence} |" for check in outcome.checks
    )
    replaced = f" It replaces {outcome.replaces}." if outcome.replaces else ""
    return (
        f"Puts {outcome.release} on {outcome.environment}.{replaced} A machine wrote this branch; do not add to it.\n\n"
        f"| holds | check | why |\n|---|---|---|\n{rows}\n"
    )
