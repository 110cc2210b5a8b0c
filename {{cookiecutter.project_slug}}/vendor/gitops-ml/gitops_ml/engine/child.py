"""The process that does tasks, one after the other: `python -m gitops_ml.engine.child`, started by hands.py.

Requests and answers are pickles with their length before them. It ends when nobody can ask any more.
"""

from __future__ import annotations

import os
import pickle
import queue
import struct
import sys
import threading
import traceback
from typing import BinaryIO

LENGTH = ">Q"
HEAD = struct.calcsize(LENGTH)
IDLE_SECONDS = 900.0


def main() -> None:
    """Answer until whoever asks is gone, or says nothing for long."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What a task prints is no answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    while True:
        try:
            payload = requests.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return
        kind, content = _done(payload)
        answer = kind.encode() + content
        answers.write(struct.pack(LENGTH, len(answer)) + answer)
        answers.flush()


def _listen(stream: BinaryIO, requests: queue.SimpleQueue[bytes]) -> None:
    """Take requests in, and end everything as soon as the other end is closed, even in the middle of a task."""
    while head := stream.read(HEAD):
        requests.put(stream.read(struct.unpack(LENGTH, head)[0]))
    os._exit(1)


def _done(payload: bytes) -> tuple[str, bytes]:
    """The result of a task; or what it says to its user, or the whole error, as text."""
    try:
        function, task = pickle.loads(payload)  # noqa: S301 - from the process that started this one
        return "d", pickle.dumps(function(task))
    except Exception as error:  # whatever a task raises is its answer
        if type(error).__name__ == "UserError":
            return "s", str(error).encode()
        return "f", traceback.format_exc().encode()


if __name__ == "__main__":
    main()
