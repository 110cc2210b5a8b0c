"""`gitops-ml env`: which release serves in which environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gitops_ml.cli.options import (
    BLOCKED,
    AsJson,
    DryRun,
    Name,
    conclude,
    examples,
    folding,
    group,
    list_checks,
)
from gitops_ml.promotion import bootstrap as branches
from gitops_ml.promotion import promote as promotion
from gitops_ml.promotion import repository
from gitops_ml.promotion import status as standing
from gitops_ml.report import ledger as past
from gitops_ml.report import render

LOOK, CHANGE = "Look", "Change"

commands = group()


@commands.callback()
def _env() -> None:
    """Put releases on environments, check them, roll back."""


@commands.command("bootstrap", rich_help_panel=CHANGE, epilog=examples("env bootstrap"))
def bootstrap(as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Create the branch of each environment that has none.

    Exit codes: 0 all have one; 1 an error.
    """
    created = branches.bootstrap(_opened(), dry_run)
    if as_json:
        typer.echo(json.dumps({"version": 1, "created": created, "dry_run": dry_run}))
    elif created:
        typer.echo(f"{'would create' if dry_run else 'created'} {', '.join(f'env/{name}' for name in created)}")
    else:
        typer.echo("every environment has its branch")


@commands.command(
    "promote", rich_help_panel=CHANGE, epilog=examples("env promote staging", "env promote production --release 1a2b")
)
def promote(
    name: Name,
    release: Annotated[
        str | None, typer.Option(help="By default what the environment before serves, or the newest release.")
    ] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Put a release on an environment.

    Exit codes: 0 done, or open for approval; 3 a check blocks it; 1 an error.
    """
    conclude(promotion.promote(_opened(), name, release, dry_run), as_json)


@commands.command(
    "rollback", rich_help_panel=CHANGE, epilog=examples('env rollback production --reason "answers are late"')
)
def rollback(
    name: Name,
    to: Annotated[str | None, typer.Option(help="By default the last other release that was healthy there.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; stands in the hold.")] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Put the release that served before on an environment, and hold the one that is there.

    Exit codes as promote's.
    """
    conclude(promotion.rollback(_opened(), name, to, reason, dry_run), as_json)


@commands.command("merge", rich_help_panel=CHANGE, epilog=examples("env merge production"))
def merge(name: Name, as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Merge what is proposed for an environment, if every check holds now.

    Exit codes as promote's.
    """
    conclude(promotion.merge(_opened(), name, dry_run), as_json)


@commands.command("verify", rich_help_panel=LOOK, epilog=examples("env verify production"))
def verify(
    name: Name,
    commit: Annotated[str | None, typer.Option(help="By default what is proposed, or else what is there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check what is proposed for an environment, or else what it has.

    Exit codes: 0 every check holds; 3 one does not; 1 an error.
    """
    checked = promotion.verify_proposal(_opened(), name, commit)
    if as_json:
        typer.echo(checked.model_dump_json(indent=2))
    else:
        list_checks(checked.checks)
    raise typer.Exit(0 if checked.passes else BLOCKED)


@commands.command("status", rich_help_panel=LOOK, epilog=examples("env status", "env status --json"))
def status(as_json: AsJson = False) -> None:
    """What serves where, what is pending, what is held, how far the environments are apart.

    Exit codes: 0 told; 1 an error.
    """
    found = standing.read(_opened())
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    table = folding("environment", "release", "state", "since", "heard", "behind main", "proposed")
    for each in found.environments:
        since = each.since.strftime("%Y-%m-%d %H:%M") if each.since else ""
        state = each.state if each.answers is None else f"{each.state}; its url says {each.answers}"
        behind = "" if each.behind is None else str(each.behind)
        heard = min((host.heard for host in each.hosts), default=None)
        last = heard.strftime("%Y-%m-%d %H:%M") if heard else ""
        table.add_row(each.name, each.release or "", state, since, last, behind, ", ".join(each.proposed))
    Console().print(table, markup=False)
    typer.echo(f"newest release: {found.newest or 'none yet'}")
    for each in found.environments:
        for host in each.hosts if len(each.hosts) > 1 else ():
            typer.echo(f"{each.name} on {host.host}: {host.state}, last heard {host.heard:%Y-%m-%d %H:%M}")
    for hold in found.held:
        typer.echo(f"on hold since {hold.since:%Y-%m-%d %H:%M}: {hold.release}: {hold.reason}")
    for strange in found.foreign:
        typer.echo(f"not of this project's machines, and left alone: {strange}")


@commands.command("ledger", rich_help_panel=LOOK, epilog=examples("env ledger", "env ledger --html ledger.html"))
def ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print the entries as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this file instead.")] = None,
) -> None:
    """List who put which release where, when, on which verdict.

    Exit codes: 0 listed; 1 an error.
    """
    entries = past.read(Path.cwd())
    if html is not None:
        html.write_text(render.ledger_html(entries))
    elif as_json:
        typer.echo(json.dumps([entry.model_dump(mode="json") for entry in entries], indent=2))
    elif not entries:
        typer.echo("nothing was promoted yet: there is no environment's branch with a release")
    else:
        table = folding("when", "environment", "what", "release", "verdict", "who")
        for entry in entries:
            moment = entry.when.strftime("%Y-%m-%d %H:%M")
            table.add_row(moment, entry.environment, entry.action, entry.release, entry.verdict, entry.who)
        Console().print(table, markup=False)


def _opened() -> repository.Repository:
    return repository.Repository.opened(Path.cwd())
