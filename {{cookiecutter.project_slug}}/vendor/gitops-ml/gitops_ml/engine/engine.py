"""One way to have tasks done, wherever that is."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from gitops_ml.core.errors import UserError
from gitops_ml.engine import local
from gitops_ml.engine.code import Code

FORM = re.compile(r"local(?::([1-9][0-9]*))?|((?:tcp|tls)://[^\s/]+:[0-9]+)")

# Says which engine, in place of project.yaml.
VARIABLE = "GITOPS_ENGINE"

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers(Protocol):
    """Those who do pickled tasks."""

    def size(self) -> int:
        """How many tasks they do at once, at this moment."""

    def begin(self, payload: bytes) -> Any:
        """Hand in a task; what stands for it until it is done."""

    def wait(self, begun: set[Any]) -> set[Any]:
        """Those of the begun tasks that are done, at least one.

        Raises:
            UserError: none of them ever will be.
        """

    def result(self, done: Any) -> tuple[str, bytes]:
        """What became of a task, see `gitops_ml.engine.hands`."""

    def close(self) -> None:
        """Do no more."""


class Engine:
    """Does tasks; see `opened`."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def size(self) -> int:
        """How many tasks are done at once, at this moment; more or fewer as workers come and go."""
        return self._workers.size()

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[tuple[int, Result]]:
        """Do a function for each task, and give the number of the task, from 0, and its result as soon as it is there.

        A task whose worker dies is done again, by another one; so it may be begun more than once, and ends once.

        Args:
            function: a function of a module of the code that the engine was opened with; pure, but for durable results.
            tasks: what it is called with, each able to be pickled; they are taken as there is room for them. Paths in
                them are absolute.

        Raises:
            UserError: a task says so, fails, or kills each process that does it; or there are no workers any more, or
                only such as have other packages. What was done until then is done.
        """
        waiting = enumerate(tasks)
        begun: dict[Any, int] = {}
        while True:
            # Some more than are done at once, so that nobody waits for the next one.
            for index, task in islice(waiting, max(0, 2 * self.size() - len(begun))):
                begun[self._workers.begin(pickle.dumps((function, task)))] = index
            if not begun:
                return
            for done in self._workers.wait(set(begun)):
                yield begun.pop(done), _read(*self._workers.result(done))


@contextmanager
def opened(where: str, code: Code) -> Iterator[Engine]:
    """The engine of a setting: `local`, `local:4` (so many processes), or the address of a Dask scheduler.

    Raises:
        UserError: there is no such engine, it cannot be reached, or its workers have other packages than the code asks
            for.
    """
    processes, address = parsed(where)
    workers: Workers
    workers = dask().Cluster(address, code) if address else local.Local(processes or local.cores(), code)
    try:
        yield Engine(workers)
    finally:
        workers.close()


def parsed(where: str) -> tuple[int | None, str | None]:
    """How many processes of this machine a setting says, None for one a core; or the address of a Dask scheduler.

    Raises:
        UserError: it says neither.
    """
    found = FORM.fullmatch(where)
    if not found:
        raise UserError(f"there is no engine {where!r}: say local, local:4 or a Dask scheduler, as in tcp://host:8786")
    processes, address = found.groups()
    return int(processes) if processes else None, address


def dask() -> Any:
    """The module that talks to Dask.

    Raises:
        UserError: Dask is not installed.
    """
    return _of_dask("gitops_ml.engine.cluster")


def together() -> Any:
    """The module that trains one model on a Dask cluster.

    Raises:
        UserError: Dask is not installed.
    """
    return _of_dask("gitops_ml.engine.together")


def _of_dask(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"a Dask scheduler needs packages that are not here ({error.name}): install them by "
            "`uv sync --inexact --group dask`, or say engine: local"
        ) from error


def _read(kind: str, content: bytes) -> Any:
    match kind:
        case "done":
            return pickle.loads(content)  # noqa: S301 - of our own code
        case "said":
            raise UserError(content.decode())
        case "died":
            raise UserError(
                f"a task ended each process that did it, with exit code {content.decode()} (-9: out of memory, most "
                "often): give each worker more memory, or use fewer on a machine (engine: local:1)"
            )
        case _:
            text = content.decode()
            raise UserError(f"a task failed: {text.strip().splitlines()[-1]}") from RuntimeError(text)
