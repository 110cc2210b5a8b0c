"""Migrates project.yaml from version to version: its values stay, and what the new version needs is added.

`decision`, `card` and `environments` are the team's answers; where one is there, it is left alone, and the example's
decision never enters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import yaml

from gitops_ml.core.errors import UserError

FILE = "project.yaml"
EXAMPLES = ("decision",)
# What was a target of make before version 0.2.0, as comments name it.
RENAMED = {
    "monitor": "watch monitor",
    "predictions": "watch predictions",
    "retrain": "watch retrain",
    "merge ENV=": "env merge ",
}
# A block, with the comments above it.
BLOCK = re.compile(r"(?:^(?:#.*)?\n)*^(?P<key>\w+):.*\n(?:^(?:[ ].*)?\n(?=[ ])|^[ -].*\n)*", re.MULTILINE)


def migrated(text: str, baked: str, old: tuple[int, ...], new: tuple[int, ...]) -> str:
    """A project's settings as the new version needs them.

    Args:
        text: main's project.yaml.
        baked: that of the new bake, from which blocks are taken that there were not before.
        old: the version that main was made from.
        new: the new version.

    Raises:
        UserError: the file is not valid YAML, or has not the form of settings.
    """
    before = _parsed(text)
    for version, step in STEPS.items():
        if old < version <= new:
            text = step(text)
    text = _with_blocks(text, baked)
    after = _parsed(text)
    kept = {key: value for key, value in after.items() if key in before and key != "trusted_types"}
    if kept != {key: value for key, value in before.items() if key != "trusted_types"}:
        raise UserError(
            f"{FILE} cannot be migrated, since it is written in an unusual form; write its blocks as the template does"
        )
    return text


def _parsed(text: str) -> dict[str, object]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{FILE} of main is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UserError(f"{FILE} of main holds no settings")
    return found


def _with_blocks(text: str, baked: str) -> str:
    """Put in each block of the bake that is not there, behind the one that it follows in the bake."""
    has = _parsed(text)
    previous = ""
    for found in BLOCK.finditer(baked):
        key = found["key"]
        if key not in has and key not in EXAMPLES:
            place = next((each.end() for each in BLOCK.finditer(text) if each["key"] == previous), len(text))
            text = f"{text[:place]}{'' if found[0].startswith(chr(10)) else chr(10)}{found[0]}{text[place:]}"
        if key not in EXAMPLES:
            previous = key
    return text


def _types(text: str) -> str:
    """Version 0.1.0: a model's file holds the pipeline's own types, and folds of a number."""
    return _trusting(
        text, ("pipeline.encode.Calendar", "pipeline.encode.plain", "sklearn.model_selection._split.KFold")
    )


def _commands(text: str) -> str:
    """Version 0.2.0: commands have other names, in comments, and models may hold two more types."""
    for before, now in RENAMED.items():
        text = text.replace(f"make {before}", f"gitops-ml {now}")
    text = text.replace("the columns request, row and", "the columns answer, row and")
    return _trusting(text, ("pipeline.encode.Cycles", "pipeline.trend.BoostedLine"))


def _trusting(text: str, types: tuple[str, ...]) -> str:
    """Add to the types that a model's file may hold; what else is there stays in its order."""
    listed = re.search(r"^trusted_types:.*\n(?:[ ]*- .*\n)*", text, re.MULTILINE)
    if listed is None:
        return text
    missing = [each for each in types if each not in listed[0]]
    indent = re.search(r"^([ ]*)- ", listed[0], re.MULTILINE)
    if not missing or indent is None:
        return text
    lines = "".join(f"{indent[1]}- {each}\n" for each in missing)
    return text[: listed.end()] + lines + text[listed.end() :]


STEPS: dict[tuple[int, ...], Callable[[str], str]] = {(0, 1, 0): _types, (0, 2, 0): _commands}
