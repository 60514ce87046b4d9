"""The pictures of the README: all that are listed are there, small, and of pages that there are."""

from collections.abc import Callable
from pathlib import Path

from fastapi.testclient import TestClient
from PIL import Image
from pydantic import SecretStr

from dashboards.access import Access
from dashboards.app import create_app
from dashboards.screenshots import PICTURES, SHOTS, day_of_flights, make_up_an_hour
from handlers import appointments
from pipeline.declarations import Lane
from pipeline.queue import RINGS, BatchWorker
from pipeline.reporting import report
from workers.bootstrap import Application

TOKEN = "of a test"  # noqa: S105 - it opens nothing else
KILOBYTE = 1024


def test_every_picture_is_there_and_small() -> None:
    """Nobody waits for them; and the README shows none that is not."""
    sizes = {path.stem: path.stat().st_size for path in PICTURES.glob("*.png")}
    assert set(sizes) == {shot.name for shot in SHOTS}
    assert max(sizes.values()) < 200 * KILOBYTE
    assert sum(sizes.values()) < 1000 * KILOBYTE
    for shot in SHOTS:
        with Image.open(PICTURES / f"{shot.name}.png") as picture:
            assert picture.size == shot.size
    readme = (PICTURES.parents[1] / "README.md").read_text(encoding="utf-8")
    for shown in {part.split(".png")[0] for part in readme.split("docs/pictures/")[1:]}:
        assert shown in sizes


def test_every_page_of_a_picture_opens_and_shows_what_it_is_of(
    application_of: Callable[..., Application], redis_url: str, tmp_path: Path
) -> None:
    """With the same events; dead letters are those that are meant to be, and late ones are late."""
    app = application_of(
        appointments, max_attempts=1, console_token=SecretStr(TOKEN), data_dir=tmp_path
    )
    events = list(day_of_flights())
    for begin in range(0, len(events), 500):
        app.dispatcher.submit(events[begin : begin + 500])
    with app.executor("burst") as executor:
        worker = BatchWorker(
            app.redis,
            name="burst",
            lanes=list(Lane),
            run=lambda batches: report(executor.run(batches)),
            room=500,
            heartbeats=app.heartbeats,
        )
        worker.work(burst=True, logging_level="CRITICAL")
    make_up_an_hour(app, app.clock.now())
    assert len(app.readings.of(RINGS["hour"])) > 300
    client = TestClient(
        create_app(app, redis_url, Access(app.settings)),
        headers={"authorization": f"Bearer {TOKEN}"},
    )
    pages = {shot.name: client.get(shot.path) for shot in SHOTS}
    assert {name: page.status_code for name, page in pages.items()} == dict.fromkeys(pages, 200)
    assert "payload.starts_at is no time with an offset" in pages["failed"].text
    assert "has given up" in pages["event"].text
    assert "dead letter" in pages["entity"].text
    assert "appointments.apply" in pages["late"].text
