"""The single checks of what an environment's branch has or shall have.

Each returns a sentence that says why it holds, and raises a UserError that says why it does not: a FailedCheckError, a
WaitingCheckError if time alone may mend it, or whatever kept it from being made.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from gitops_ml.core import record, signing, windows
from gitops_ml.core.errors import UserError
from gitops_ml.image import attach, registry
from gitops_ml.marks import freezes, holds
from gitops_ml.promotion import health, served, verdicts
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags
from gitops_ml.versions import environment
from gitops_ml.versions.git import MAIN


class FailedCheckError(UserError):
    """A check does not hold."""


class WaitingCheckError(FailedCheckError):
    """A check does not hold yet."""


def base(repository: Repository, name: str, commit: str) -> str:
    """The commit was made for the branch as it is now."""
    tip, parents = repository.tip(name), repository.git.parents(commit)
    if parents != [tip]:
        raise FailedCheckError(f"it was made for another state of {environment.branch(name)}; promote again")
    return f"it follows the tip of {environment.branch(name)}"


def candidate(repository: Repository, commit: str) -> environment.Candidate:
    """The release that a commit holds: whole, and the one that was written when it was made."""
    found = tags.candidate_of(repository.git, commit)
    tagged = tags.find(repository.git, found.release.release)
    if tagged.files[record.FILE] != found.files[record.FILE]:
        raise FailedCheckError(f"{record.FILE} is not the one that was written when {found.release.release} was made")
    return found


def signature(repository: Repository, candidate: environment.Candidate) -> str:
    """Somebody whom main trusts signed the record."""
    try:
        signing.verify(
            candidate.files[record.FILE],
            candidate.files.get(record.SIGNATURE),
            tags.trusted_keys(repository.git),
        )
    except signing.SignatureError as error:
        raise FailedCheckError(f"{candidate.release.release} cannot be trusted: {error}") from error
    return f"signed by a key in {signing.PUBLIC}"


def source(repository: Repository, found: record.Release) -> str:
    """The source commit is one of main."""
    main = repository.git.tip(MAIN)
    if main is None or not repository.git.is_ancestor(found.commit, main):
        raise FailedCheckError(f"its source commit {found.commit[:12]} is not on {MAIN}")
    return f"its source commit {found.commit[:12]} is on {MAIN}"


def paths(repository: Repository, name: str, commit: str, candidate: environment.Candidate) -> str:
    """There are no other files than those that a promotion writes."""
    allowed = environment.render(repository.git, candidate, name)
    if more := sorted(set(repository.git.paths(commit)) - set(allowed)):
        raise FailedCheckError(f"it has files that no promotion writes: {', '.join(more[:5])}")
    return f"{len(allowed)} files, none but those that a promotion writes"


def rendered(repository: Repository, name: str, commit: str, candidate: environment.Candidate) -> str:
    """Rendering again gives the same bytes."""
    git = repository.git
    tree = git.write(environment.render(git, candidate, name))
    if changed := git.changed(tree, commit):
        raise FailedCheckError(
            f"{', '.join(changed[:5])}: not byte by byte what {candidate.release.release} gives for {name}"
        )
    return "rendering again gives the same bytes"


def hold(repository: Repository, found: record.Release) -> str:
    """The release is not on hold."""
    hold = holds.read(repository.git).get(found.release)
    if hold:
        raise FailedCheckError(f"{found.release} is on hold since {hold.since:%Y-%m-%d %H:%M}: {hold.reason}")
    return "not on hold"


def freeze(repository: Repository, name: str) -> str:
    """Nobody has stopped promotions to this environment."""
    found = freezes.read(repository.git).get(name)
    if found:
        raise WaitingCheckError(
            f"{name} is frozen since {found.since:%Y-%m-%d %H:%M} UTC: {' '.join(found.reason.split())}; "
            f"`gitops-ml env unfreeze {name}` lets what waits go on"
        )
    return "nobody has frozen it"


def window(repository: Repository, name: str, now: datetime) -> str:
    """It is a time at which machines may promote to this environment."""
    allowed = repository.settings(name).windows
    if not windows.is_open(allowed, now):
        opens = windows.next_opening(allowed, now)
        raise WaitingCheckError(
            f"outside of the windows of {name}; the next one opens on {opens:%A, %Y-%m-%d %H:%M %Z}"
        )
    return "within a window"


def served_before(repository: Repository, name: str, found: record.Release) -> str:
    """The release was healthy in this environment before."""
    if found.release not in served.releases(repository.git, name):
        raise FailedCheckError(
            f"{found.release} never served in {name}, so there is nothing to go back to; promote it instead"
        )
    return f"it was healthy in {name} before"


def environment_before(repository: Repository, name: str, found: record.Release, now: datetime) -> str:
    """The environment before serves this very release, and is healthy."""
    before = repository.before(name)
    if before is None:
        return f"{name} is the first environment and takes what {MAIN} released"
    serving = repository.serving(before.name)
    if serving is None or serving.release != found.release:
        raise FailedCheckError(
            f"{before.name}, which comes before {name}, has {serving.release if serving else 'nothing'}, "
            f"not {found.release}"
        )
    _require_healthy(repository, before.name, found, now)
    return f"{before.name} serves it and is healthy"


def healthy(repository: Repository, name: str, found: record.Release, now: datetime) -> str:
    """The agents of this environment say that the release serves."""
    said = _require_healthy(repository, name, found, now)
    return f"healthy since {max(report.since for report in said):%Y-%m-%d %H:%M}"


def soak(repository: Repository, name: str, found: record.Release, now: datetime) -> str:
    """The release has been healthy in the environment before for its soak time, on each of its hosts."""
    before = repository.before(name)
    if before is None or not before.soak_minutes:
        return "none is asked for"
    said = _require_healthy(repository, before.name, found, now)
    minutes = min(report.lasted for report in said) / 60
    sentence = f"healthy in {before.name} for {minutes:.1f} of {before.soak_minutes:g} minutes, as its hosts count them"
    if minutes < before.soak_minutes:
        raise WaitingCheckError(sentence)
    return sentence


def _require_healthy(repository: Repository, name: str, found: record.Release, now: datetime) -> list[health.Report]:
    """What all agents of an environment say, if it is that the tip of its branch serves there.

    Raises:
        FailedCheckError: one says that it does not.
        WaitingCheckError: one says nothing of it, or nothing any more.
    """
    tip, allowed = repository.tip(name), timedelta(minutes=repository.settings(name).silent_minutes)
    said = health.reports(repository.git, name)
    if not said or all(report.commit != tip for report in said):
        raise WaitingCheckError(f"the agent of {name} has not said yet that {found.release} is healthy there")
    for report in said:
        where = f"{name} ({report.host})"
        silent = report.silent(now, allowed)
        if report.commit == tip and report.state == "in rollout" and not silent:
            raise WaitingCheckError(f"{found.release} is in rollout in {where}: {report.reason.partition(chr(10))[0]}")
        if report.commit == tip and report.state != "healthy" and not silent:
            raise FailedCheckError(f"{found.release} failed in {where}: {report.reason}")
        if report.ahead(now):
            raise WaitingCheckError(
                f"the agent of {where} says that it is {report.checked:%Y-%m-%d %H:%M}, and here it is "
                f"{now:%Y-%m-%d %H:%M}, both in UTC; set the one that is wrong, or nobody knows whether it fell silent"
            )
        if silent:
            gone = f", and `gitops-ml host forget {name} {report.host}` waits for that host no more"
            raise WaitingCheckError(
                f"the agent of {where} says nothing since {report.checked:%Y-%m-%d %H:%M} UTC, and here it is "
                f"{now:%Y-%m-%d %H:%M}; `gitops-ml host deploy {name}` on that host is one step of it"
                f"{gone if report.host != health.OLD_HOST else ''}"
            )
        if report.commit != tip:
            raise WaitingCheckError(f"{where} serves {report.serving or 'nothing'} still, and not {found.release}")
    return said


def archive(repository: Repository, found: record.Release) -> str:
    """The storage has the Bento."""
    content = repository.storage.get(found.bento.digest)
    return f"the storage has the Bento, {len(content)} bytes with the right digest"


def data(repository: Repository, found: record.Release) -> str:
    """The storage has what dvc.lock of the source names."""
    lock = repository.git.read(found.commit, "dvc.lock")
    if lock is None:
        raise FailedCheckError(f"dvc.lock is missing in {found.commit[:12]}")
    if missing := repository.storage.missing(lock):
        raise FailedCheckError(
            f"the storage lacks {', '.join(missing)} of {found.commit[:12]}; `make push` where they are"
        )
    return "the storage has all data and outputs of its source"


def image(repository: Repository, name: str, found: record.Release) -> str:
    """The registry has the image in the repository of this environment, and it is one of this project."""
    if found.image is None:
        raise FailedCheckError(f"{found.release} was made without an image, and this environment runs containers")
    if found.image.name != repository.policy.image:
        raise FailedCheckError(
            f"its image is {found.image.name}, and this project's images are {repository.policy.image}"
        )
    served, wanted = environment.image(repository.git, found, name), repository.image(name)
    if served is None or served.name != wanted:
        raise FailedCheckError(
            f"the images of {name} are {wanted}, and were {served.name if served else 'none'} when it was released; "
            "release anew"
        )
    trusted = tags.trusted_keys(repository.git)
    if served != found.image and not registry.has(served):
        registry.require(found.image)
        attach.require_signed(found.image, trusted)
        raise WaitingCheckError(f"{wanted} has no copy of it yet; `gitops-ml env promote {name}` makes one")
    has = registry.require(served)
    attach.require_signed(found.image, trusted, copied_to=wanted)
    return f"{has}, signed by a key in {signing.PUBLIC}"


def gate(repository: Repository, name: str, found: record.Release, sound: bool) -> str:
    """The model may replace the one that serves here now."""
    champion = served.completed(repository.git, repository.settings(name), repository.serving(name))
    if champion is not None and champion.model == found.model:
        return "the model is the one that serves"
    if not sound:
        raise FailedCheckError("not judged, since another check fails")
    result, known = verdicts.judged(repository.git, found, champion, repository.policy)
    if not result.passes:
        raise FailedCheckError(f"{result.verdict}: {'; '.join(result.reasons)}")
    return f"{result.verdict}: {'; '.join(result.reasons)}{', as was judged before' if known else ''}"
