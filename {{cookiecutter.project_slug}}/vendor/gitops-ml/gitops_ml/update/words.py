"""What the pull request of an update says."""

from __future__ import annotations

import re

from gitops_ml.pages import markup
from gitops_ml.update.checks import Check
from gitops_ml.update.merge import Merged
from gitops_ml.update.signed import Verified

MUST = re.compile(r"^### What you must do\n(?P<text>.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
LENGTH = 60_000
PLACES = 4_000
FENCE = "````"


def heading(old: str, new: str, verified: Verified) -> str:
    """What the pull request is about, and who made that."""
    return f"From version {old} of the template to {new}.\n\n{vouched(verified)}"


def vouched(verified: Verified) -> str:
    """Who made a version, as far as that was verified."""
    who = verified.sentence[:1].upper() + verified.sentence[1:]
    return f"{who}." if verified.key else f"**{who}.** Read what it changes as you would a stranger's."


def body(heading: str, changes: dict[str, str], merged: Merged, checks: list[Check], skipped: str) -> str:
    """Markdown: what is theirs to do, what was tried, and what is new, in the words of the changelog."""
    lines = [heading, ""]
    if merged.conflicts:
        lines += _conflicts(merged)
    if merged.replaced:
        lines += [
            "## Edits of the automation that this replaces",
            "",
            "Main's history has them; what you still need belongs into the template, or beside it.",
            "",
        ]
        lines += [f"- {markup.code(path, 200)}" for path in merged.replaced] + [""]
    if merged.deleted:
        lines += ["## Stays deleted", "", "The template changed what you have removed or moved.", ""]
        lines += [f"- {markup.code(path, 200)}" for path in merged.deleted] + [""]
    lines += ["## What was tried", ""]
    lines += [f"- {'ok' if each.holds else '**NO**'} {each.name}: {each.sentence}" for each in checks]
    lines += [f"- {skipped}"] if skipped else []
    for each in checks:
        if each.output:
            lines += ["", f"{FENCE}", each.output.replace(FENCE, "'''"), FENCE]
    for version, text in musts(changes).items():
        lines += ["", f"## What you must do for {version}", "", text]
    for version, text in changes.items():
        lines += ["", f"## What {version} changes", "", MUST.sub("", text).strip()]
    whole = "\n".join(lines)
    return whole if len(whole) <= LENGTH else f"{whole[:LENGTH]}\n\n… the rest is in the template's CHANGELOG.md"


def musts(changes: dict[str, str]) -> dict[str, str]:
    """What each version asks of the team, if anything."""
    return {version: found["text"].strip() for version, text in changes.items() if (found := MUST.search(text))}


def _conflicts(merged: Merged) -> list[str]:
    count = len(merged.conflicts)
    lines = [
        f"## {count} {'file is' if count == 1 else 'files are'} yours to settle",
        "",
        "Check this branch out, settle what stands between the markers, commit and push; the hooks refuse a commit "
        "with markers. Then `gitops-ml repo update` goes on. Between `<<<<<<<` and `|||||||` is what main has, after "
        "`=======` what the template has, between them what both began from.",
    ]
    for each in merged.conflicts:
        lines += ["", f"### {markup.code(each.path, 200)}", "", f"{each.why[:1].upper()}{each.why[1:]}."]
        if each.places:
            shown = each.places[:PLACES] + ("\n…" if len(each.places) > PLACES else "")
            lines += ["", FENCE, shown.replace(FENCE, "'''").rstrip(), FENCE]
    return [*lines, ""]
