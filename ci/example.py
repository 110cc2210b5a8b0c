"""What a change of the template changes in the projects that it makes, as a diff of the default variant."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from cookiecutter.main import cookiecutter

from ci.bake import bake
from ci.shell import ROOT, CommandError, run

DIFF = ROOT / "build" / "example.diff"
# What GitHub shows of a step's summary, with room for the rest.
SHOWN = 60_000


def baked_at(revision: str, into: Path) -> Path:
    """Generate a project from the template as a commit has it."""
    template = into / "template"
    content = subprocess.check_output(["git", "archive", revision], cwd=ROOT)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        # Python has filters from 3.11.4 on, and the archive is Git's own.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(template)  # noqa: S202
    return Path(cookiecutter(str(template), no_input=True, output_dir=str(into)))


def difference(base: str) -> str:
    """The diff from a project of the commit `base` to one of the working tree; empty if they are the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        baked_at(base, folder / "made").rename(folder / "before")
        bake({}, folder / "made").rename(folder / "after")
        done = subprocess.run(
            ["git", "diff", "--no-index", "--stat", "--patch", "before", "after"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout


def main(base: Annotated[str, typer.Option(help="The commit to compare with.")] = "origin/main") -> None:
    """Write build/example.diff, and show it on the page of a workflow's run."""
    try:
        run("git", "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", cwd=ROOT)
    except CommandError as error:
        raise typer.BadParameter(f"there is no commit {base!r} here") from error
    found = difference(base)
    DIFF.parent.mkdir(exist_ok=True)
    DIFF.write_text(found)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        # Four spaces make code of a line, whatever it holds.
        shown = "\n".join(f"    {line}" for line in found[:SHOWN].splitlines())
        Path(summary).write_text(f"## What a new project gets\n\n{shown or 'the same as before'}\n")
    typer.echo(f"{DIFF.relative_to(ROOT)}: {found.count(chr(10))} lines" if found else "a new project is the same")


if __name__ == "__main__":
    typer.run(main)
