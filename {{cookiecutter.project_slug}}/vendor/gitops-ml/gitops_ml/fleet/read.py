"""Reads what a fleet's repositories say: in parallel, each for so long at most, and none for what another one lacks."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field, ValidationError

from gitops_ml.core.errors import UserError
from gitops_ml.core.programs import TooLongError
from gitops_ml.fleet import clone
from gitops_ml.fleet.clone import Clone
from gitops_ml.fleet.content import Environment, Fleet, Model, Owned
from gitops_ml.fleet.listing import USER, Listing, Source
from gitops_ml.fleet.templates import Templates, opened
from gitops_ml.marks import freezes, holds
from gitops_ml.notify import branch
from gitops_ml.pages import verdicts
from gitops_ml.promotion import health, proposals
from gitops_ml.report import owners
from gitops_ml.versions.environment import branch as branch_of
from gitops_ml.versions.environment import serving
from gitops_ml.versions.git import MAIN

SETTINGS = "project.yaml"
SENTENCE = 300


class _Place(BaseModel):
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    silent_minutes: float = Field(default=60, ge=0, le=1e6)


class _Card(BaseModel):
    contact: str = ""


class _Project(BaseModel):
    """What is needed of project.yaml, of whatever version."""

    name: str
    title: str = ""
    owner: str = ""
    environments: list[_Place] = Field([], max_length=50)
    card: _Card = _Card()


def fleet(
    listing: Listing,
    cache: Path,
    *,
    seconds: float,
    jobs: int,
    done: Callable[[], object] = lambda: None,
) -> Fleet:
    """What all repositories say now, in the order of the list.

    Args:
        listing: which they are.
        cache: a folder for what is fetched.
        seconds: how long each may take.
        jobs: how many are read at the same time.
        done: is called after each.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    with tempfile.TemporaryDirectory() as folder:
        problem, templates = "", Templates(None)
        try:
            templates = Templates(opened(listing.template, cache, Path(folder), time.monotonic() + seconds))
        except UserError as error:
            problem = _sentence(listing.template, error, seconds)
        pool = ThreadPoolExecutor(jobs)
        try:
            models = [pool.submit(_model, each, cache, seconds, templates, now) for each in listing.sources]
            for _ in as_completed(models):
                done()
        finally:
            # Whoever ends this does not wait for those that have not begun.
            pool.shutdown(cancel_futures=True)
    return Fleet(
        moment=now,
        template=templates.newest.name if templates.newest else "",
        template_problem=problem,
        models=[each.result() for each in models],
    )


def _model(source: Source, cache: Path, seconds: float, templates: Templates, now: datetime) -> Model:
    try:
        found = clone.opened(source, cache, time.monotonic() + seconds, lambda git: _read(git, source, templates, now))
    except Exception as error:  # whatever others have in a repository, all others are read
        found = Model(source=source.shown, problem=_sentence(source, error, seconds))
    return Model.model_validate(_hidden(found.model_dump()))


def _hidden(value: Any) -> Any:
    """The same, without the users and passwords of URLs, whoever wrote them down."""
    if isinstance(value, dict):
        return {key: _hidden(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    return USER.sub("", value) if isinstance(value, str) else value


def _sentence(source: Source | None, error: Exception, seconds: float) -> str:
    if isinstance(error, TooLongError):
        return f"was not read within {seconds:g} seconds"
    said = " ".join(str(error).split())
    if not isinstance(error, UserError | OSError):
        said = f"holds something unexpected ({type(error).__name__}: {said})"
    said = source.clean(said) if source else said
    return said if len(said) <= SENTENCE else f"{said[:SENTENCE]}…"


def _read(git: Clone, source: Source, templates: Templates, now: datetime) -> Model:
    main = git.tip(MAIN)
    if main is None:
        raise UserError(f"has no branch {MAIN}, so it is no project of ours")
    settings = _settings(git, main)
    owner, owner_from = _owner(git, main, settings)
    held, frozen = list(holds.read(git).values()), freezes.read(git)
    environments = []
    for place in settings.environments:
        try:
            found = _environment(git, place, now)
        except TooLongError:
            raise
        except UserError as error:
            found = Environment(name=place.name, problem=_sentence(source, error, 0))
        hold = next((each for each in held if each.release in (found.serving, found.release)), None)
        environments.append(found.model_copy(update={"hold": hold, "frozen": frozen.get(place.name)}))
    return Model(
        source=source.shown,
        fetched=clone.last_fetched(git) if source.folder else None,
        name=settings.name,
        title=settings.title,
        owner=owner,
        owner_from=owner_from,
        environments=environments,
        held=held,
        template=templates.made(git, main),
    )


def _settings(git: Clone, main: str) -> _Project:
    content = git.read(main, SETTINGS)
    if content is None:
        raise UserError(f"is no project of ours: {MAIN} has no {SETTINGS}")
    try:
        return _Project.model_validate(yaml.safe_load(content))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{SETTINGS} is not valid YAML") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{SETTINGS} is not one of ours: {place}: {first['msg']}") from error


def _owner(git: Clone, main: str, settings: _Project) -> tuple[str, Owned]:
    """Whom to ask, and who says so: the card, else CODEOWNERS, else project.yaml."""
    if settings.card.contact.strip():
        return settings.card.contact.strip(), "card"
    if names := owners.of(owners.read(git, main), SETTINGS):
        return " ".join(names), "CODEOWNERS"
    return settings.owner, "project.yaml" if settings.owner else ""


def _environment(git: Clone, place: _Place, now: datetime) -> Environment:
    """What serves in one; holds and freezes are not looked at.

    Raises:
        UserError: something of it cannot be read.
    """
    tip = git.tip(branch_of(place.name))
    release = serving(git, tip) if tip else None
    proposed = sorted(proposals.awaited(git, place.name))
    if tip is None or release is None:
        word: health.Health = "empty" if tip else "no branch"
        return Environment(name=place.name, health=word, state=word, proposed=proposed)
    said = health.reports(git, place.name)
    allowed = timedelta(minutes=place.silent_minutes)
    found, state = health.standing(tip, said, now, allowed)
    served = {each.serving for each in said}
    now_serving = next(iter(served)) if len(served) == 1 else None
    finding = branch.read(git, place.name)
    return Environment(
        name=place.name,
        release=release.release,
        named=datetime.fromtimestamp(git.time(tip), UTC),
        serving=now_serving,
        since=max((each.since for each in said), default=None),
        created=release.created,
        verdict=release.verdict,
        judged=verdicts.of(release),
        health=found,
        state=" ".join(state.split()),
        hosts={each.host: each.checked for each in said},
        silent=[each.host for each in said if each.silent(now, allowed)],
        proposed=proposed,
        finding=finding,
        unwatched=_unwatched(finding, now_serving or release.release, now),
    )


def _unwatched(finding: branch.Finding | None, release: str, now: datetime) -> str:
    """Why what the monitor found says nothing of what serves now; empty if it does, or nobody ever looked."""
    if finding is None:
        return ""
    if now - finding.moment > finding.until - finding.since:
        return "nobody has looked for longer than a window"
    return "" if finding.release == release else f"this was found of {finding.release}"
