"""Notes the hashes of the vendored package, by which a project tells which of its files were edited."""

from __future__ import annotations

from typing import Annotated

import typer
from gitops_ml.core import manifest

from ci.shell import ROOT

PROJECT = ROOT / "{{cookiecutter.project_slug}}"


def main(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if the manifest is out of step.")
    ] = False,
) -> None:
    """Write MANIFEST.sha256 of the vendored package, if it is another one."""
    if check:
        if found := manifest.differing(PROJECT):
            typer.echo(
                f"{len(found)} files are not as the manifest says, such as {next(iter(found))}: make manifest", err=True
            )
            raise typer.Exit(1)
    elif manifest.write(PROJECT):
        typer.echo(f"wrote {manifest.FOLDER / manifest.FILE}")


if __name__ == "__main__":
    typer.run(main)
