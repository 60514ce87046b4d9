"""Who comes in, who may change what, and what is noted of it."""

import json
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from dashboards.access import Access, Role, Sessions, tries
from dashboards.access.users import Users, digest, put
from pipeline.errors import SettingError
from pipeline.settings import Settings
from tests.dashboards.conftest import ORIGIN, PASSWORD, TOKEN, Visit
from tests.integration.letters import Letters

LETTER = "e0@acme/desk|tickets.apply"
ADMINS = {"/ops/undo", "/ops/redo", "/api/v1/undo", "/api/v1/redo"}


def routes_that_change(client: TestClient) -> list[str]:
    """Every path that takes something else than GET, with its parameters filled in."""
    app = client.app.app
    assert isinstance(app, FastAPI)
    paths = [
        (route.path or "").replace("{operation}", "none")
        for route in iter_route_contexts(app.routes)
        if set(route.methods or ()) - {"GET", "HEAD"}
    ]
    assert len(paths) > 8
    return [path for path in paths if path not in {"/ops/login", "/ops/logout"}]


def test_nobody_sees_anything_without_logging_in(visit: Visit) -> None:
    """A page leads to the form and back; a program is told; what lives is open."""
    client = visit(None)
    asked = client.get("/ops/failed/group?tenant=acme")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/ops/login?next=%2Fops%2Ffailed%2Fgroup%3Ftenant%3Dacme"
    assert client.get("/rq/").status_code == 303
    assert client.get("/ops/live").status_code == 303
    assert client.get("/api/v1/status").status_code == 401
    assert client.get("/api/openapi.json").status_code == 401
    assert client.get("/healthz").status_code == 200
    assert client.get("/ops/login").status_code == 200


def test_a_login_leads_where_the_visitor_wanted_to_and_nowhere_else(visit: Visit) -> None:
    """Never to another site."""
    client = visit(None)
    for after, there in (
        ("/ops/failed?x=1", "/ops/failed?x=1"),
        ("//evil.example/", "/ops/"),
        ("/\\evil.example", "/ops/"),
        ("https://evil.example/", "/ops/"),
        ("", "/ops/"),
    ):
        said = client.post(
            "/ops/login", data={"name": "viewer", "password": PASSWORD, "next": after}
        )
        assert (said.status_code, said.headers["location"]) == (303, there)
    cookie = said.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


def test_a_wrong_password_opens_nothing(visit: Visit) -> None:
    """Nor does a name that is none."""
    client = visit(None)
    for said in (
        {"name": "viewer", "password": "wrong"},
        {"name": "nobody", "password": PASSWORD},
        {"password": "wrong"},
        {"password": PASSWORD},
        {"name": "viewer", "password": ""},
    ):
        assert client.post("/ops/login", data=said).status_code in {403, 422}
        assert client.get("/ops/").status_code == 303


def test_wrong_passwords_are_bounded(visit: Visit) -> None:
    """After twenty within a minute even the right one has to wait."""
    client = visit(None)
    for _ in range(tries.MOST):
        assert client.post("/ops/login", data={"password": "wrong"}).status_code == 403
    said = client.post("/ops/login", data={"name": "viewer", "password": PASSWORD})
    assert said.status_code == 429


def test_the_token_is_the_owners_for_pages_and_programs(visit: Visit) -> None:
    """In the form, or as a bearer."""
    client = visit(None)
    client.cookies.clear()
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/v1/status", headers=bearer).status_code == 200
    assert client.get("/api/v1/status", headers={"authorization": "Bearer x"}).status_code == 401
    assert client.post("/ops/login", data={"password": TOKEN}).status_code == 303
    assert "owner (admin)" in client.get("/ops/").text


def test_a_program_with_a_bearer_needs_no_origin(visit: Visit) -> None:
    """Nobody can make a browser send one."""
    client = visit(None)
    headers = {"authorization": f"Bearer {TOKEN}", "origin": "null"}
    said = client.post("/api/v1/dead/requeue", json={"letters": [LETTER]}, headers=headers)
    assert (said.status_code, said.json()["done"]) == (200, 1)


def test_a_proxy_that_proves_itself_says_who_comes(visit: Visit) -> None:
    """With the highest role of the groups; without the secret, or a group, nobody."""
    client = visit(None)
    secret = {"x-pipeline-proxy-secret": "between us", "x-forwarded-user": "ann"}
    groups = {"x-forwarded-groups": "staff, pipeline-viewer,pipeline-operator"}
    assert "ann (operator)" in client.get("/ops/", headers={**secret, **groups}).text
    assert client.get("/ops/", headers=secret).status_code == 303
    wrong = {**secret, **groups, "x-pipeline-proxy-secret": "wrong"}
    assert client.get("/ops/", headers=wrong).status_code == 303


def test_every_route_that_changes_something_asks_for_the_role(
    visit: Visit, pipeline: Letters
) -> None:
    """On the server, whatever the page shows; admins' routes refuse operators too."""
    viewer, operator, before = visit("viewer"), visit("operator"), len(pipeline.dead())
    for path in routes_that_change(viewer):
        assert viewer.post(path).status_code == 403, path
        expected = {403} if path in ADMINS else {303, 404, 422}
        form = {"event": "good@acme/desk", "reason": "x"}
        assert operator.post(path, data=form).status_code in expected, path
    assert viewer.post("/rq/job/x/requeue").status_code == 403
    assert len(pipeline.dead()) == before
    assert pipeline.store.records.audit.newest(limit=10) == []


def test_no_other_site_changes_anything(visit: Visit, pipeline: Letters) -> None:
    """By what the browser says of the sender, or by its origin where it says nothing."""
    client, before = visit("admin"), pipeline.everything()
    senders = (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
    )
    for path in [*routes_that_change(client), "/ops/login", "/ops/logout", "/rq/job/x/requeue"]:
        for sender in senders:
            said = client.post(path, data={"letter": LETTER}, headers=sender)
            assert said.status_code == 403, (path, sender)
        del client.headers["origin"]
        assert client.post(path, data={"letter": LETTER}).status_code == 403, path
        client.headers["origin"] = ORIGIN
    assert pipeline.everything() == before


def test_read_only_refuses_admins_too_and_offers_nothing(visit: Visit, pipeline: Letters) -> None:
    """405 for every route that changes something; pages go without their buttons."""
    client, before = visit("admin", console_read_only=True), pipeline.everything()
    for path in routes_that_change(client):
        assert client.post(path, data={"letter": LETTER}).status_code == 405, path
    page = client.get("/ops/events/e0%40acme%2Fdesk").text
    assert '<form method="post"' not in page
    assert "read-only" in page
    assert pipeline.everything() == before


def test_roles_and_passwords_count_as_they_are_now(tmp_path: Path) -> None:
    """Another role counts at once; another password ends the sessions begun with the old one."""
    path = tmp_path / "users.json"
    put(path, "ann", Role.ADMIN, "the first password")
    access = Access(Settings(_env_file=None, console_users=path, data_dir=tmp_path))
    cookie = access.log_in("ann", "the first password")
    headers = {"cookie": f"pipeline_console={cookie}"}
    assert access.visitor(headers) == ("ann", Role.ADMIN)
    users = json.loads(path.read_text())
    users["ann"]["role"] = "viewer"
    path.write_text(json.dumps(users))
    assert access.visitor(headers) == ("ann", Role.VIEWER)
    put(path, "ann", Role.ADMIN, "the second password")
    assert access.visitor(headers) is None
    assert path.stat().st_mode & 0o077 == 0


def test_without_users_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """Kept in a file nobody else reads; two processes have the same."""
    settings = Settings(_env_file=None, data_dir=tmp_path)
    first, second = Access(settings), Access(settings)
    assert first.token == second.token == (tmp_path / "console.token").read_text()
    assert (tmp_path / "console.token").stat().st_mode & 0o077 == 0
    assert first.log_in("", first.token or "") is not None


def test_a_session_that_is_not_ours_is_none() -> None:
    """Changed, of another secret, or no session at all."""
    sessions = Sessions(b"one secret")
    cookie = sessions.write("ann", "user:x")
    assert sessions.read(cookie) == ("ann", "user:x")
    # The last character has bits that say nothing, so it is no good one to change.
    changed = cookie[:-2] + ("A" if cookie[-2] != "A" else "B") + cookie[-1]
    assert sessions.read(changed) is None
    assert Sessions(b"another").read(cookie) is None
    for other in ("", "x", "e30.x.y", '"', "é"):
        assert sessions.read(other) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"a": 1}',
        '{"a": {"role": "king", "password": "00:00"}}',
        '{"a": {"role": "admin", "password": "zz"}}',
    ],
)
def test_a_file_that_is_none_of_users_is_told(tmp_path: Path, text: str) -> None:
    """And lets nobody in."""
    path = tmp_path / "users.json"
    path.write_text(text)
    with pytest.raises(SettingError):
        Users(path).get("a")


def test_digests_are_salted() -> None:
    """The same password twice is two digests."""
    assert digest("x" * 10) != digest("x" * 10)
