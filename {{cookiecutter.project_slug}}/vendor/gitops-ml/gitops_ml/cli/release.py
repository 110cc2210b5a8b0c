"""`gitops-ml release`: releases, and what keeps one from being promoted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Never

import typer

from gitops_ml.cli import tables
from gitops_ml.cli.options import BLOCKED, AsJson, DryRun, examples, group
from gitops_ml.core import signing
from gitops_ml.core.errors import UserError
from gitops_ml.marks import holds
from gitops_ml.pages import words
from gitops_ml.promotion import keys, repository
from gitops_ml.release import make as making
from gitops_ml.release import tags

Wanted = Annotated[str, typer.Argument(metavar="RELEASE", help="The release, or the beginning of its hash.")]

commands = group()


@commands.callback()
def _release() -> None:
    """Make releases, list them, hold them back."""


@commands.command("make", epilog=examples("release make", "release make --dry-run"))
def make(as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Release the commit of main that is checked out: package, judge, store, sign, tag. Once; then it is found.

    Exit codes: 0 it is released; 1 it is not, and nothing was tagged.
    """
    made, new = making.make(Path.cwd(), dry_run=dry_run)
    if as_json:
        typer.echo(made.model_dump_json(indent=2))
        return
    said = "would be released" if dry_run and new else "released" if new else "was released before"
    typer.echo(f"{made.release} {said}: commit {made.commit[:12]}, model {made.model[:12]}, verdict: {made.verdict}")


@commands.command("list", epilog=examples("release list --json"))
def list_command(as_json: AsJson = False) -> None:
    """List all releases, the newest first.

    Exit codes: 0 listed; 1 an error.
    """
    git = repository.Repository.opened(Path.cwd()).git
    found, held = tags.listed(git), holds.read(git)
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
    elif not found:
        typer.echo("there is no release yet; `gitops-ml release make` makes one")
    else:
        table = tables.table("release", "created", "commit", breaking=("verdict", "hold"))
        for each in found:
            reason = held[each.release].reason if each.release in held else ""
            facts = (tables.short(each.release), words.clock(each.created), each.commit[:12])
            table.add_row(*map(tables.text, (*facts, each.verdict, reason)))
        tables.show([table])
    if not as_json:
        for tag, why in tags.foreign(git).items():
            typer.echo(f"{tag} is none of them: {why}")


@commands.command("hold", epilog=examples('release hold 1a2b --reason "answers are late"'))
def hold(
    release: Wanted,
    reason: Annotated[str, typer.Option(help="Why.")],
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Have a release promoted no more.

    Exit codes: 0 it is on hold; 1 there is no such release, or an error.
    """
    _hold(release, reason, as_json, dry_run)


@commands.command("unhold", epilog=examples("release unhold 1a2b"))
def unhold(release: Wanted, as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Let a release that was on hold be promoted again.

    Exit codes: 0 it is not on hold; 1 an error.
    """
    _hold(release, None, as_json, dry_run)


@commands.command("key", epilog=examples("release key", "release key --rotate", "release key --withdraw"))
def key(
    rotate: Annotated[bool, typer.Option("--rotate", help="Make another one, which signs from now on.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take out older ones that are needed no more.")] = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Make the key pair that signs releases, unless the project has one: deploy/release.pub, and a private half.

    Exit codes: 0 done, or nothing to do; 3 an older key is still needed; 1 an error.
    """
    if rotate and withdraw:
        raise UserError("a key is withdrawn once releases of the new one serve; rotate first, withdraw later")
    if withdraw:
        _withdraw(as_json, dry_run)
    public = Path.cwd() / signing.PUBLIC
    wanted = rotate or not public.exists()
    if rotate and not public.exists():
        raise UserError(f"{signing.PUBLIC} is missing, so there is nothing to rotate; `gitops-ml release key` makes it")
    private = signing.create_key(Path.cwd(), another=rotate) if wanted and not dry_run else None
    if as_json:
        written = {"version": 1, "public": signing.PUBLIC, "private": str(private) if private else None}
        typer.echo(json.dumps(written))
    elif not wanted:
        typer.echo(f"{signing.PUBLIC} is there already; --rotate makes another key")
    elif private is None:
        typer.echo(f"would write {signing.PUBLIC} and a private key")
    else:
        typer.echo(f"wrote {signing.PUBLIC}, to be committed, and {private}, to be kept secret")
        typer.echo(f"CI gets the content of the private one as the secret {signing.VARIABLE}, once main has the other")
        if rotate:
            typer.echo("what older keys signed is trusted as before; once newer releases serve, run --withdraw")


def _withdraw(as_json: bool, dry_run: bool) -> Never:
    found = keys.withdraw(repository.Repository.opened(Path.cwd()), Path.cwd(), dry_run=dry_run)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        raise typer.Exit(BLOCKED if found.needed else 0)
    for name in found.withdrawn:
        typer.echo(f"{'would take' if dry_run else 'took'} the key {name} out of {signing.PUBLIC}; commit that")
    for release in found.lost:
        typer.echo(f"nobody can roll back to {release} any more")
    for release in found.unverified:
        typer.echo(
            f"no key in {signing.PUBLIC} signed {release}: it cannot be verified, with or without the older keys"
        )
    for name, whys in found.needed.items():
        typer.echo(f"the key {name} is still needed: it signed {'; '.join(whys)}")
    raise typer.Exit(BLOCKED if found.needed else 0)


def _hold(name: str, reason: str | None, as_json: bool, dry_run: bool) -> None:
    git = repository.Repository.opened(Path.cwd()).git
    wanted = tags.find(git, name).release
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
