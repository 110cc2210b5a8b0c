"""`gitops-ml host`: what serves on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gitops_ml.cli.options import AsJson, DryRun, Folder, Name, agents_folder, environment_or_last, examples, group
from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.deployment import deploy as agent
from gitops_ml.host import keeper
from gitops_ml.host.host import Host
from gitops_ml.promotion import health, repository

commands = group()


@commands.callback()
def _host() -> None:
    """Have a release serve on this machine."""


def _named(given: str | None) -> str | None:
    """A name that can be one of a branch, and that no other agent has by itself."""
    if given is not None and (not health.NAMED.fullmatch(given) or given in health.RESERVED):
        raise typer.BadParameter(
            f"{given!r} is no name of an agent: letters, digits, and dashes between them, 63 at most, and not "
            f"{' or '.join(health.RESERVED)}"
        )
    return given


@commands.command(
    "deploy",
    epilog=examples("host deploy production", "host deploy staging --watch 15", "host deploy staging --as web-2"),
)
def deploy(  # noqa: PLR0917 - options of a command have names
    name: Name,
    folder: Folder = None,
    watch: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=86400,
            help="Go on for ever, a step every so many seconds; what ends between two steps is started again at once.",
        ),
    ] = None,
    known_as: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            callback=_named,
            help="What this agent is called from now on, and no other one of ENV; by default its machine has a say.",
        ),
    ] = None,
    accept_rewritten: Annotated[
        bool, typer.Option(help="Take the branch as it is, although its history was rewritten.")
    ] = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """The agent's step: serve what the environment's branch says, or keep what serves and say why not.

    Exit codes: 0 it serves, or nothing was promoted yet; 3 it cannot, and the last good release goes on; 1 an error.
    """
    host = Host(Path.cwd(), folder or agents_folder(name))
    step = partial(
        agent.deploy,
        Path.cwd(),
        name,
        host,
        accept_rewritten=accept_rewritten,
        known_as=known_as,
        dry_run=dry_run,
    )
    if dry_run:
        _conclude(step(), as_json)
    agent.require_known(Path.cwd(), name, host)
    if watch is None:
        with _kept_meanwhile(host):
            done = step()
        _conclude(done, as_json)
    else:
        with keeper.watching(host), keeper.kept(host, _say, agent.STEP_SECONDS):
            _watch(step, watch, as_json)


def _conclude(done: agent.Deployment, as_json: bool) -> NoReturn:
    typer.echo(done.model_dump_json(indent=2) if as_json else done.sentence)
    raise typer.Exit(done.exit_code)


@contextmanager
def _kept_meanwhile(host: Host) -> Iterator[None]:
    """What serves is kept alive for as long as a step takes, be it by an agent that watches."""
    with ExitStack() as stack:
        with suppress(keeper.KeptError):
            stack.enter_context(keeper.kept(host, partial(typer.echo, err=True)))
        yield


def _watch(step: Callable[[], agent.Deployment], seconds: float, as_json: bool) -> None:
    last = ""
    while True:
        try:
            done = step()
            said = done.model_dump_json(indent=2) if as_json else done.sentence
        except UserError as error:
            said = f"error: {error}"
        # What a program says of the same state, below the first line, differs each time.
        if (first := said if as_json else said.partition("\n")[0]) != last:
            _say(said)
        last = first
        time.sleep(seconds)


def _say(sentence: str) -> None:
    typer.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {sentence}")


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

    Exit codes: 0 ended, or nothing runs here; 1 there is no such environment, or an agent is at work.
    """
    host = Host(Path.cwd(), folder or agents_folder(name))
    if folder is None and not host.folder.exists():
        environment_or_last(project.read(Path.cwd()), name)
    if folder and not folder.exists():
        raise UserError(f"there is no folder {folder}, so nothing runs there")
    ended = agent.stop(host)
    if as_json:
        typer.echo(json.dumps({"version": 1, "environment": name, "ended": ended}))
    else:
        typer.echo(f"ended {', '.join(ended)}" if ended else f"nothing of {name} runs here")
