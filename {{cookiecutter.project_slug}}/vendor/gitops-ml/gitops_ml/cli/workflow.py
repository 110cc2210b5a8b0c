"""`gitops-ml workflow`: what only workflows call. Each command also runs on a laptop."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli.options import AsJson, DryRun, Name, conclude, group
from gitops_ml.core import actions, project
from gitops_ml.core.errors import UserError
from gitops_ml.deployment import advance as promotion
from gitops_ml.github import credentials as storage
from gitops_ml.github import offer as offers
from gitops_ml.github import publish as publishing
from gitops_ml.github import trust as trusting
from gitops_ml.image import engine, registry
from gitops_ml.monitor import content
from gitops_ml.notify import alarm as alarms
from gitops_ml.notify import branch, webhook
from gitops_ml.promotion import repository
from gitops_ml.release import keyless
from gitops_ml.versions import forge
from gitops_ml.versions.git import MAIN, Git

commands = group()


@commands.callback()
def _workflow() -> None:
    """What only workflows call; each also runs on a laptop."""


@commands.command("publish")
def publish(  # noqa: PLR0917 - options of a command have names
    pull: Annotated[int, typer.Option(help="The number of the pull request.")],
    base: Annotated[str, typer.Option(help="The commit that it would be merged into.")],
    head: Annotated[str, typer.Option(help="The commit whose run this is.")],
    branch: Annotated[str, typer.Option(help="The branch that it comes from.")],
    results: Annotated[str, typer.Option(help="The jobs' results, each as NAME=RESULT.")],
    as_json: AsJson = False,
) -> None:
    """Commit dvc.lock to a pull request's branch, write its one comment and set its status, from build/trained."""
    request = publishing.PullRequest(pull, base, head, branch)
    done = publishing.publish(Path.cwd(), request, publishing.results_of(results))
    actions.summarise(f"{done.state}: {done.sentence}")
    typer.echo(done.model_dump_json(indent=2) if as_json else f"{done.state}: {done.sentence}")


@commands.command("trust")
def trust(
    head: Annotated[str, typer.Option(help="The commit that would be merged; it is not checked out.")] = "HEAD",
    base: Annotated[str, typer.Option(help="The commit or branch that it would be merged into.")] = MAIN,
    pull: Annotated[int | None, typer.Option(help="Of which pull request, to set the status `trust`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what in a change decides about trust or quality, from Git's objects alone, and whom that asks for."""
    if pull is None:
        told = trusting.look(Path.cwd(), base, head)
    elif (found := trusting.publish(Path.cwd(), pull, base, head)) is None:
        typer.echo("null" if as_json else f"pull request {pull} has moved on; its own run says it")
        return
    else:
        told = found
    actions.summarise(told.markdown)
    typer.echo(told.model_dump_json(indent=2) if as_json else f"{told.state}: {told.sentence}")


@commands.command("advance")
def advance(
    after: Annotated[str | None, typer.Argument(metavar="[ENV]", help="Without it, the first environment.")] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Propose for the environment that comes after ENV what ENV serves; for the first one the newest release."""
    outcome = promotion.advance(repository.Repository.opened(Path.cwd()), after, dry_run)
    if outcome is None:
        typer.echo("null" if as_json else f"no environment comes after {after}")
    else:
        conclude(outcome, as_json)


@commands.command("settle")
def settle(as_json: AsJson = False) -> None:
    """Look again at all that is proposed: say what holds now, and merge what needs nobody's approval."""
    done = promotion.settle(repository.Repository.opened(Path.cwd()))
    if as_json:
        typer.echo(json.dumps([outcome.model_dump(mode="json") for outcome in done], indent=2))
        return
    for outcome in done:
        typer.echo(outcome.sentence)
    if not done:
        typer.echo("nothing is proposed")


@commands.command("await")
def await_agent(
    name: Name,
    minutes: Annotated[float, typer.Option(help="How long at most.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Wait until the environment's agent has dealt with what its branch says.

    Exit codes as deploy's.
    """
    done = promotion.await_agent(Path.cwd(), name, minutes, lambda said: typer.echo(said, err=True))
    typer.echo(done.model_dump_json(indent=2) if as_json else done.sentence)
    raise typer.Exit(done.exit_code)


@commands.command("credentials")
def credentials() -> None:
    """Make the storage usable for a workflow: by OIDC, or by the secret DVC_CONFIG."""
    folder = os.environ.get("RUNNER_TEMP") or tempfile.mkdtemp()
    typer.echo(storage.obtain(Path.cwd(), Path(folder)))


@commands.command("login")
def login() -> None:
    """Log in to the project's registry as REGISTRY_USER with REGISTRY_PASSWORD, if any environment runs images."""
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


@commands.command("update")
def update(as_json: AsJson = False) -> None:
    """Propose what `gitops-ml repo update --no-push` kept: with APP_TOKEN a pull request, without it one issue."""
    done = offers.offer(Path.cwd())
    actions.summarise(done.sentence)
    typer.echo(done.model_dump_json(indent=2) if as_json else done.sentence)


@commands.command("sign", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sign(context: typer.Context) -> None:
    """Sign the image of this commit's release as the workflow that runs, without a key; other options are cosign's."""
    said = keyless.sign(Path.cwd(), context.args)
    actions.summarise(said)
    typer.echo(said)


@commands.command("alarm")
def alarm() -> None:
    """Open, update or close the issue about what `monitor` found last, start the retraining, and fill monitor/ENV."""
    git = Git(Path.cwd())
    hub = forge.of(git)
    if not isinstance(hub, forge.GitHub):
        raise UserError("issues are GitHub's, and origin is elsewhere; `gitops-ml watch monitor` says the same here")
    found = content.read(Path.cwd())
    done = alarms.tell(hub, found)
    try:
        if found.settings.webhook:
            webhook.send(found, actions.run_url())
    finally:
        branch.write(git, branch.of(found))
    said = f"{found.environment}: {found.heading}; its issue: {done}"
    actions.summarise(said)
    typer.echo(said)
