"""This machine's cores: a thread that waits for each process."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import joblib

from gitops_ml.engine.code import Code
from gitops_ml.engine.hands import Hands


def cores() -> int:
    """How many cores there are for us, by what a container or a batch system allows."""
    return int(joblib.cpu_count())


class Local:
    """See gitops_ml.engine.engine.Workers."""

    def __init__(self, processes: int, code: Code) -> None:
        self._processes = processes
        self._hands = Hands(str(code.python), code.archive)
        self._threads = futures.ThreadPoolExecutor(processes)

    def size(self) -> int:
        """See Workers."""
        return self._processes

    def begin(self, payload: bytes) -> Any:
        """See Workers."""
        return self._threads.submit(self._hands.perform, payload)

    def wait(self, begun: set[Any]) -> set[Any]:
        """See Workers."""
        return futures.wait(begun, return_when=futures.FIRST_COMPLETED).done

    def result(self, done: Any) -> tuple[str, bytes]:
        """See Workers."""
        found: tuple[str, bytes] = done.result()
        return found

    def close(self) -> None:
        """See Workers."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._hands.end()
