"""Routes: pass HTTP requests to the service, and return its answers and refusals. Decides nothing else."""

import asyncio
from collections.abc import Awaitable, Collection
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from eqr.web.bodies import GONE, POLICY, Bodies, Heads, Outermost
from eqr.web.description import described
from eqr.web.origins import ANY, Origins, client_of
from eqr.web.problems import Problem, Refusal, stopping
from eqr.web.schemas import Answers, Health, Offered, SolveAsked, StreamAsked, events, read_json, read_query
from eqr.web.service import Service
from eqr.web.stream import Events, Trajectories

T = TypeVar("T")
STATIC = Path(__file__).parent / "static"
SWAGGER = Path(fastapi_offline.__file__).parent / "static"
"""The script and the style sheet of Swagger UI, which would otherwise come from another host."""
REFUSALS = {
    403: "A page of another site asks.",
    408: "The body arrived too slowly.",
    413: "The body is too large.",
    415: "The content type is not application/json.",
    422: "A value of the request is not valid; the sentence names a puzzle by its index, from 0.",
    429: "The queue is full; Retry-After says when to try again.",
    503: "No puzzle was decided in time, or the service is stopping.",
}


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Refusal, "description": REFUSALS[code]} for code in codes}


def create_app(service: Service, hosts: Collection[str] = (ANY,)) -> FastAPI:
    """Makes the application for a service whose engine runs; ``hosts`` are the names by which clients may call it."""
    app = FastAPI(
        title="Equilibrium Reasoners",
        description="Networks solve puzzles by settling to a fixed point. An answer may be wrong: see `valid`.",
        version="1",
        docs_url=None,  # these two pages would load scripts from other hosts: /docs below does not
        redoc_url=None,
    )
    app.add_middleware(Bodies, limits=service.limits)
    app.add_middleware(Heads)
    app.add_middleware(Origins, hosts=hosts)
    app.add_middleware(Outermost, done=service.metrics.done)
    _refuse(app)
    _solving(app, service)
    _telling(app, service)
    _pages(app)
    return app


def _pages(app: FastAPI) -> None:
    app.mount("/static/swagger", StaticFiles(directory=SWAGGER))
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        # The style sheet of Swagger UI holds its icons as data URLs.
        policy = POLICY.replace("img-src 'self'", "img-src 'self' data:")
        return FileResponse(STATIC / "docs.html", headers={"Content-Security-Policy": policy})


def _refuse(app: FastAPI) -> None:
    """Give every error the shape of ``Refusal``."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def routed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sentence = f"{HTTPStatus(error.status_code).phrase.lower()}: see /openapi.json for the routes"
        response = Problem(error.status_code, sentence).response()
        response.headers.update(error.headers or {})
        return response

    async def failed(request: Request, error: Exception) -> Response:
        return Problem(500, "the service failed: its log says why").response()  # Starlette writes that log

    app.add_exception_handler(Problem, refused)
    app.add_exception_handler(HTTPException, routed)
    app.add_exception_handler(500, failed)


def _solving(app: FastAPI, service: Service) -> None:
    known = (service.limits, service.kinds(), service.example())
    body = {"required": True, "content": {"application/json": {"schema": described(SolveAsked, *known)}}}
    stream = described(StreamAsked, *known)
    query = [
        {"in": "query", "name": name, "required": name in stream["required"], "schema": schema}
        for name, schema in stream["properties"].items()
    ]

    @app.post(
        "/v1/solve",
        tags=["puzzles"],
        summary="Answer puzzles.",
        response_model=Answers,
        responses=_refusals(*REFUSALS),
        openapi_extra={"requestBody": body},
    )
    async def solve(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(415, "the body must be JSON: send it with the header content-type: application/json")
        asked = read_json(SolveAsked, await request.body())
        name = service.named(asked)
        config = service.config(name, asked)
        records = await _unless_gone(request, service.solve(name, asked.puzzles, config, client_of(request.scope)))
        if not records:
            return Response(status_code=GONE)
        complete = not any("error" in record for record in records)
        return JSONResponse({"model": name, "complete": complete, "answers": records})

    @app.get(
        "/v1/solve/stream",
        tags=["puzzles"],
        summary="Follow one puzzle's restarts, segment by segment, as server-sent events.",
        description="Which values go together is stated by the schema of POST /v1/solve.",
        response_class=Response,
        responses={
            200: {"description": "Events.", "content": {"text/event-stream": {"schema": events()}}},
            **_refusals(403, 422, 429, 503),
        },
        openapi_extra={"parameters": query},
    )
    async def follow(request: Request) -> Response:
        asked = read_query(StreamAsked, request.query_params)
        name = service.named(asked)
        config = service.config(name, asked)
        (read,) = await asyncio.to_thread(service.read, name, [asked.puzzle], config)
        return Events(Trajectories(service, name, read, config, client_of(request.scope)))


def _telling(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", tags=["service"], summary="The models, and the limits of a request.", response_model=Offered)
    async def models() -> Response:
        limits = service.limits
        most = {"puzzles": limits.puzzles, "depth": limits.depth, "breadth": limits.breadth}
        return JSONResponse({"models": [facts.model_dump() for facts in service.facts], "limits": most})

    @app.get(
        "/healthz",
        tags=["service"],
        summary="Whether the service accepts requests.",
        response_model=Health,
        responses=_refusals(503),
    )
    async def healthz() -> Response:
        if service.stopping or not service.driver.alive:
            raise stopping()
        return JSONResponse({"status": "ok"})

    @app.get(
        "/metrics",
        tags=["service"],
        summary="Counts in the text format of Prometheus.",
        response_class=Response,
        responses={200: {"description": "Counts.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


async def _unless_gone(request: Request, work: Awaitable[T]) -> T | None:
    """Returns the outcome of ``work``; if the client disconnects first, cancels the work and returns None."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await leaving
