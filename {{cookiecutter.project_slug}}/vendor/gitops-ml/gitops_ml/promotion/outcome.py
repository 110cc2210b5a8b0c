"""What came of promoting, rolling back or merging: what programs read, and the sentence for people."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from gitops_ml.promotion import verify

BLOCKED = 3
State = Literal["nothing to do", "merged", "open", "blocked"]


class Outcome(BaseModel):
    """What came of it; the JSON that other programs read."""

    version: Literal[1] = 1
    environment: str
    kind: verify.Kind
    release: str
    replaces: str | None
    state: State
    dry_run: bool = False
    branch: str | None = None
    commit: str | None = None
    where: str | None = None
    held: str | None = None
    checks: list[verify.Check] = []

    @property
    def exit_code(self) -> int:
        """0 if it was done, was done before, or waits to be merged; 3 if a check blocks it."""
        return BLOCKED if self.state == "blocked" else 0

    @property
    def sentence(self) -> str:
        """For the person at the command line."""
        held = f"; {self.held} {'would be' if self.dry_run else 'is'} on hold" if self.held else ""
        count = f"{len(self._failed)} checks do not hold" if len(self._failed) != 1 else "a check does not hold"
        said = {
            "nothing to do": f"{self.environment} has {self.release} already{self._further}",
            "merged": f"{self.environment} is to serve {self.release} now; its agent applies it",
            "blocked": f"{self.release} cannot be put on {self.environment}: {count}",
            "open": f"{self.where or self.branch} is open; {self._awaited}",
        }[self.state]
        return f"{'would be: ' if self.dry_run and self.state != 'nothing to do' else ''}{said}{held}"

    @property
    def _failed(self) -> list[verify.Check]:
        return [check for check in self.checks if not check.holds]

    @property
    def _further(self) -> str:
        if self.kind != "rollback":
            return ""
        return f"; `gitops-ml env rollback {self.environment} --to RELEASE` goes back further"

    @property
    def _awaited(self) -> str:
        if self._failed:
            return f"it waits: {'; '.join(check.sentence for check in self._failed)}"
        return f"somebody merges it: `gitops-ml env merge {self.environment}`, or the button of its pull request"
