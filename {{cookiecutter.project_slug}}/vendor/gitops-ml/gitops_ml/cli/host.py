"""`gitops-ml host`: what serves on this machine."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli.options import AsJson, DryRun, Folder, Name, agents_folder, examples, group
from gitops_ml.core.errors import UserError
from gitops_ml.promotion import deploy as agent
from gitops_ml.promotion import health, repository

commands = group()


@commands.callback()
def _host() -> None:
    """Have a release serve on this machine."""


@commands.command("deploy", epilog=examples("host deploy production", "host deploy staging --watch 15"))
def deploy(  # noqa: PLR0917 - options of a command have names
    name: Name,
    folder: Folder = None,
    watch: Annotated[float | None, typer.Option(help="Go on for ever, a step every so many seconds.")] = None,
    accept_rewritten: Annotated[
        bool, typer.Option(help="Take the branch as it is, although its history was rewritten.")
    ] = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """The agent's step: serve what the environment's branch says, or keep what serves and say why not.

    Exit codes: 0 it serves, or nothing was promoted yet; 3 it cannot, and the last good release goes on; 1 an error.
    """
    where = folder or agents_folder(name)
    last = ""
    while True:
        try:
            done = agent.deploy(Path.cwd(), name, where, accept_rewritten=accept_rewritten, dry_run=dry_run)
            said, code = done.model_dump_json(indent=2) if as_json else done.sentence, done.exit_code
        except UserError as error:
            if watch is None:
                raise
            said, code = f"error: {error}", 1
        if said != last:
            typer.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {said}" if watch else said)
        if watch is None:
            raise typer.Exit(code)
        last = said
        time.sleep(watch)


@commands.command("forget", epilog=examples("host forget staging web-2-1f3c"))
def forget(
    name: Name,
    host: Annotated[str, typer.Argument(metavar="HOST", help="As `gitops-ml env status` names it.")],
    as_json: AsJson = False,
) -> None:
    """Wait no more for what the agent of a host says that is gone for good.

    Exit codes: 0 it counts no more; 1 no such agent, or an error.
    """
    opened = repository.Repository.opened(Path.cwd())
    opened.settings(name)
    if not health.forget(opened.git, name, host):
        known = ", ".join(each.host for each in health.reports(opened.git, name)) or "none"
        raise UserError(f"no agent of {name} is called {host!r}; those that said something are: {known}")
    if as_json:
        typer.echo(json.dumps({"version": 1, "environment": name, "forgotten": host}))
    else:
        typer.echo(f"{host} counts no more in {name}, until its agent says something again")


@commands.command("stop", epilog=examples("host stop staging"))
def stop(name: Name, folder: Folder = None, as_json: AsJson = False) -> None:
    """End what the agent of this machine serves; the next deploy starts it again.

    Exit codes: 0 ended; 1 an error.
    """
    ended = agent.stop(Path.cwd(), folder or agents_folder(name))
    if as_json:
        typer.echo(json.dumps({"version": 1, "environment": name, "ended": ended}))
    else:
        typer.echo(f"ended {', '.join(ended)}" if ended else f"nothing of {name} runs here")
