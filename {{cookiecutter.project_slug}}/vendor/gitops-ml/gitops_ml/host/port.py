"""The public port of a host: exactly one front listens there, and it refuses nobody while that one is exchanged."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import psutil

from gitops_ml.core.errors import UserError
from gitops_ml.front import handover
from gitops_ml.host.runner import UNWELL_SECONDS
from gitops_ml.host.system import end, words

BACKLOG = 1024
FRONT = "gitops_ml.front.server"
# As fronts are called that an older agent started, and that go on through an update.
FRONTS_BEFORE = ("ci.front", "gitops_ml.host.front")
# The folder of the package, in which `-m` finds the front.
CODE = Path(__file__).resolve().parent.parent.parent


class Port:
    """The fronts of a folder, and the socket of the port for as long as this process runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: socket.socket | None = None

    def require(self, number: int) -> psutil.Process:
        """Have exactly one front, which answers, on this port; which one that is.

        Raises:
            UserError: something else listens there; the front that there was goes on.
        """
        fronts = {front: words(front)[-1:] == [str(number)] for front in self.fronts()}
        here = next((front for front, is_here in fronts.items() if is_here), None)
        if here and not self._is_well(number):
            # Nothing of what it has can be saved; what waits in the port's queue is.
            end(here, seconds=0)
            here = None
        if here is None:
            here = self._start(number)
        # Only now: a port that cannot be had leaves what serves.
        for front, is_here in fronts.items():
            if not is_here:
                end(front)
        return here

    def require_free_or_ours(self, number: int) -> None:
        """Have nothing but a front of this folder listen on this port; nothing is started.

        Raises:
            UserError: something else does.
        """
        if [str(number)] not in [words(front)[-1:] for front in self.fronts()]:
            _listening(number).close()

    def stop(self) -> None:
        """End every front, and let go of the port."""
        for front in self.fronts():
            end(front)
        self.release()

    def release(self) -> None:
        """Hold the port no longer; a front that listens on it goes on."""
        if self._held:
            self._held.close()
        self._held = None

    def fronts(self) -> list[psutil.Process]:
        """The fronts of this folder, whoever started them."""
        shapes = [["-m", name, str(self.folder)] for name in (FRONT, *FRONTS_BEFORE)]
        return [each for each in psutil.process_iter() if words(each)[1:4] in shapes]

    def _is_well(self, number: int) -> bool:
        """Whether a front answers; its socket is held from then on."""
        try:
            given = handover.ask(self.folder, UNWELL_SECONDS)
        except TimeoutError:
            return False
        if given and given.getsockname()[1] == number:
            self._hold(given)
        elif given:
            given.close()
        return True

    def _start(self, number: int) -> psutil.Process:
        if self._held is None or self._held.getsockname()[1] != number:
            self._hold(_listening(number))
        assert self._held is not None  # noqa: S101 - for the type checker
        handle = self._held.fileno()
        with (self.folder / "front.log").open("wb") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", FRONT, str(self.folder), str(handle), str(number)],
                cwd=CODE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[handle],
                start_new_session=True,
            )
        return psutil.Process(started.pid)

    def _hold(self, given: socket.socket) -> None:
        self.release()
        self._held = given


def _listening(number: int) -> socket.socket:
    """A socket of the port, from which on no connection is refused: the kernel keeps them until a front has started."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", number))
    except OSError as error:
        listening.close()
        raise UserError(f"port {number} of 127.0.0.1 cannot be had: {error.strerror}") from error
    listening.listen(BACKLOG)
    return listening
