"""Every check that a promotion or a rollback must pass before it may be merged; whatever cannot be checked fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel

from ci import environment, health, holds, record, registry, release, signing
from ci.errors import UserError
from ci.release import MAIN
from ci.repository import Repository
from ci.revision import Revision

Kind = Literal["promote", "rollback"]
# Two hosts' clocks may differ by so much without a word.
SKEW = timedelta(minutes=5)


class Check(BaseModel):
    """One check: whether it holds, and why or why not. One that `waits` may hold later without anybody's doing."""

    name: str
    holds: bool
    waits: bool = False
    sentence: str


class Verification(BaseModel):
    """All checks of one commit that shall become the tip of an environment's branch."""

    version: Literal[1] = 1
    environment: str
    kind: Kind
    commit: str
    release: str | None
    checks: list[Check]

    @property
    def passes(self) -> bool:
        """Whether it may be merged now."""
        return all(check.holds for check in self.checks)

    @property
    def waits(self) -> bool:
        """Whether nothing but time is missing."""
        return not self.passes and all(check.holds or check.waits for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The checks that do not hold."""
        return [check for check in self.checks if not check.holds]


class FailedCheckError(UserError):
    """A check does not hold."""


class WaitingCheckError(FailedCheckError):
    """A check does not hold yet."""


def verify(repository: Repository, name: str, commit: str, kind: Kind, now: datetime | None = None) -> Verification:
    """Check a commit that was made to become the tip of an environment's branch."""
    checks: list[Check] = []

    def check(title: str, ask: Callable[[], str]) -> bool:
        try:
            checks.append(Check(name=title, holds=True, sentence=ask()))
        except UserError as error:
            checks.append(
                Check(name=title, holds=False, waits=isinstance(error, WaitingCheckError), sentence=str(error))
            )
        return checks[-1].holds

    found: list[environment.Candidate] = []
    check("base", lambda: _base(repository, name, commit))
    if check("record", lambda: _record(repository, commit, found)):
        for title, ask in _of_release(repository, name, commit, kind, found[0], now or datetime.now(UTC)):
            check(title, ask)
        if kind == "promote" and repository.settings(name).gate == "champion":
            sound = all(each.holds or each.waits for each in checks)
            check("gate", lambda: _gate(repository, name, found[0].release, sound))
    named = found[0].release.release if found else None
    return Verification(environment=name, kind=kind, commit=commit, release=named, checks=checks)


def require_applicable(repository: Repository, name: str, commit: str) -> environment.Candidate:
    """What an agent asks of a commit before it applies it: only what no passing of time can change.

    Raises:
        UserError: the tree is not that of a signed release of main that was healthy in the environment before.
    """
    found: list[environment.Candidate] = []
    _record(repository, commit, found)
    candidate = found[0]
    _signature(repository, candidate)
    _source(repository, candidate.release)
    _rendered(repository, name, commit, candidate)
    before = repository.before(name)
    known = candidate.release.release in health.served(repository.git, name)
    if before and not known and candidate.release.release not in health.served(repository.git, before.name):
        raise FailedCheckError(
            f"{candidate.release.release} was never healthy in {before.name}, which comes before {name}"
        )
    return candidate


def _of_release(  # noqa: PLR0917 - each is another thing
    repository: Repository, name: str, commit: str, kind: Kind, candidate: environment.Candidate, now: datetime
) -> Iterator[tuple[str, Callable[[], str]]]:
    found = candidate.release
    yield "signature", lambda: _signature(repository, candidate)
    yield "source", lambda: _source(repository, found)
    yield "paths", lambda: _paths(repository, name, commit, candidate)
    yield "rendering", lambda: _rendered(repository, name, commit, candidate)
    yield "hold", lambda: _hold(repository, found)
    if kind == "rollback":
        yield "served before", lambda: _served_before(repository, name, found)
    else:
        yield "environment before", lambda: _environment_before(repository, name, found, now)
        yield "soak", lambda: _soak(repository, name, now)
    yield "archive", lambda: _archive(repository, found)
    yield "data", lambda: _data(repository, found)
    if found.image is not None:
        yield "image", lambda: _image(repository, found)


def _base(repository: Repository, name: str, commit: str) -> str:
    tip, parents = repository.tip(name), repository.git.parents(commit)
    if parents != [tip]:
        raise FailedCheckError(f"it was made for another state of {environment.branch(name)}; promote again")
    return f"it follows the tip of {environment.branch(name)}"


def _record(repository: Repository, commit: str, found: list[environment.Candidate]) -> str:
    candidate = release.candidate_of(repository.git, commit)
    tagged = release.find(repository.git, candidate.release.release)
    if tagged.files[record.FILE] != candidate.files[record.FILE]:
        raise FailedCheckError(
            f"{record.FILE} is not the one that was written when {candidate.release.release} was made"
        )
    found.append(candidate)
    return f"{candidate.release.release} is whole and as it was written"


def _signature(repository: Repository, candidate: environment.Candidate) -> str:
    try:
        signing.verify(
            candidate.files[record.FILE],
            candidate.files.get(record.SIGNATURE),
            release.trusted_keys(repository.git),
        )
    except signing.SignatureError as error:
        raise FailedCheckError(f"{candidate.release.release} cannot be trusted: {error}") from error
    return f"signed by a key in {signing.PUBLIC}"


def _source(repository: Repository, found: record.Release) -> str:
    main = repository.git.tip(MAIN)
    if main is None or not repository.git.is_ancestor(found.commit, main):
        raise FailedCheckError(f"its source commit {found.commit[:12]} is not on {MAIN}")
    return f"its source commit {found.commit[:12]} is on {MAIN}"


def _paths(repository: Repository, name: str, commit: str, candidate: environment.Candidate) -> str:
    allowed = environment.render(repository.git, candidate, name)
    if more := sorted(set(repository.git.paths(commit)) - set(allowed)):
        raise FailedCheckError(f"it has files that no promotion writes: {', '.join(more[:5])}")
    return f"{len(allowed)} files, none but those that a promotion writes"


def _rendered(repository: Repository, name: str, commit: str, candidate: environment.Candidate) -> str:
    git = repository.git
    tree = git.write(environment.render(git, candidate, name))
    if changed := git.changed(tree, commit):
        raise FailedCheckError(
            f"{', '.join(changed[:5])}: not byte by byte what {candidate.release.release} gives for {name}"
        )
    return "rendering again gives the same bytes"


def _hold(repository: Repository, found: record.Release) -> str:
    hold = holds.read(repository.git).get(found.release)
    if hold:
        raise FailedCheckError(f"{found.release} is on hold since {hold.since:%Y-%m-%d %H:%M}: {hold.reason}")
    return "not on hold"


def _served_before(repository: Repository, name: str, found: record.Release) -> str:
    if found.release not in health.served(repository.git, name):
        raise FailedCheckError(
            f"{found.release} never served in {name}, so there is nothing to go back to; promote it instead"
        )
    return f"it was healthy in {name} before"


def _environment_before(repository: Repository, name: str, found: record.Release, now: datetime) -> str:
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
    if now - report.checked > health.STALE:
        raise WaitingCheckError(
            f"the agent of {before.name} says nothing since {report.checked:%Y-%m-%d %H:%M}; "
            f"`make deploy ENV={before.name}`"
        )
    return f"{before.name} serves it and is healthy"


def _soak(repository: Repository, name: str, now: datetime) -> str:
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


def _archive(repository: Repository, found: record.Release) -> str:
    content = repository.storage.get(found.bento.digest)
    return f"the storage has the Bento, {len(content)} bytes with the right digest"


def _data(repository: Repository, found: record.Release) -> str:
    lock = repository.git.read(found.commit, "dvc.lock")
    if lock is None:
        raise FailedCheckError(f"dvc.lock is missing in {found.commit[:12]}")
    if missing := repository.storage.missing(lock):
        raise FailedCheckError(
            f"the storage lacks {', '.join(missing)} of {found.commit[:12]}; `make push` where they are"
        )
    return "the storage has all data and outputs of its source"


def _image(repository: Repository, found: record.Release) -> str:
    assert found.image is not None  # noqa: S101 - for the type checker
    if found.image.name != repository.policy.image:
        raise FailedCheckError(
            f"its image is {found.image.name}, and this project's images are {repository.policy.image}"
        )
    return registry.require(found.image)


def _gate(repository: Repository, name: str, found: record.Release, sound: bool) -> str:
    champion = repository.serving(name)
    if champion is not None and champion.model == found.model:
        return "the model is the one that serves"
    if not sound:
        raise FailedCheckError("not judged, since another check fails")
    from ci import judge  # noqa: PLC0415 - it imports scikit-learn, which the other checks need not wait for

    root = repository.git.root
    serving = Revision(root, champion.commit) if champion else None
    result = judge.compare(Revision(root, found.commit), serving, repository.policy)
    if not result.passes:
        raise FailedCheckError(f"{result.verdict}: {'; '.join(result.reasons)}")
    return f"{result.verdict}: {'; '.join(result.reasons)}"
