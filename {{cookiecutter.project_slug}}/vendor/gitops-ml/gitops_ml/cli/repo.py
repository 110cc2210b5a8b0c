"""`gitops-ml repo`: the repository as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from gitops_ml.adoption import adopt as adopting
from gitops_ml.cli.options import BLOCKED, AsJson, examples, group
from gitops_ml.core import manifest, project
from gitops_ml.core.errors import UserError
from gitops_ml.github import doctor as doctors
from gitops_ml.github import rulesets
from gitops_ml.promotion import collect as collecting
from gitops_ml.promotion import repository
from gitops_ml.update import update as updating
from gitops_ml.versions import forge, initialize
from gitops_ml.versions.git import Git

commands = group()
Key = Annotated[
    Path | None,
    typer.Option("--key", help="A file with the template's public keys; by default those that main has in vendor/."),
]
Unsigned = Annotated[
    bool, typer.Option("--unsigned", help="Go on with a version that none of the keys signed, and say so.")
]


@commands.callback()
def _repo() -> None:
    """Set the repository up, and see what it lacks."""


@commands.command("init", epilog=examples("repo init"))
def init() -> None:
    """Once, in a new project: put the data into the storage and make the first commit. Safe to repeat.

    Exit codes: 0 done, or was done before; 1 something is missing, and nothing was committed.
    """
    initialize.initialize(Path.cwd())


@commands.command("doctor", epilog=examples("repo doctor", "repo doctor --json"))
def doctor(as_json: AsJson = False) -> None:
    """Say what a repository lacks for its workflows, and how to set it.

    Exit codes: 0 nothing is missing; 3 something is, or cannot be asked; 1 an error.
    """
    findings = []
    for finding in doctors.examine(Path.cwd()):
        findings.append(finding)
        if not as_json:
            mark = {"ok": "ok     ", "missing": "MISSING", "unknown": "unknown"}[finding.state]
            typer.echo(f"  {mark} {finding.name}: {finding.sentence}")
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], indent=2))
    raise typer.Exit(0 if all(finding.state == "ok" for finding in findings) else BLOCKED)


@commands.command("protect", epilog=examples("repo protect", "repo protect --apply"))
def protect(
    apply: Annotated[bool, typer.Option("--apply", help="Do it; otherwise only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have the repository's rulesets on GitHub be those that project.yaml asks for.

    Exit codes: 0 told; 1 an error.
    """
    hub = forge.of(Git(Path.cwd()))
    if not isinstance(hub, forge.GitHub):
        raise UserError("rulesets are GitHub's, and origin is another place; protect main and env/* by its own means")
    changes = rulesets.apply(hub, project.read(Path.cwd()), dry_run=not apply)
    if as_json:
        typer.echo(json.dumps([change.model_dump() for change in changes], indent=2))
        return
    for change in changes:
        done = {"create": "created", "update": "updated", "none": "as it should be"}[change.action]
        typer.echo(f"{change.name}: {done if apply or change.action == 'none' else f'would be {done}'}")
    if not apply and any(change.action != "none" for change in changes):
        typer.echo("nothing was changed; `gitops-ml repo protect --apply` does it")


@commands.command("gc", epilog=examples("repo gc", "repo gc --days 90 --apply"))
def gc(
    days: Annotated[int, typer.Option(min=1, help="Whatever is younger stays.")] = 30,
    apply: Annotated[bool, typer.Option("--apply", help="Remove it, for ever; otherwise only say what.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find what nothing needs any more in the storage: archives of releases, objects of DVC, remembered runs.

    What an environment, one of its last releases, a hold, a proposal, a branch or main's younger history needs stays.
    Work that brings old data back and is not pushed to origin is not known here: have it pushed first.

    Exit codes: 0 told, or removed; 1 something cannot be read, and nothing was removed.
    """
    found = collecting.collect(repository.Repository.opened(Path.cwd()), days, apply=apply)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    for kind, what in collecting.WORDS.items():
        count, size = found.total(kind)
        typer.echo(f"{count} {what}, {decimal(size)}, {'removed' if apply else 'are needed by nothing'}")
    typer.echo(f"{found.kept} others stay")
    if found.found and not apply:
        typer.echo("nothing was removed; `gitops-ml repo gc --apply` does it, and nothing brings it back")


@commands.command("vendored", epilog=examples("repo vendored"))
def vendored(as_json: AsJson = False) -> None:
    """Name the files of vendor/ that differ from the template's version.

    Exit codes: 0 none does; 3 some do, and are named; 1 there is no manifest.
    """
    found = manifest.differing(Path.cwd())
    if as_json:
        typer.echo(json.dumps({"version": 1, "differing": found}, indent=2))
    else:
        for path, what in found.items():
            typer.echo(f"{path} {what}; an update of the project will replace it")
        typer.echo(
            "in an emergency, SKIP=vendored lets a commit pass" if found else "vendor/ is as the template made it"
        )
    raise typer.Exit(BLOCKED if found else 0)


@commands.command("update", epilog=examples("repo update", "repo update --to v0.2.0 --from ../cookiecutter-gitops-ml"))
def update(
    *,
    to: Annotated[str | None, typer.Option(help="A version, or a commit; the newest version by default.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="A clone or a URL of the template; by default where .template.json says."),
    ] = None,
    recorded: Annotated[
        str | None, typer.Option(help="What the project was made from, a version or a commit, if nothing says it.")
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An answer that the project's files do not tell.")
    ] = None,
    key: Key = None,
    unsigned: Unsigned = False,
    check: Annotated[bool, typer.Option(help="Install, check, train, test and judge before proposing.")] = True,
    train: Annotated[bool, typer.Option(help="Run the pipeline and the gate, too.")] = True,
    push: Annotated[bool, typer.Option(help="Otherwise it is kept in build/update/proposal, and 0 says so.")] = True,
    as_json: AsJson = False,
) -> None:
    """Propose the template's newer version: one branch on main's tip, one pull request.

    Your working tree is not touched. Settle what both sides changed on the branch, push, and run this again: it goes
    on. docs/updates.md in vendor/gitops-ml says what is merged, what is replaced, and what stays yours.

    Exit codes: 0 proposed, or up to date; 3 proposed, and something is yours to settle or mend; 1 an error, and nothing
    was proposed.
    """
    wish = updating.Wish(
        to=to, source=source, recorded=recorded, answers=_answers(answer), key=key, unsigned=unsigned, check=check,
        train=train,
    )  # fmt: skip
    told = _telling(as_json)
    if not push:
        kept = updating.prepare(Path.cwd(), wish, told).outcome
        typer.echo(kept.model_dump_json(indent=2) if as_json else f"{kept.verified.sentence}\n{kept.kept}")
        return
    done = updating.update(Path.cwd(), wish, told)
    typer.echo(done.model_dump_json(indent=2) if as_json else f"{done.verified.sentence}\n{done.sentence}")
    raise typer.Exit(BLOCKED if done.state in ("conflicts", "failed") else 0)


@commands.command(
    "adopt",
    epilog=examples(
        "repo adopt --from ../cookiecutter-gitops-ml",
        "repo adopt --from ../cookiecutter-gitops-ml --data customers.csv --target churned --answer owner=my-org",
    ),
)
def adopt(
    *,
    source: Annotated[str, typer.Option("--from", help="A clone or a URL of the template.")],
    to: Annotated[str | None, typer.Option(help="A version, or a commit; the newest version by default.")] = None,
    answer: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An answer that the repository does not tell.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The table to learn from, as `make data` takes it.")] = None,
    target: Annotated[str | None, typer.Option(help="The column of it to predict.")] = None,
    key: Key = None,
    unsigned: Unsigned = False,
    as_json: AsJson = False,
) -> None:
    """Once, in a repository that is no project yet: a branch with the project around what is there.

    Nothing of yours is overwritten or moved; docs/adopt.md in vendor/gitops-ml says what becomes of names that both
    have. Branch and working tree that are checked out stay as they are.

    Exit codes: 0 the branch is there; 1 an error, and there is none.
    """
    if (data is None) != (target is None):
        raise typer.BadParameter("a table needs the column to predict, and the other way round", param_hint="--target")
    wish = adopting.Wish(
        source=source, to=to, answers=_answers(answer), target=target, data=data, key=key, unsigned=unsigned
    )
    done = adopting.adopt(Path.cwd(), wish, _telling(as_json))
    if as_json:
        typer.echo(done.model_dump_json(indent=2))
        return
    typer.echo(f"the branch {done.branch} is there: {done.files} files of version {done.template} around yours")
    typer.echo(f"  {done.verified.sentence}")
    for name, value in done.answers.items():
        typer.echo(f"  {name}: {value}")
    for note in done.notes:
        typer.echo(f"  {note}")
    typer.echo(f"next: {'; '.join(done.next)}; then merge it")


def _answers(said: list[str] | None) -> dict[str, str]:
    if wrong := [each for each in said or () if "=" not in each]:
        raise typer.BadParameter(f"{wrong[0]!r} is not NAME=VALUE", param_hint="--answer")
    return dict(each.split("=", 1) for each in said or ())


def _telling(as_json: bool) -> Callable[[str], object]:
    return (lambda step: None) if as_json else (lambda step: typer.echo(f"... {step}", err=True))
