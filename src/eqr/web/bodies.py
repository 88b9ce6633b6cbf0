"""ASGI middleware: refuses bodies that are too large or too slow, answers HEAD, adds headers. Knows no route."""

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eqr.web.limits import Limits
from eqr.web.problems import Problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy: nothing comes from other hosts, and nothing inline runs."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
GONE = 499
"""Status counted when the client disconnects before the answer."""


class Bodies:
    """Reads the whole body of a POST, within its limits, and passes it on."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                body = await self._read(scope, receive)
        except TimeoutError:
            problem = Problem(
                408,
                f"the body did not arrive within {self.limits.body_seconds} s: send it faster, or send less",
                connection="close",
            )
            await problem.response()(scope, receive, send)
            return
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        if body is None:
            await Response(status_code=GONE)(scope, receive, send)
            return
        passed = False

        async def again() -> Message:
            nonlocal passed
            if passed:
                return await receive()
            passed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, again, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Returns the body, or None if the client disconnects; raises Problem as soon as the body proves too large."""
        large = Problem(
            413,
            f"the body is larger than {self.limits.body_bytes} bytes: send fewer puzzles at a time",
            connection="close",
        )
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if len(declared) > 18 or int(declared) > self.limits.body_bytes:
            raise large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self.limits.body_bytes:
                raise large
            if not message.get("more_body", False):
                return bytes(body)


class Heads:
    """Answers HEAD with status and headers of GET."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Once the headers are sent, the client counts as gone, so that a stream does no work."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        answered = asyncio.Event()

        async def headers(message: Message) -> None:
            if answered.is_set():
                return
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered.set()

        async def gone() -> Message:
            await answered.wait()
            return {"type": "http.disconnect"}

        await self.app({**scope, "method": "GET"}, gone, headers)


class Outermost:
    """Adds the common headers, where a response does not set its own; calls ``done`` with path, status and seconds."""

    def __init__(self, app: ASGIApp, done: Callable[[str, int, float], None]) -> None:
        self.app, self.done = app, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except asyncio.CancelledError:
            status = GONE
            raise
        finally:
            self.done(scope["path"], status, time.perf_counter() - started)
