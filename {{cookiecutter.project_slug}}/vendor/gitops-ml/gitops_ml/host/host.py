"""One host on which releases of one environment serve: a front with the public port, and instances behind it.

active.json is the only thing that is remembered, and it is replaced in one step. Everything else is asked of the
system, so whoever works on a host may be killed anywhere, and the next one goes on from what is there.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import httpx
import psutil
from pydantic import BaseModel, ValidationError

from gitops_ml.core import progress
from gitops_ml.core.errors import UserError
from gitops_ml.core.project import Environment
from gitops_ml.core.record import Release
from gitops_ml.host.containers import Containers
from gitops_ml.host.front import ACTIVE
from gitops_ml.host.processes import Processes
from gitops_ml.host.runner import Instance, Runner
from gitops_serving.version import Version

# An instance that was ready once and does not answer for so long is started anew.
UNWELL_SECONDS = 15.0
BACKLOG = 1024
PAUSE_SECONDS = 0.1
# After the switch no new request comes to the old instance; those that were just being sent have this long to arrive.
DRAIN_SECONDS = 1.0
ANSWER_SECONDS = 2.0
FRONT = "gitops_ml.host.front"
# As fronts are called that an agent of 0.1 started, and that go on through an update.
FRONT_BEFORE = "ci.front"
# The folder of the package, in which `-m` finds the front.
CODE = Path(__file__).resolve().parent.parent.parent


class Active(BaseModel):
    """active.json: what serves, where, and which commit of the branch said so."""

    commit: str
    release: Release
    port: int
    ready_seconds: float
    runner: Literal["process", "compose"]
    public: int


class Host:
    """What serves in a folder of this machine. Whoever uses it holds the folder's lock."""

    def __init__(self, root: Path, folder: Path, runners: Mapping[str, Runner] | None = None) -> None:
        self.root = root
        self.folder = folder
        self.runners = runners or {"process": Processes(root, folder), "compose": Containers(folder)}

    @property
    def active(self) -> Active | None:
        """What serves, or did when somebody last looked; None if nothing was ever deployed here.

        Raises:
            UserError: the file is damaged.
        """
        path = self.folder / ACTIVE
        try:
            return Active.model_validate_json(path.read_text())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise UserError(f"{path} is damaged; remove it, and the next step deploys anew") from error

    def revive(self) -> None:
        """Have what served serve again, if it ended or the machine was started anew."""
        active = self.active
        if active is None:
            return
        runner = self.runners[active.runner]
        instance = _of(active, runner)
        if instance is None:
            self._activate(self._started(runner, active.release, active.ready_seconds), active)
        self.require_front(active.public)

    def serve(self, release: Release, commit: str, settings: Environment, files: Mapping[str, bytes]) -> None:
        """Have a verified release serve: beside the old one first, then instead of it.

        Raises:
            UserError: it cannot be installed or does not become ready; what served goes on serving.
        """
        assert settings.runner != "cluster"  # noqa: S101 - for the type checker; clusters have no host
        before = self.active
        runner = self.runners[settings.runner]
        wanted = Active(
            commit=commit,
            release=release,
            port=0,
            ready_seconds=settings.ready_seconds,
            runner=settings.runner,
            public=settings.port,
        )
        same = before is not None and before.release == release and before.runner == settings.runner
        instance = self._well(runner, _of(before, runner), release) if before and same else None
        try:
            if instance is None:
                runner.install(release, files)
                instance = self._started(runner, release, settings.ready_seconds)
            self._activate(instance, wanted)
            self.require_front(settings.port)
        finally:
            self._end_others()
        runner.forget(self._kept(release, before))

    def stop_all(self) -> list[str]:
        """End the front and every instance; returns their releases."""
        for front in self._fronts():
            _end(front)
        ended = []
        for runner in self._used():
            for instance in runner.instances():
                runner.stop(instance)
                ended.append(instance.short)
        return ended

    def _well(self, runner: Runner, instance: Instance | None, release: Release) -> Instance | None:
        """The instance, if it answers; one that only seems to run is ended."""
        if instance is not None:
            try:
                await_ready(f"http://127.0.0.1:{instance.port}", release, lambda: None, UNWELL_SECONDS)
            except UserError:
                runner.stop(instance)
                return None
        return instance

    def _started(self, runner: Runner, release: Release, seconds: float) -> Instance:
        """An instance of a release that is ready and says that it is this release; one that was left over will do."""
        left = [each for each in runner.instances() if each.short == release.short]
        instance = left[0] if left else runner.start(release.short)

        def require_alive() -> None:
            if not runner.alive(instance):
                raise UserError(f"{release.release} ended while it was started; it said:\n  {runner.said(instance)}")

        try:
            await_ready(f"http://127.0.0.1:{instance.port}", release, require_alive, seconds)
        except UserError:
            runner.stop(instance)
            raise
        return instance

    def _activate(self, instance: Instance, wanted: Active) -> None:
        """The switch: from here on every new request goes to this instance."""
        content = wanted.model_copy(update={"port": instance.port}).model_dump_json(indent=2)
        part = self.folder / f"{ACTIVE}.part"
        part.write_text(content + "\n")
        part.replace(self.folder / ACTIVE)

    def _end_others(self) -> None:
        """End every instance that active.json does not name, after it had time to get and finish its requests."""
        active = self.active
        others = [
            (runner, instance)
            for runner in self._used()
            for instance in runner.instances()
            if active is None or instance.port != active.port
        ]
        if others:
            time.sleep(DRAIN_SECONDS)
        for runner, instance in others:
            runner.stop(instance)

    def require_front(self, port: int) -> None:
        """Have exactly one front, on this port.

        Raises:
            UserError: something else listens there.
        """
        fronts = {front: _words(front) for front in self._fronts()}
        others = [front for front, words in fronts.items() if words[-1:] != [str(port)]]
        if len(others) == len(fronts):
            self._start_front(port)
        # Only now: a port that cannot be had leaves what serves.
        for front in others:
            _end(front)

    def _start_front(self, port: int) -> None:
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", port))
            except OSError as error:
                raise UserError(f"port {port} of 127.0.0.1 cannot be had: {error.strerror}") from error
            # From here on no connection is refused: the kernel keeps them until the front has started.
            listening.listen(BACKLOG)
            handle = listening.fileno()
            with (self.folder / "front.log").open("wb") as log:
                subprocess.Popen(
                    [sys.executable, "-m", FRONT, str(self.folder), str(handle), str(port)],
                    cwd=CODE,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[handle],
                    start_new_session=True,
                )

    def _fronts(self) -> list[psutil.Process]:
        shapes = [["-m", name, str(self.folder)] for name in (FRONT, FRONT_BEFORE)]
        return [each for each in psutil.process_iter() if _words(each)[1:4] in shapes]

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
    raise UserError(f"{release.release} is not ready after {seconds:g} seconds; the last answer of {url} was {said}")


def _of(active: Active, runner: Runner) -> Instance | None:
    """The running instance that active.json names."""
    found = (each for each in runner.instances() if each.port == active.port and each.short == active.release.short)
    return next(found, None)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.Error:
        return []


def _end(process: psutil.Process) -> None:
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return
    for left in psutil.wait_procs([process], timeout=5)[1]:
        left.kill()
