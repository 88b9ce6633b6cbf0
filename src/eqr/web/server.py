"""The process that serves: socket, signals, the server's loop. Knows no route."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from eqr.errors import InputError
from eqr.runtime import stop_requests
from eqr.web.app import create_app
from eqr.web.connections import LOG, LONGEST_LINE, Door, Seldom
from eqr.web.origins import ANY
from eqr.web.service import Service


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket; raises InputError if that fails."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: it must be from 0 (any free port) to 65535")
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a stopped service can restart at once
        listening.bind(address)
        listening.listen()
        return listening
    except OSError as error:
        if listening:
            listening.close()
        raise InputError(
            f"cannot listen on {host}, port {port} ({error.strerror}): choose another --port, or end the program that "
            "uses it"
        ) from None


def address_of(listening: socket.socket) -> str:
    """The URL to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections by ``Door``: asyncio's own way writes megabytes of log at the limit of open files."""
        await self.lifespan.startup()
        door = Door(self.config, self.server_state, self.service.limits, self.service.metrics.done)
        self.servers, self.started = [], True
        self._open = asyncio.gather(*(door.open(listening) for listening in sockets or []))

    async def on_tick(self, counter: int) -> bool:
        """Also end the service when its engine has ended, so that its supervisor starts a new one."""
        return await super().on_tick(counter) or not self.service.driver.alive or self._open.done()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse new requests; requests under way may finish."""
        self.service.stop()
        self._open.cancel()
        with suppress(asyncio.CancelledError):
            await self._open
        await super().shutdown(sockets)


def serve(
    service: Service, listening: socket.socket, hosts: Sequence[str] = (ANY,), proxies: Sequence[str] = ()
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; a second Ctrl-C does not wait for requests under way.

    ``hosts`` are the names by which clients may call the service. Of ``proxies``, addresses or networks, the header
    X-Forwarded-For is believed.
    """
    config = uvicorn.Config(
        create_app(service, hosts),
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        h11_max_incomplete_event_size=LONGEST_LINE,
        # Requests that are then still open have been answered, but their clients do not read.
        timeout_graceful_shutdown=service.limits.grace + 1,
    )
    seldom = Seldom()
    LOG.addFilter(seldom)
    try:
        with stop_requests():  # uvicorn raises a signal again once it has shut down
            asyncio.run(_Server(config, service).serve([listening]))
    finally:
        LOG.removeFilter(seldom)
