"""The commands that workflows run, each of which also runs on a laptop."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ci import actions
from ci.environments import AsJson, DryRun, Name, conclude
from ci.errors import UserError

commands = typer.Typer()
MISSING = 3


@commands.command("plan")
def plan_command(
    base: Annotated[str, typer.Option(help="The commit or branch that the change would be merged into.")] = "main",
    head: Annotated[str, typer.Option(help="The change.")] = "HEAD",
    source: Annotated[str | None, typer.Option(help="OWNER/NAME of the repository that it comes from.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a change asks for training and packaging, or only for checks."""
    from ci import plan  # noqa: PLC0415 - here and below: what one command needs the others need not wait for

    found = plan.plan(Path.cwd(), base, head, source)
    actions.output("train", json.dumps(found.train))
    said = f"{'train and package' if found.train else 'only checks'}: {found.reason}"
    actions.summarise(said)
    typer.echo(found.model_dump_json(indent=2) if as_json else said)


@commands.command("publish")
def publish_command(  # noqa: PLR0917 - options of a command have names
    pull: Annotated[int, typer.Option(help="The number of the pull request.")],
    base: Annotated[str, typer.Option(help="The commit that it would be merged into.")],
    head: Annotated[str, typer.Option(help="The commit whose run this is.")],
    branch: Annotated[str, typer.Option(help="The branch that it comes from.")],
    results: Annotated[str, typer.Option(help="What `toJSON(needs)` gives: the jobs' results.")],
    as_json: AsJson = False,
) -> None:
    """Commit dvc.lock to a pull request's branch, write its one comment and set its status, from build/trained."""
    from ci import publish  # noqa: PLC0415

    request = publish.PullRequest(pull, base, head, branch)
    done = publish.publish(Path.cwd(), request, publish.results_of(results))
    actions.summarise(f"{done.state}: {done.sentence}")
    typer.echo(done.model_dump_json(indent=2) if as_json else f"{done.state}: {done.sentence}")


@commands.command("advance")
def advance_command(
    after: Annotated[str | None, typer.Argument(metavar="[ENV]", help="Without it, the first environment.")] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Propose for the environment that comes after ENV what ENV serves; for the first one the newest release."""
    from ci import advance  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    outcome = advance.advance(Repository.opened(Path.cwd()), after, dry_run)
    if outcome is None:
        typer.echo("null" if as_json else f"no environment comes after {after}")
    else:
        conclude(outcome, as_json)


@commands.command("settle")
def settle_command(as_json: AsJson = False) -> None:
    """Look again at all that is proposed: say what holds now, and merge what needs nobody's approval."""
    from ci import advance  # noqa: PLC0415
    from ci.repository import Repository  # noqa: PLC0415

    done = advance.settle(Repository.opened(Path.cwd()))
    if as_json:
        typer.echo(json.dumps([outcome.model_dump(mode="json") for outcome in done], indent=2))
        return
    for outcome in done:
        typer.echo(outcome.sentence)
    if not done:
        typer.echo("nothing is proposed")


@commands.command("await")
def await_command(
    name: Name,
    minutes: Annotated[float, typer.Option(help="How long at most.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Wait until the environment's agent has dealt with what its branch says. Exit codes as deploy's."""
    from ci import advance  # noqa: PLC0415

    done = advance.await_agent(Path.cwd(), name, minutes, lambda said: typer.echo(said, err=True))
    typer.echo(done.model_dump_json(indent=2) if as_json else done.sentence)
    raise typer.Exit(done.exit_code)


@commands.command("credentials")
def credentials_command() -> None:
    """Make the storage usable for a workflow: by OIDC, or by the secret DVC_CONFIG."""
    from ci import credentials  # noqa: PLC0415

    folder = os.environ.get("RUNNER_TEMP") or tempfile.mkdtemp()
    typer.echo(credentials.obtain(Path.cwd(), Path(folder)))


@commands.command("login")
def login_command() -> None:
    """Log in to the project's registry as REGISTRY_USER with REGISTRY_PASSWORD, if any environment runs images."""
    from ci import engine, project, registry  # noqa: PLC0415

    settings = project.read(Path.cwd())
    if not settings.needs_image:
        typer.echo("no environment runs images, so no registry is needed")
        return
    actions.output("images", "true")
    user, password = (os.environ.get(f"REGISTRY_{what}", "") for what in ("USER", "PASSWORD"))
    if not user or not password:
        raise UserError("say as whom: set REGISTRY_USER and REGISTRY_PASSWORD")
    host = settings.image.partition("/")[0]
    # First, since an engine says of a registry that is down that it does not let us in.
    registry.require_answer(host)
    engine.find().login(host, user, password)
    typer.echo(f"logged in to {host} as {user}")


@commands.command("sign", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sign_command(context: typer.Context) -> None:
    """Sign the image of this commit's release as the workflow that runs, without a key; other options are cosign's."""
    from ci import keyless  # noqa: PLC0415

    said = keyless.sign(Path.cwd(), context.args)
    actions.summarise(said)
    typer.echo(said)


@commands.command("verify-lock")
def verify_lock_command() -> None:
    """Hold dvc.lock to code, settings and data: reproducing would change nothing."""
    from ci import lock  # noqa: PLC0415

    lock.require_current(Path.cwd())
    typer.echo("dvc.lock is what reproducing gives")


@commands.command("resolve")
def resolve_command() -> None:
    """Settle a merge in which dvc.lock is in conflict, by reproducing."""
    from ci import lock  # noqa: PLC0415

    typer.echo(f"settled {', '.join(lock.resolve(Path.cwd()))}; look at `make metrics`, then `git commit`, `make push`")


@commands.command("alarm")
def alarm_command() -> None:
    """Open, update or close the issue about what `monitor` found last, and start the retraining that it asks for."""
    from ci import alarm, forge  # noqa: PLC0415
    from ci.git import Git  # noqa: PLC0415

    hub = forge.of(Git(Path.cwd()))
    if not isinstance(hub, forge.GitHub):
        raise UserError("issues are GitHub's, and origin is another place; `make monitor` says the same here")
    found = alarm.read(Path.cwd())
    done = alarm.tell(hub, found)
    said = f"{len(found.alarms)} alarms in {found.environment}: {done}"
    actions.summarise(said)
    typer.echo(said)


@commands.command("protect")
def protect_command(
    apply: Annotated[bool, typer.Option("--apply", help="Do it; otherwise only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have the repository's rulesets on GitHub be those that project.yaml asks for."""
    from ci import forge, project, rulesets  # noqa: PLC0415
    from ci.git import Git  # noqa: PLC0415

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
        typer.echo("nothing was changed; `make protect OPTIONS=--apply` does it")


@commands.command("doctor")
def doctor_command(as_json: AsJson = False) -> None:
    """Say what a repository lacks for its workflows, and how to set it.

    Exit codes: 0 nothing is missing; 3 something is, or cannot be asked; 1 an error.
    """
    from ci import doctor  # noqa: PLC0415

    findings = []
    for finding in doctor.examine(Path.cwd()):
        findings.append(finding)
        if not as_json:
            mark = {"ok": "ok     ", "missing": "MISSING", "unknown": "unknown"}[finding.state]
            typer.echo(f"  {mark} {finding.name}: {finding.sentence}")
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], indent=2))
    raise typer.Exit(0 if all(finding.state == "ok" for finding in findings) else MISSING)
