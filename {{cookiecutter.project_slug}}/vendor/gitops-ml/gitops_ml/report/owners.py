"""Who must approve a change of a file: CODEOWNERS, read as GitHub reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gitops_ml.versions.git import Git

# GitHub takes the first of these that there is.
PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
# A blank that is escaped belongs to the pattern; a # begins a comment.
WORD = re.compile(r"(?:\\.|[^\s\\#])+")


def read(git: Git, commit: str) -> dict[str, list[str]]:
    """The patterns of a commit's CODEOWNERS and whom each names; none without such a file."""
    found = next((content for path in PLACES if (content := git.read(commit, path)) is not None), b"")
    return parse(found.decode(errors="replace"))


def parse(text: str) -> dict[str, list[str]]:
    """The patterns of a CODEOWNERS and whom each names, in the order in which they count."""
    rules: dict[str, list[str]] = {}
    for line in text.splitlines():
        pattern, *names = WORD.findall(line.partition(" #")[0]) or [""]
        # GitHub passes over what it does not take as a pattern.
        if pattern and not pattern.startswith("!") and "[" not in pattern:
            # One that is named again counts where it stands last.
            rules.pop(pattern, None)
            rules[pattern] = names
    return rules


def of(rules: Mapping[str, list[str]], path: str) -> list[str]:
    """Whom the rules name for a path; nobody if none fits, or the last that fits names none."""
    fitting = [names for pattern, names in rules.items() if _expression(pattern).fullmatch(path)]
    return fitting[-1] if fitting else []


def _expression(pattern: str) -> re.Pattern[str]:
    body = re.sub(r"\\(.)", r"\1", pattern.strip("/"))
    parts = [
        r"(?:.*/)?" if part == "**/" else r"[^/]*" if part == "*" else r"[^/]" if part == "?" else re.escape(part)
        for part in re.findall(r"\*\*/|\*|\?|[^*?]+", body)
    ]
    anywhere = "" if "/" in pattern.rstrip("/") else r"(?:.*/)?"
    if pattern.endswith("/"):
        below = r"/.*"
    elif body.endswith("/**"):
        below = r".*"
    else:
        # `docs/*` means the files of the folder itself.
        below = "" if body.endswith("/*") else r"(?:/.*)?"
    return re.compile(anywhere + "".join(parts) + below, re.DOTALL)
