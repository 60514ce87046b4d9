"""What went wrong, on a page or for a program: never as a list that is merely empty."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Scope

from dashboards.access.guard import LOGIN
from dashboards.access.people import Visit
from dashboards.web.rendering import Renderer
from pipeline.errors import NotFound, PipelineError, Unavailable

API: Final = "/api/"
TOLD: Final = 300

log = structlog.get_logger(__name__)


class Failing:
    """Makes answers of failures.

    Args:
        render: renders the page of an error.
    """

    def __init__(self, render: Renderer) -> None:
        self._render = render

    def refuse(self, scope: Scope, status: int, why: str) -> ASGIApp:
        """The answer to a request that the guard refuses."""
        request = Request(scope)
        if status == HTTPStatus.UNAUTHORIZED and not _for_program(request):
            asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            after = f"?next={quote(asked, safe='')}" if request.method == "GET" else ""
            answer: Response = RedirectResponse(f"{LOGIN}{after}", 303)
            if "hx-request" in request.headers:
                answer.headers["hx-redirect"] = f"{LOGIN}{after}"
            return answer
        return self._answer(request, status, why)

    def listen(self, app: FastAPI) -> None:
        """Answer what is raised in the application's routes."""
        for kind, handle in (
            (NotFound, self._as(404)),
            (Unavailable, self._as(503)),
            (PyMongoError, self._as(503)),
            (RedisError, self._as(503)),
            (PipelineError, self._as(422)),
            (RequestValidationError, self._misunderstood),
            (HTTPException, self._http),
            (Exception, self._bug),
        ):
            app.add_exception_handler(kind, handle)

    def _as(self, status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def handle(request: Request, error: Exception) -> Response:
            why = str(error)[:TOLD]
            if isinstance(error, PyMongoError):
                why = f"could not load: MongoDB did not answer ({type(error).__name__}); try again"
            elif isinstance(error, RedisError):
                why = f"could not load: Redis did not answer ({type(error).__name__}); try again"
            return self._answer(request, status, why)

        return handle

    async def _misunderstood(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as it was registered
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        return self._answer(request, 422, f"{name}: {first['msg']}")

    async def _http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as it was registered
        missing = error.status_code == HTTPStatus.NOT_FOUND
        why = "there is no such page" if missing else str(error.detail)
        return self._answer(request, error.status_code, why)

    async def _bug(self, request: Request, error: Exception) -> Response:
        log.error("console_failed", path=request.url.path, exc_info=error)
        return self._answer(request, 500, "the console failed; its log tells how")

    def _answer(self, request: Request, status: int, why: str) -> Response:
        if _for_program(request):
            return JSONResponse({"error": why}, status)
        template = "part_error.html" if "hx-request" in request.headers else "error.html"
        visit: Visit = request.state.visit
        return self._render(template, visit, status=status, why=why, again=str(request.url.path))


def _for_program(request: Request) -> bool:
    return request.url.path.startswith(API)
