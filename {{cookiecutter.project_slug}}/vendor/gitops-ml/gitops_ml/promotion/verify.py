"""What must hold before a promotion or a rollback may be merged; whatever cannot be checked does not hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel

from gitops_ml.core.errors import UserError
from gitops_ml.promotion import checks, served
from gitops_ml.promotion.repository import Repository
from gitops_ml.versions import environment

# How a commit shall come onto an environment's branch, or that it is there and serves.
Kind = Literal["promote", "rollback", "serve"]


class Check(BaseModel):
    """One check: whether it holds, and why or why not. One that `waits` may hold later without anybody's doing."""

    name: str
    holds: bool
    waits: bool = False
    sentence: str


class Verification(BaseModel):
    """All checks of one commit."""

    version: Literal[1] = 1
    environment: str
    kind: Kind
    commit: str
    release: str | None = None
    checks: list[Check] = []

    @property
    def passes(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)

    @property
    def waits(self) -> bool:
        """Whether nothing but time is missing."""
        return not self.passes and all(check.holds or check.waits for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The checks that do not hold."""
        return [check for check in self.checks if not check.holds]

    def ask(self, name: str, question: Callable[[], str]) -> bool:
        """Make one more check; whatever keeps it from being made makes it fail."""
        try:
            self.checks.append(Check(name=name, holds=True, sentence=question()))
        except UserError as error:
            waits = isinstance(error, checks.WaitingCheckError)
            self.checks.append(Check(name=name, holds=False, waits=waits, sentence=str(error)))
        return self.checks[-1].holds


def verify(repository: Repository, name: str, commit: str, kind: Kind, now: datetime | None = None) -> Verification:
    """Check a commit that shall become the tip of an environment's branch."""
    done = Verification(environment=name, kind=kind, commit=commit)
    done.ask("base", lambda: checks.base(repository, name, commit))
    candidate = _ask_content(repository, done)
    if candidate is None:
        return done
    found, moment = candidate.release, now or datetime.now(UTC)
    if kind == "rollback":
        done.ask("served before", lambda: checks.served_before(repository, name, found))
        return done
    done.ask("freeze", lambda: checks.freeze(repository, name))
    if repository.settings(name).windows:
        done.ask("window", lambda: checks.window(repository, name, moment))
    done.ask("environment before", lambda: checks.environment_before(repository, name, found, moment))
    done.ask("soak", lambda: checks.soak(repository, name, found, moment))
    if repository.settings(name).gate == "champion":
        sound = done.passes or done.waits
        done.ask("gate", lambda: checks.gate(repository, name, found, sound))
    return done


def verify_tip(repository: Repository, name: str) -> Verification:
    """Check what an environment's branch has now.

    Raises:
        UserError: nothing was promoted there yet.
    """
    tip = repository.tip(name)
    if environment.is_empty(repository.git, tip):
        raise UserError(f"nothing was promoted to {name} yet, and nothing is proposed")
    done = Verification(environment=name, kind="serve", commit=tip)
    candidate = _ask_content(repository, done)
    if candidate is not None:
        done.ask("agent", lambda: checks.healthy(repository, name, candidate.release, datetime.now(UTC)))
    return done


def require_applicable(repository: Repository, name: str, commit: str) -> environment.Candidate:
    """What an agent asks of a commit before it applies it: only what no passing of time can change.

    Raises:
        UserError: the tree is not that of a signed release of main that was healthy in the environment before.
    """
    candidate = checks.candidate(repository, commit)
    release = candidate.release.release
    checks.signature(repository, candidate)
    checks.source(repository, candidate.release)
    checks.rendered(repository, name, commit, candidate)
    before = repository.before(name)
    known = served.releases(repository.git, name)
    if before and release not in known and release not in served.releases(repository.git, before.name):
        raise checks.FailedCheckError(f"{release} was never healthy in {before.name}, which comes before {name}")
    return candidate


def _ask_content(repository: Repository, done: Verification) -> environment.Candidate | None:
    """The checks of what a commit holds, whatever it is for; None if it holds no release."""
    name, commit = done.environment, done.commit
    candidates: list[environment.Candidate] = []

    def whole() -> str:
        candidates.append(checks.candidate(repository, commit))
        return f"{candidates[0].release.release} is whole and as it was written"

    if not done.ask("record", whole):
        return None
    candidate = candidates[0]
    found = candidate.release
    done.release = found.release
    done.ask("signature", lambda: checks.signature(repository, candidate))
    done.ask("source", lambda: checks.source(repository, found))
    done.ask("paths", lambda: checks.paths(repository, name, commit, candidate))
    done.ask("rendering", lambda: checks.rendered(repository, name, commit, candidate))
    done.ask("hold", lambda: checks.hold(repository, found))
    done.ask("archive", lambda: checks.archive(repository, found))
    if found.image is not None or repository.settings(name).needs_image:
        done.ask("image", lambda: checks.image(repository, name, found))
    done.ask("data", lambda: checks.data(repository, found))
    return candidate
