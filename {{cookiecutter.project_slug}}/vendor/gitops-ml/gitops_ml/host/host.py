"""One host on which releases of one environment serve: a front with the public port, and instances behind it.

active.json is the only thing that is remembered, and it is replaced in one step. Everything else is asked of the
system, so whoever works on a host may be killed anywhere, and the next one goes on from what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from filelock import FileLock

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Environment, Workers
from gitops_ml.core.record import Release
from gitops_ml.front.server import ACTIVE
from gitops_ml.host import active
from gitops_ml.host.active import Active, Rolling
from gitops_ml.host.containers import Containers
from gitops_ml.host.port import Port
from gitops_ml.host.processes import Processes
from gitops_ml.host.runner import UNWELL_SECONDS, Instance, Runner
from gitops_ml.host.system import words
from gitops_serving.version import Version

PAUSE_SECONDS = 0.1
# After the switch no new request comes to the old instance; those that were just being sent have this long to arrive.
DRAIN_SECONDS = 1.0
ANSWER_SECONDS = 2.0
LOCK = "serving.lock"


@dataclass(frozen=True)
class Serving:
    """The front and the instance that serve now."""

    front: psutil.Process
    runner: Runner
    instance: Instance

    @property
    def runs(self) -> bool:
        """Whether both still run; quickly told, if not whether they answer."""
        return bool(words(self.front)) and not self.runner.ended(self.instance)


class Host:
    """What serves in a folder of this machine. Several processes may work on it at a time."""

    def __init__(self, root: Path, folder: Path, runners: Mapping[str, Runner] | None = None) -> None:
        self.root = root
        self.folder = folder.resolve()
        self.port = Port(self.folder)
        self.runners = runners or {"process": Processes(root, self.folder), "compose": Containers(self.folder)}

    @property
    def active(self) -> Active | None:
        """What serves, or did when somebody last looked; None if nothing was ever deployed here.

        Raises:
            UserError: the file is damaged.
        """
        return active.read(self.folder)

    def revive(self) -> Serving | None:
        """Have what served serve again if it ended, does not answer, or the machine was started anew; what serves then.

        None if nothing was ever deployed here.

        Raises:
            UserError: it cannot be started, or the port cannot be had.
        """
        with self._changing():
            active = self.active
            if active is None:
                return None
            runner = self.runners[active.runner]
            # First, since requests wait at a front for their instance.
            front = self.port.require(active.public)
            found = _of(active, runner)
            instance = self._well(found, active.release)
            if instance is None:
                instance = self._started(
                    runner, active.release, active.ready_seconds, workers=active.workers, unwell=found
                )
                front = self._switch(instance, active)
        # And no other: an instance that active.json does not name may be one that a step is just starting.
        if found and found != instance:
            _end_all([(runner, found)])
        return Serving(front, runner, instance)

    def serve(self, release: Release, commit: str, settings: Environment, files: Mapping[str, bytes]) -> None:
        """Have a verified release serve: beside the old one first, then instead of it.

        Raises:
            UserError: it cannot be installed, does not become ready, or the port cannot be had; what served goes on.
        """
        assert settings.runner != "cluster"  # noqa: S101 - for the type checker; clusters have no host
        runner = self.runners[settings.runner]
        wanted = Active(
            commit=commit,
            release=release,
            port=0,
            ready_seconds=settings.ready_seconds,
            runner=settings.runner,
            public=settings.port,
            workers=settings.workers,
        )
        with self._changing():
            before = self.active
            same = before is not None and before.release == release and before.runner == settings.runner
            found = _of(before, runner) if before and same else None
            instance = self._well(found, release) if before and before.workers == settings.workers else None
            if instance:
                self._switch(instance, wanted)
        try:
            if instance is None:
                # What takes long, while the one that serves is kept alive.
                runner.install(release, files)
                instance = self._started(runner, release, wanted.ready_seconds, workers=wanted.workers, unwell=found)
                with self._changing():
                    self._switch(instance, wanted)
        finally:
            with self._changing():
                others = self._others()
            _end_all(others)
        runner.forget(self._kept(release, before))

    def roll(self, wanted: Rolling, settings: Environment, files: Mapping[str, bytes]) -> None:
        """Have a verified release answer beside the one that serves, as a stage of its rollout says.

        Raises:
            UserError: it cannot be installed, or does not become ready; what served goes on.
        """
        assert settings.runner != "cluster"  # noqa: S101 - for the type checker; clusters have no host
        runner, release = self.runners[settings.runner], wanted.release
        with self._changing():
            before = self.active.rollout if self.active else None
            same = before is not None and before.release == release
            found = _of(before, runner) if before and same else None
            instance = self._well(found, release)
        if instance is None:
            runner.install(release, files)
            instance = self._started(runner, release, settings.ready_seconds, workers=settings.workers, unwell=found)
        with self._changing():
            self._write_rollout(wanted.model_copy(update={"port": instance.port}))
            others = self._others()
        _end_all(others)

    def end_rollout(self) -> None:
        """From here on no request goes to the release that was rolled out; its instance ends."""
        with self._changing():
            self._write_rollout(None)
            others = self._others()
        _end_all(others)

    def stop_all(self) -> list[str]:
        """End the front and every instance; returns their releases."""
        with self._changing():
            self.port.stop()
            running = [(runner, instance) for runner in self._used() for instance in runner.instances()]
            for runner, instance in running:
                runner.stop(instance)
        return [instance.short for _, instance in running]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else starts or ends anything here meanwhile: neither an agent's step nor what keeps it alive."""
        with FileLock(self.folder / LOCK):
            yield

    def _well(self, instance: Instance | None, release: Release) -> Instance | None:
        """The instance, if there is one and it answers."""
        if instance is not None:
            try:
                await_ready(_url(instance), release, lambda: None, UNWELL_SECONDS)
            except UserError:
                return None
        return instance

    def _started(
        self, runner: Runner, release: Release, seconds: float, *, workers: Workers, unwell: Instance | None
    ) -> Instance:
        """An instance of a release that is ready and says that it is this release; one that was left over will do."""
        left = [each for each in runner.instances() if each.short == release.short and each != unwell]
        instance = left[0] if left else runner.start(release.short, workers=workers)

        def require_alive() -> None:
            if not runner.alive(instance):
                raise UserError(f"{release.release} ended while it was started; it said:\n  {runner.said(instance)}")

        try:
            await_ready(_url(instance), release, require_alive, seconds)
        except UserError:
            runner.stop(instance)
            raise
        return instance

    def _switch(self, instance: Instance, wanted: Active) -> psutil.Process:
        """From here on every new request goes to this instance; what could fail is done before that. The front."""
        part = self._written(wanted.model_copy(update={"port": instance.port}))
        front = self.port.require(wanted.public)
        part.replace(self.folder / ACTIVE)
        return front

    def _write_rollout(self, rollout: Rolling | None) -> None:
        """Change nothing but who is asked beside what serves."""
        if (active := self.active) is not None and active.rollout != rollout:
            self._written(active.model_copy(update={"rollout": rollout})).replace(self.folder / ACTIVE)

    def _written(self, active: Active) -> Path:
        """What active.json shall be, under another name."""
        part = self.folder / f"{ACTIVE}.part"
        part.write_text(active.model_dump_json(indent=2) + "\n")
        return part

    def _others(self) -> list[tuple[Runner, Instance]]:
        """Every instance that active.json does not name."""
        active = self.active
        named = {active.port, active.rollout.port if active.rollout else active.port} if active else set()
        return [
            (runner, instance)
            for runner in self._used()
            for instance in runner.instances()
            if instance.port not in named
        ]

    def _used(self) -> list[Runner]:
        """The runners that ever had something here."""
        return [runner for runner in self.runners.values() if runner.releases.exists()]

    def _kept(self, release: Release, before: Active | None) -> set[str]:
        """What stays installed, to go back to quickly."""
        return {release.short} | ({before.release.short} if before else set())


@progress.doing("waiting until the release is ready")
def await_ready(url: str, release: Release | Version, require_alive: Callable[[], None], seconds: float) -> None:
    """Wait until a service is ready and says that it is a release.

    Raises:
        UserError: it is not in time, it ended, or it says that it is another one.
    """
    give_up = time.monotonic() + seconds
    said = "nothing"
    with httpx.Client(base_url=url, timeout=ANSWER_SECONDS, follow_redirects=True) as client:
        while time.monotonic() < give_up:
            require_alive()
            try:
                if client.get("/readyz").is_success:
                    version = client.get("/version").raise_for_status().json()
                    if (version["release"], version["model"]) == (release.release, release.model):
                        return
                    said = f"that it is {version['release']}"
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                said = type(error).__name__
            time.sleep(PAUSE_SECONDS)
    raise UserError(f"{release.release} is not ready after {seconds:g} seconds\n  {url} last said {said}")


def _of(active: Active | Rolling, runner: Runner) -> Instance | None:
    """The running instance that active.json names."""
    found = (each for each in runner.instances() if each.port == active.port and each.short == active.release.short)
    return next(found, None)


def _end_all(others: list[tuple[Runner, Instance]]) -> None:
    """End instances after each had time to get and finish its requests."""
    if others:
        time.sleep(DRAIN_SECONDS)
    for runner, instance in others:
        runner.stop(instance)


def _url(instance: Instance) -> str:
    return f"http://127.0.0.1:{instance.port}"
