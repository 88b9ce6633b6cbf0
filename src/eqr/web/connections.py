"""Connections: how many there are, how long their headers may take, and how long a client may not read.

Knows HTTP, no route. A service that is reached by strangers must not wait for any of them.
"""

import asyncio
import errno
import logging
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from eqr.web.bodies import HEADERS
from eqr.web.limits import Limits
from eqr.web.problems import Problem

LONGEST_LINE = 64 * 1024
"""Most bytes of a request's line and headers: a maze of 99x99 in the URL of a stream takes 30,000."""
SPARE_FILES = 64
"""Open files that are no connections: models, pages, the log."""
SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of a machine that has no room for one more connection."""
LOG = logging.getLogger("uvicorn.error")
Done = Callable[[str, int, float], None]
"""Called with path, status and seconds of a request."""


class Connection(H11Protocol):
    """uvicorn's protocol, with time limits for headers and for reading, and with refusals in the common shape."""

    def __init__(self, config: uvicorn.Config, state: ServerState, limits: Limits, done: Done) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.limits, self.done = limits, done
        self.since = time.monotonic()
        """When the last request ended, or the connection was made."""
        self._headers_late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is under way: its headers have not come, or the client keeps the connection for later."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The limit for headers begins at once: a client may send nothing at all."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; those of headers do not prolong their limit."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """The next request may come; the server's own limit for silence holds until its first byte."""
        self.since = time.monotonic()
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the limits."""
        for timer in (self._headers_late, self._unread):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads more slowly than answers come: it must catch up in the time of a request."""
        super().pause_writing()
        if not self._unread:
            self._unread = self.loop.call_later(self.limits.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no request; h11's exception, which is being handled, says why."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        said = f"{error or msg}".partition(": bytearray(")[0]  # without the bytes themselves
        sentence = f"the request is not valid HTTP ({said}): send HTTP/1.1"
        if status == 431:
            sentence = f"the first line and the headers are larger than {LONGEST_LINE} bytes: send less, or use POST"
        self._refuse(Problem(status, sentence))

    def _watch(self) -> None:
        """Starts or stops the limit for headers."""
        waits = self.conn.their_state is h11.IDLE and not self.timeout_keep_alive_task
        if waits and not self._headers_late and not self.transport.is_closing():
            self._headers_late = self.loop.call_later(self.limits.header_seconds, self._give_up)
        elif self._headers_late and not waits:
            self._headers_late.cancel()
            self._headers_late = None

    def _give_up(self) -> None:
        self._refuse(
            Problem(408, f"the headers did not arrive within {self.limits.header_seconds} s: send them at once")
        )

    def _refuse(self, problem: Problem) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            body = problem.text().encode()
            for event in (
                h11.Response(status_code=problem.status, headers=_headers(body)),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            self.done("", problem.status, 0)
        self.transport.close()


def _headers(body: bytes) -> list[tuple[str, str]]:
    fixed = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    return list((fixed | HEADERS).items())


class Seldom(logging.Filter):
    """Lets a warning of one kind through once a second, so that clients cannot fill the disk with the log."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write this record."""
        now = time.monotonic()
        if record.levelno > logging.WARNING or now - self.last.get(str(record.msg), -1) >= 1:
            self.last[str(record.msg)] = now
            return True
        return False


def most_connections(wanted: int) -> int:
    """Allows this process as many open files as ``wanted`` connections need; returns how many it can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + SPARE_FILES:
        soft = wanted + SPARE_FILES if hard == resource.RLIM_INFINITY else min(hard, wanted + SPARE_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - SPARE_FILES))


class Door:
    """Accepts connections. Beyond the most, the connection that has been idle for the longest gives way."""

    def __init__(self, config: uvicorn.Config, state: ServerState, limits: Limits, done: Done) -> None:
        self.made: tuple[Any, ...] = (config, state, limits, done)
        self.connections, self.most = state.connections, most_connections(limits.connections)
        if self.most < limits.connections:
            LOG.warning("%d connections at a time are all that the limit of open files allows", self.most)

    async def open(self, listening: socket.socket) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        listening.listen(2 * self.most)
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in SCARCE:
                    LOG.warning("no room for a new connection (%s)", error.strerror)
                    await asyncio.sleep(0 if self._shed() else 0.05)
                continue  # else that client has already left
            if len(self.connections) >= self.most and not self._shed():
                _turn_away(accepted)
                continue
            with suppress(OSError):  # the client has left
                await loop.connect_accepted_socket(lambda: Connection(*self.made), accepted)

    def _shed(self) -> bool:
        """Ends the connection that has been idle for the longest; returns whether there was one."""
        idle = [each for each in self.connections if isinstance(each, Connection) and each.idle]
        if not idle:
            return False
        LOG.warning("too many connections: idle ones give way to new ones")
        longest = min(idle, key=lambda each: each.since)
        longest.transport.abort()
        self.connections.discard(longest)
        return True


def _turn_away(accepted: socket.socket) -> None:
    LOG.warning("too many requests are under way: new connections are refused")
    body = Problem(503, "too many requests are under way: send the request again after 1 s").text().encode()
    lines = ["HTTP/1.1 503 Service Unavailable", "Retry-After: 1", *(f"{k}: {v}" for k, v in _headers(body))]
    with suppress(OSError), accepted:
        accepted.send("\r\n".join([*lines, "", ""]).encode() + body)
