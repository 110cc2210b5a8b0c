"""The commands about releases and environments."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from ci.errors import UserError

if TYPE_CHECKING:
    from ci.outcome import Outcome
    from ci.verify import Check

commands = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="ENV", help="An environment that project.yaml names.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Folder = Annotated[Path | None, typer.Option(help="Where the agent keeps what serves; .deploy/ENV by default.")]


@commands.command("key")
def key_command() -> None:
    """Make the key pair that signs releases, unless the project has one: deploy/release.pub, and a private half."""
    from ci import signing  # noqa: PLC0415 - here and below: what one command needs the others need not wait for

    private = signing.create_key(Path.cwd())
    if private is None:
        typer.echo(f"{signing.PUBLIC} is there already")
    else:
        typer.echo(f"wrote {signing.PUBLIC}, to be committed, and {private}, to be kept secret")
        typer.echo(f"CI gets the content of the private one as the secret {signing.VARIABLE}")


@commands.command("release")
def release_command(as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Release the commit of main that is checked out: package, judge, store, sign, tag. Once; then it is found."""
    from ci import release  # noqa: PLC0415

    made, new = release.make(Path.cwd(), dry_run=dry_run)
    if as_json:
        typer.echo(made.model_dump_json(indent=2))
        return
    said = "would be released" if dry_run and new else "released" if new else "was released before"
    typer.echo(f"{made.release} {said}: commit {made.commit[:12]}, model {made.model[:12]}, verdict: {made.verdict}")


@commands.command("releases")
def releases_command(as_json: AsJson = False) -> None:
    """List all releases, the newest first."""
    from ci import holds, release  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    git = Repository.opened(Path.cwd()).git
    found, held = release.listed(git), holds.read(git)
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
    elif not found:
        typer.echo("there is no release yet; `make release` makes one")
    else:
        table = folding("release", "created", "commit", "model", "verdict", "hold")
        for each in found:
            reason = held[each.release].reason if each.release in held else ""
            created = each.created.strftime("%Y-%m-%d %H:%M")
            table.add_row(each.release, created, each.commit[:12], each.model[:12], each.verdict, reason)
        Console().print(table, markup=False)


@commands.command("bootstrap")
def bootstrap_command(as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Create the branch of each environment that has none."""
    from ci import bootstrap  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    created = bootstrap.bootstrap(Repository.opened(Path.cwd()), dry_run)
    if as_json:
        typer.echo(json.dumps({"version": 1, "created": created, "dry_run": dry_run}))
    elif created:
        typer.echo(f"{'would create' if dry_run else 'created'} {', '.join(f'env/{name}' for name in created)}")
    else:
        typer.echo("every environment has its branch")


@commands.command("promote")
def promote_command(
    name: Name,
    release: Annotated[
        str | None, typer.Option(help="By default what the environment before serves, or the newest release.")
    ] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Put a release on an environment. Exit codes: 0 done, or open for approval; 3 a check blocks it; 1 an error."""
    from ci import promote  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    conclude(promote.promote(Repository.opened(Path.cwd()), name, release, dry_run), as_json)


@commands.command("rollback")
def rollback_command(
    name: Name,
    to: Annotated[str | None, typer.Option(help="By default the last other release that was healthy there.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; stands in the hold.")] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Put the release that served before on an environment, and hold the one that is there. Exit codes as promote's."""
    from ci import promote  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    conclude(promote.rollback(Repository.opened(Path.cwd()), name, to, reason, dry_run), as_json)


@commands.command("merge")
def merge_command(name: Name, as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Merge what is proposed for an environment, if every check holds now. Exit codes as promote's."""
    from ci import promote  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    conclude(promote.merge(Repository.opened(Path.cwd()), name, dry_run), as_json)


@commands.command("verify")
def verify_command(
    name: Name,
    commit: Annotated[str | None, typer.Option(help="By default what is proposed, or else what is there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check what is proposed for an environment, or else what it has.

    Exit codes: 0 every check holds; 3 one does not; 1 an error.
    """
    from ci import outcome, promote  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    checked = promote.verify_proposal(Repository.opened(Path.cwd()), name, commit)
    if as_json:
        typer.echo(checked.model_dump_json(indent=2))
    else:
        _list(checked.checks)
    raise typer.Exit(0 if checked.passes else outcome.BLOCKED)


@commands.command("hold")
def hold_command(
    release: Annotated[str, typer.Argument(help="The release, or the beginning of its hash.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Have a release promoted no more."""
    _hold(release, reason, as_json, dry_run)


@commands.command("release-hold")
def release_hold_command(
    release: Annotated[str, typer.Argument(help="The release, or the beginning of its hash.")],
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Let a release that was on hold be promoted again."""
    _hold(release, None, as_json, dry_run)


@commands.command("status")
def status_command(as_json: AsJson = False) -> None:
    """What serves where, what is pending, what is held, how far the environments are apart."""
    from ci import status  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    found = status.read(Repository.opened(Path.cwd()))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    table = folding("environment", "release", "state", "since", "behind main", "proposed")
    for each in found.environments:
        since = each.since.strftime("%Y-%m-%d %H:%M") if each.since else ""
        state = each.state if each.answers is None else f"{each.state}; its url says {each.answers}"
        behind = "" if each.behind is None else str(each.behind)
        table.add_row(each.name, each.release or "", state, since, behind, ", ".join(each.proposed))
    Console().print(table, markup=False)
    typer.echo(f"newest release: {found.newest or 'none yet'}")
    for hold in found.held:
        typer.echo(f"on hold since {hold.since:%Y-%m-%d %H:%M}: {hold.release}: {hold.reason}")


@commands.command("deploy")
def deploy_command(  # noqa: PLR0917 - options of a command have names
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
    from ci import deploy  # noqa: PLC0415

    where = folder or Path(".deploy") / name
    last = ""
    while True:
        try:
            done = deploy.deploy(Path.cwd(), name, where, accept_rewritten=accept_rewritten, dry_run=dry_run)
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


@commands.command("stop")
def stop_command(name: Name, folder: Folder = None) -> None:
    """End what the agent of this machine serves; the next deploy starts it again."""
    from ci import deploy  # noqa: PLC0415

    ended = deploy.stop(Path.cwd(), folder or Path(".deploy") / name)
    typer.echo(f"ended {', '.join(ended)}" if ended else f"nothing of {name} runs here")


def folding(*names: str) -> Table:
    """A table that breaks what is too long for the terminal, and cuts nothing off."""
    return Table(*(Column(name, overflow="fold") for name in names))


def _hold(name: str, reason: str | None, as_json: bool, dry_run: bool) -> None:
    from ci import holds, release  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    git = Repository.opened(Path.cwd()).git
    wanted = release.find(git, name).release
    held = wanted.release in holds.read(git)
    changed = held != (reason is not None)
    if changed and not dry_run:
        changed = holds.remove(git, wanted) if reason is None else holds.add(git, wanted, reason, datetime.now(UTC))
    if as_json:
        facts = {
            "version": 1,
            "release": wanted.release,
            "held": reason is not None,
            "changed": changed,
            "dry_run": dry_run,
        }
        typer.echo(json.dumps(facts))
        return
    state = "not on hold" if reason is None else "on hold"
    typer.echo(f"{wanted.release} {'would be' if dry_run and changed else 'is'} {state}{'' if changed else ' already'}")


def conclude(outcome: Outcome, as_json: bool) -> None:
    """Print an outcome and end with its exit code."""
    if as_json:
        typer.echo(outcome.model_dump_json(indent=2))
    else:
        _list(outcome.checks)
        typer.echo(outcome.sentence)
    raise typer.Exit(outcome.exit_code)


def _list(checks: list[Check]) -> None:
    for check in checks:
        mark = "ok  " if check.holds else "wait" if check.waits else "NO  "
        typer.echo(f"  {mark} {check.name}: {check.sentence}")
