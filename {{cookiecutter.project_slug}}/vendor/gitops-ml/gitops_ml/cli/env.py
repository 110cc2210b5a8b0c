"""`gitops-ml env`: which release serves in which environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import tables
from gitops_ml.cli.options import (
    BLOCKED,
    AsJson,
    DryRun,
    Name,
    conclude,
    examples,
    group,
    list_checks,
)
from gitops_ml.ledger import entries, page
from gitops_ml.ledger import status as standing
from gitops_ml.marks import freezes
from gitops_ml.promotion import bootstrap as branches
from gitops_ml.promotion import promote as promotion
from gitops_ml.promotion import repository

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


@commands.command(
    "freeze", rich_help_panel=CHANGE, epilog=examples('env freeze production --reason "answers are wrong"')
)
def freeze(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; everybody who promotes reads it.")],
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Stop the line: nothing is promoted to an environment until it is unfrozen. A rollback always may.

    Exit codes: 0 it is frozen; 1 an error.
    """
    _freeze(name, reason, True, as_json, dry_run)


@commands.command(
    "unfreeze", rich_help_panel=CHANGE, epilog=examples('env unfreeze production --reason "the tables are right again"')
)
def unfreeze(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; stands in the ledger.")] = "",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Let an environment be promoted to again; what was proposed meanwhile goes on.

    Exit codes: 0 it is not frozen; 1 an error.
    """
    _freeze(name, reason, False, as_json, dry_run)


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
    tables.show(tables.status(found))


@commands.command("ledger", rich_help_panel=LOOK, epilog=examples("env ledger", "env ledger --html ledger.html"))
def ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print entries, and how it stands now, as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write an HTML page to this file instead.")] = None,
) -> None:
    """List who put which release where, when, on which verdict and why.

    Exit codes: 0 listed; 1 an error.
    """
    found = entries.build(Path.cwd())
    if html is not None:
        html.write_text(page.html(found))
    elif as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        tables.show(tables.ledger(found))


def _freeze(name: str, reason: str, wanted: bool, as_json: bool, dry_run: bool) -> None:
    opened = _opened()
    opened.settings(name)
    changed = wanted != (name in freezes.read(opened.git))
    if changed and not dry_run:
        changed = (promotion.freeze if wanted else promotion.unfreeze)(opened, name, reason)
    if as_json:
        facts = {"version": 1, "environment": name, "frozen": wanted, "changed": changed, "dry_run": dry_run}
        typer.echo(json.dumps(facts))
        return
    state = "frozen" if wanted else "not frozen"
    typer.echo(f"{name} {'would be' if dry_run and changed else 'is'} {state}{'' if changed else ' already'}")


def _opened() -> repository.Repository:
    return repository.Repository.opened(Path.cwd())
