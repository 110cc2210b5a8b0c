"""The front of a host: owns the public port and hands each request to the instance that active.json names.

It is a process of its own that the agent starts once and never restarts, so replacing a release closes no connection.
Each request gets a new connection to the instance: none can be in a pool that the instance is just closing.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    TCPConnector,
    web,
)

from gitops_ml.host import handover

ACTIVE = "active.json"
# How long a request waits for an instance that is just being started again.
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.05
# Of one hop only (RFC 9110, section 7.6.1).
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"}
CHUNK = 65536


class Front:
    """Forwards requests."""

    def __init__(self, folder: Path) -> None:
        self.active = folder / ACTIVE
        self.session: ClientSession

    async def run(self, app: web.Application) -> AsyncIterator[None]:
        """Keep a client for as long as the application runs."""
        connector = TCPConnector(force_close=True, limit=0)
        timeout = ClientTimeout(total=None, sock_connect=PATIENCE_SECONDS)
        async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self.session:
            yield

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Hand one request on, and its answer back as it comes."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        give_up = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            # Read for each request: the agent replaces the file in one step, and that is the switch.
            port = self._port()
            try:
                if port is None:
                    raise ConnectionRefusedError
                return await self._exchange(request, port, headers)
            except (ClientConnectorError, ConnectionTimeoutError, ConnectionRefusedError):
                # Nothing of the request was sent, so it can be tried again without doing anything twice.
                if asyncio.get_running_loop().time() > give_up:
                    return web.json_response({"error": "no release serves here now"}, status=503)
                await asyncio.sleep(PAUSE_SECONDS)
            except ClientError as error:
                return web.json_response({"error": f"the release did not answer: {type(error).__name__}"}, status=502)

    async def _exchange(self, request: web.Request, port: int, headers: dict[str, str]) -> web.StreamResponse:
        url = f"http://127.0.0.1:{port}{request.raw_path}"
        body = request.content if request.body_exists else None
        async with self.session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            try:
                async for chunk in answer.content.iter_chunked(CHUNK):
                    await response.write(chunk)
                await response.write_eof()
            except ClientError:
                # An error is no part of an answer that has begun: the end of the connection tells that it is not whole.
                if request.transport:
                    request.transport.abort()
            return response

    def _port(self) -> int | None:
        try:
            return int(json.loads(self.active.read_text())["port"])
        except (OSError, ValueError, KeyError):
            return None


async def _offered(listening: socket.socket, folder: Path, app: web.Application) -> AsyncIterator[None]:
    """Give the socket to who asks, for as long as the application runs."""
    offering = asyncio.create_task(handover.offer(listening, folder))
    yield
    offering.cancel()


def main(folder: Path, listening: socket.socket) -> None:
    """Serve until SIGTERM."""
    # Each request that waits is an open file.
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Systems whose own limit is lower refuse what they allow, as macOS does.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    front = Front(folder)
    app = web.Application()
    app.cleanup_ctx.append(front.run)
    app.cleanup_ctx.append(partial(_offered, listening, folder))
    app.router.add_route("*", "/{path:.*}", front.forward)
    web.run_app(app, sock=listening, print=None, access_log=None)


if __name__ == "__main__":
    # FOLDER HANDLE PORT: the agent opened the port and hands it over; its number tells which front this is.
    main(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
