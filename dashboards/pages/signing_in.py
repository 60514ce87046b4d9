"""Logging in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from dashboards.access.guard import LOGIN, LOGOUT
from dashboards.access.sessions import COOKIE, SECONDS
from dashboards.console import TheConsole, TheVisit

router = APIRouter()


@router.get(LOGIN)
def ask(console: TheConsole, visit: TheVisit, next: str = "") -> Response:  # noqa: A002 - the name in the address
    """The form."""
    return _form(console, visit, next)


@router.post(LOGIN)
def log_in(
    request: Request,
    console: TheConsole,
    visit: TheVisit,
    password: Annotated[str, Form(max_length=200)],
    name: Annotated[str, Form(max_length=64)] = "",
    next: Annotated[str, Form(max_length=2000)] = "",  # noqa: A002 - as above
) -> Response:
    """Begin a session, and go where the visitor wanted to."""
    if console.access.tries.too_many:
        return _form(console, visit, next, "too many wrong passwords; wait a minute", 429)
    cookie = console.access.log_in(name.strip(), password)
    if cookie is None:
        console.access.tries.note()
        return _form(console, visit, next, "that is not right", 403)
    answer = RedirectResponse(_ours(next), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie, max_age=SECONDS, httponly=True, samesite="lax", secure=secure)
    return answer


@router.post(LOGOUT)
def log_out() -> Response:
    """End the session in this browser."""
    answer = RedirectResponse(LOGIN, 303)
    answer.delete_cookie(COOKIE)
    return answer


def _form(
    console: TheConsole, visit: TheVisit, after: str, why: str = "", status: int = 200
) -> Response:
    by_name = bool(console.access.users)
    by_token = console.access.token is not None
    return console.render(
        "login.html", visit, status=status, after=after, why=why, by_name=by_name, by_token=by_token
    )


def _ours(path: str) -> str:
    """The path, unless it leads to another site."""
    here = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if here else "/ops/"
