"""Merges pyproject.toml by what it means, where lines alone conflict: a team's packages, beside the template's."""

from __future__ import annotations

import re
import tomllib
from typing import Any

GROUPS = "dependency-groups"


def merged(old: str, ours: str, new: str) -> str | None:
    """The template's new file with the packages and groups that main has added; None if main changed more than that.

    Args:
        old: pyproject.toml of the bake that main was made from.
        ours: main's.
        new: that of the new bake.
    """
    try:
        before, mine, after = (tomllib.loads(text) for text in (old, ours, new))
    except tomllib.TOMLDecodeError:
        return None
    added = _added(before, mine)
    if added is None:
        return None
    text: str | None = new
    for group, entries in added.items():
        missing = [entry for entry in entries if entry not in after[GROUPS].get(group, [])]
        text = _with(text, group, missing, is_new=group not in after[GROUPS]) if text and missing else text
    return text


def differ(ours: str, baked: str) -> bool:
    """Whether two texts of pyproject.toml may ask for other packages: comments and order do not."""
    try:
        return tomllib.loads(ours) != tomllib.loads(baked)
    except tomllib.TOMLDecodeError:
        return True


def _with(text: str, group: str, entries: list[str], *, is_new: bool) -> str | None:
    """The text with more entries in a group; None if the group is not written as the template does."""
    lines = "".join(f'  "{entry}",\n' for entry in entries)
    heading = rf"^\[{GROUPS}\]\n" if is_new else rf"^{re.escape(group)} = \[\n(?:(?!\]).*\n)*(?=\])"
    found = re.search(heading, text, re.MULTILINE)
    if found is None:
        return None
    return text[: found.end()] + (f"{group} = [\n{lines}]\n" if is_new else lines) + text[found.end() :]


def _added(before: dict[str, Any], mine: dict[str, Any]) -> dict[str, list[str]] | None:
    """What main's groups have more; None if anything else differs."""
    if {**before, GROUPS: None} != {**mine, GROUPS: None} or not before.get(GROUPS, {}).keys() <= mine[GROUPS].keys():
        return None
    found = {}
    for group, entries in mine[GROUPS].items():
        known = before[GROUPS].get(group, [])
        more = [entry for entry in entries if entry not in known]
        # One that was taken out or exchanged is a wish of its own.
        if [entry for entry in entries if entry in known] != known or not all(isinstance(each, str) for each in more):
            return None
        if more:
            found[group] = more
    return found
