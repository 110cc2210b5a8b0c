"""The command line of the automation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ci import initialize, package
from ci.errors import UserError

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


@app.command()
def init() -> None:
    """Once, in a new project: put the data into the storage and make the first commit. Safe to repeat."""
    initialize.initialize(Path.cwd())


@app.command("package")
def package_command(
    tag: Annotated[bool, typer.Option("--tag", help="Print the tag of the Bento and nothing else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the Bento says of itself as JSON.")] = False,
) -> None:
    """Build the Bento of the model that dvc.lock names, unless it is built already."""
    version = package.package(Path.cwd())
    if tag:
        typer.echo(version.release)
    elif as_json:
        typer.echo(json.dumps(version.model_dump(), indent=2))
    else:
        short = {name: str(value)[:12] for name, value in version}
        typer.echo(f"{version.release}: model {short['model']}, data {short['data']}, commit {short['commit']}")


def main() -> int:
    """Run a command; what its user can mend ends in one sentence and exit code 1."""
    try:
        app(standalone_mode=True)
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
