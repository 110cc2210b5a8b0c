"""What many commands share: their arguments and options, and how they print and end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.core import project
from gitops_ml.core.errors import UserError

if TYPE_CHECKING:
    from gitops_ml.promotion.outcome import Outcome
    from gitops_ml.promotion.verify import Check

# What a caller may act on; 1 is an error. The gate's own are in gitops_ml.gate.result.
BLOCKED = 3

Name = Annotated[str, typer.Argument(metavar="ENV", help="An environment that project.yaml names.")]
LastByDefault = Annotated[
    str | None, typer.Argument(metavar="[ENV]", help="An environment of project.yaml; the last one by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Champion = Annotated[
    str | None, typer.Option(help="The branch that says which model serves; by default the last environment's.")
]
Folder = Annotated[Path | None, typer.Option(help="Where the agent keeps what serves; .deploy/ENV by default.")]

Where = Annotated[
    str | None,
    typer.Option("--engine", help="local, local:4 or a Dask scheduler; by default what project.yaml says."),
]


def group() -> typer.Typer:
    """The commands of a noun."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


def examples(*lines: str) -> str:
    """The end of a command's help: how it is called."""
    return "\n\n".join(["Examples:", *(f"  $ gitops-ml {line}" for line in lines)])


def agents_folder(name: str) -> Path:
    """Where this machine's agent keeps what serves in an environment."""
    return Path(".deploy") / name


def environment_or_last(settings: project.Project, name: str | None) -> str:
    """The environment of this name, or the last one.

    Raises:
        UserError: project.yaml names no such environment.
    """
    names = [each.name for each in settings.environments]
    if name is not None and name not in names:
        raise UserError(f"there is no environment {name!r}; project.yaml names {', '.join(names)}")
    return name or names[-1]


def conclude(outcome: Outcome, as_json: bool) -> None:
    """Print an outcome and end with its exit code."""
    if as_json:
        typer.echo(outcome.model_dump_json(indent=2))
    else:
        list_checks(outcome.checks)
        typer.echo(outcome.sentence)
    raise typer.Exit(outcome.exit_code)


def list_checks(checks: list[Check]) -> None:
    """Print a line for each check."""
    for check in checks:
        mark = "ok  " if check.holds else "wait" if check.waits else "NO  "
        typer.echo(f"  {mark} {check.name}: {check.sentence}")
