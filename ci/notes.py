"""The changelog's section of a version, as the notes of its release."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from ci.shell import ROOT

HEADING = re.compile(r"^## \[?(?P<version>[^\]\s]+)\]?.*$", re.MULTILINE)


def notes(changelog: str, version: str) -> str | None:
    """The text between a version's heading and the next; None if there is no such heading, or nothing under it."""
    headings = list(HEADING.finditer(changelog))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        if heading["version"] == version:
            return changelog[heading.end() : following.start() if following else None].strip() or None
    return None


def main(tag: Annotated[str, typer.Argument(help="The tag, such as v1.2.0.")]) -> None:
    """Print the changelog's section of a tag's version; a release without one is not made."""
    found = notes((ROOT / "CHANGELOG.md").read_text(), tag.removeprefix("v"))
    if found is None:
        typer.echo(f"error: CHANGELOG.md says nothing under {tag.removeprefix('v')}", err=True)
        raise typer.Exit(1)
    typer.echo(found)


if __name__ == "__main__":
    typer.run(main)
