"""The single checks of what an environment's branch has or shall have.

Each returns a sentence that says why it holds, and raises a UserError that says why it does not: a FailedCheckError, a
WaitingCheckError if time alone may mend it, or whatever kept it from being made.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gitops_ml.core import environment, record, signing
from gitops_ml.core.errors import UserError
from gitops_ml.core.git import MAIN
from gitops_ml.core.revision import Revision
from gitops_ml.gate import judge
from gitops_ml.image import attach, registry
from gitops_ml.promotion import health, holds
from gitops_ml.promotion.repository import Repository
from gitops_ml.release import tags

# Two hosts' clocks may differ by so much without a word.
SKEW = timedelta(minutes=5)


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


def record_whole(repository: Repository, commit: str) -> str:
    """The record is whole, and the one that was written when the release was made."""
    return f"{candidate(repository, commit).release.release} is whole and as it was written"


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


def served_before(repository: Repository, name: str, found: record.Release) -> str:
    """The release was healthy in this environment before."""
    if found.release not in health.served(repository.git, name):
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
    report = health.latest(repository.git, before.name)
    if report is None or report.commit != repository.tip(before.name):
        raise WaitingCheckError(f"the agent of {before.name} has not said yet that {found.release} is healthy there")
    if report.state != "healthy":
        raise FailedCheckError(f"{found.release} failed in {before.name}: {report.reason}")
    if now - report.checked > timedelta(minutes=before.silent_minutes):
        raise WaitingCheckError(
            f"the agent of {before.name} says nothing since {report.checked:%Y-%m-%d %H:%M}; "
            f"`gitops-ml host deploy {before.name}`"
        )
    return f"{before.name} serves it and is healthy"


def healthy(repository: Repository, name: str, found: record.Release) -> str:
    """The agent of this environment says that the release serves."""
    report = health.latest(repository.git, name)
    if report is None or report.commit != repository.tip(name):
        raise WaitingCheckError(f"the agent of {name} has not said yet that {found.release} is healthy")
    if report.state != "healthy":
        raise FailedCheckError(f"{found.release} failed: {report.reason}")
    return f"healthy since {report.since:%Y-%m-%d %H:%M}"


def soak(repository: Repository, name: str, now: datetime) -> str:
    """The release has been healthy in the environment before for its soak time."""
    before = repository.before(name)
    if before is None or not before.soak_minutes:
        return "none is asked for"
    report = health.latest(repository.git, before.name)
    if report is None or report.commit != repository.tip(before.name) or report.state != "healthy":
        raise WaitingCheckError(f"{before.name} is not healthy with what it has now, so its soak has not begun")
    if max(report.since, report.checked) > now + SKEW:
        raise FailedCheckError(
            f"the clock of {before.name}'s host is ahead of this one's, so its soak cannot be measured"
        )
    # A host whose clock is behind cannot make it longer: nothing is healthy before it was promoted.
    promoted = datetime.fromtimestamp(repository.git.time(repository.tip(before.name)), UTC)
    healthy = now - max(report.since, promoted)
    minutes = max(healthy.total_seconds(), 0) / 60
    said = f"healthy in {before.name} for {minutes:.1f} of {before.soak_minutes:g} minutes"
    if minutes < before.soak_minutes:
        raise WaitingCheckError(said)
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
    champion = repository.serving(name)
    if champion is not None and champion.model == found.model:
        return "the model is the one that serves"
    if not sound:
        raise FailedCheckError("not judged, since another check fails")
    root = repository.git.root
    serving = Revision(root, champion.commit) if champion else None
    result = judge.compare(Revision(root, found.commit), serving, repository.policy)
    if not result.passes:
        raise FailedCheckError(f"{result.verdict}: {'; '.join(result.reasons)}")
    return f"{result.verdict}: {'; '.join(result.reasons)}"
