"""What follows from a verdict of gate or monitor, in words and in the tone in which all pages say it."""

from __future__ import annotations

from pydantic import BaseModel

from gitops_ml.core.record import Release
from gitops_ml.pages import words
from gitops_ml.pages.words import Tone


class Says(BaseModel):
    """What follows from something, in words, with the tone in which all pages say it."""

    text: str
    tone: Tone

    @property
    def signed(self) -> str:
        """With a sign, for text without colours."""
        return f"{words.SIGNS[self.tone]} {self.text}"


# Of the monitor.
WATCHED: dict[str, Tone] = {"alarm": "bad", "watch": "wait", "all is well": "good", "not known": "plain"}


def watched(verdict: str, untested: int) -> Tone:
    """The tone of what the monitor found: nothing is green of which a part was not tested."""
    return "plain" if verdict == "all is well" and untested else WATCHED[verdict]


def meaning(verdict: str, *, passes: bool, same: bool, fails: bool = False) -> Says:
    """What follows from a verdict for a model that is the `same` as the one that serves, or of which a rule `fails`."""
    if verdict == "no champion":
        return Says(text="Fit to serve", tone="good") if passes else Says(text="Not fit to serve", tone="bad")
    if passes:
        return Says(text="May replace what serves", tone="good")
    if same:
        return Says(text="Is what serves", tone="plain")
    if verdict == "insufficient evidence" and not fails:
        return Says(text="Not known yet", tone="wait")
    return Says(text="Must not replace what serves", tone="bad")


def of(release: Release) -> Says:
    """What followed from the verdict that a release was made on."""
    word, blocked, _ = release.verdict.partition(", blocked")
    passes = word in ("promote", "no champion") and not blocked
    return meaning(word, passes=passes, same=release.champion == release.model)
