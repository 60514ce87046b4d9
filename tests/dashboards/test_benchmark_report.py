"""The report's page as a browser gets it: whole, harmless, and the same each time."""

import base64
import hashlib
import json
import re
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest

from benchmarks.comparing import compare_results
from benchmarks.reporting import page
from benchmarks.results import Latency, Reliability, Result
from tests.made_up_results import PROMISES, at_rate, environment, realistic, result, run, times

ATTACK = "<script>alert(1)</script>"
ODD = f'{ATTACK} "&\' id="x $x$ #010101 漢字 \u2028 -->'
FETCHED = ("src", "href", "srcset", "action", "data", "poster")


def parsed(text: str) -> Element:
    """The page's elements; an error of its markup fails the test."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    found: Element = parser.parse(text)
    return found


def local(tag: object) -> str:
    """A tag's name without its namespace."""
    return str(tag).rpartition("}")[2]


def whole(found: Result | None = None, **fields: Any) -> str:
    """A page with everything on it."""
    found = found or realistic()
    fields = {"guarantees": PROMISES, "comparisons": compare_results(found, realistic(8))} | fields
    return page(found, **fields)


def test_the_page_is_well_formed() -> None:
    """A strict parser takes it, and no id is there twice."""
    ids = [element.get("id") for element in parsed(whole()).iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_links_within_the_page_lead_somewhere() -> None:
    """As do the drawings' own."""
    text = whole()
    root = parsed(text)
    ids = {element.get("id") for element in root.iter()}
    targets = {
        value[1:]
        for element in root.iter()
        for name, value in element.attrib.items()
        if local(name) == "href"
    } | set(re.findall(r"url\(#([^)]+)\)", text))
    assert targets
    assert targets <= ids


def test_nothing_is_fetched() -> None:
    """No address outside, in no attribute and no style."""
    text = whole()
    for element in parsed(text).iter():
        for name, value in element.attrib.items():
            if local(name) in FETCHED:
                assert value.startswith("#"), (element.tag, name, value)
    assert text.count("<style") == 1
    assert not re.search(r"url\((?!#)|@import|https?:|//[a-z]", text)


def test_a_browser_is_told_to_run_nothing_else() -> None:
    """The policy names the one script by its hash."""
    root = parsed(whole())
    (policy,) = [one.get("content", "") for one in root.iter("meta") if one.get("http-equiv")]
    (script,) = [one for one in root.iter("script") if one.get("type") is None]
    digest = base64.b64encode(hashlib.sha256((script.text or "").encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_what_runs_are_called_is_text() -> None:
    """Wherever it comes to stand: tables, sentences, plots, notes, guarantees, environment."""
    odd = {ODD: ODD}
    runs = [
        one
        for repeat in (1, 2)
        for subject in ("pipeline", ODD)
        for one in (
            run(
                scenario=ODD,
                subject=subject,
                variant=odd,
                repeat=repeat,
                notes=[ODD],
                missed=[ODD],
                settings={ODD: ODD},
                passed=False,
                reliability=Reliability(lost=1, doubled=1),
            ),
            run(scenario="axis", subject=subject, variant={ODD: repeat}),
            at_rate(50, subject=subject, scenario=f"open {ODD}", repeat=repeat),
            run(scenario="else", subject=subject, repeat=repeat, figures={ODD: 3.0}),
        )
    ]
    where = environment(cpu=ODD, revision=f"{ODD}+", versions={ODD: ODD}, write_concern=ODD)
    found = result(*runs, name=ODD, environment=where)
    text = page(
        found,
        guarantees={ODD: [ODD]},
        comparisons=compare_results(found, found),
        questions={ODD: ODD},
    )
    root = parsed(text)
    assert len(list(root.iter("script"))) == 2
    assert text.count("<script") == 2
    spoken = " ".join("".join(root.itertext()).split())
    assert spoken.count(ATTACK) > 40
    drawn = [element for element in root.iter() if local(element.tag) == "text"]
    assert any("<script>alert(1)" in (element.text or "") for element in drawn)


def test_the_raw_figures_are_in_the_page() -> None:
    """As a result that can be read again."""
    found = result(run(notes=[ODD]), name=ODD)
    (raw,) = [
        element for element in parsed(page(found)).iter("script") if element.get("id") == "raw"
    ]
    assert Result.model_validate_json(raw.text or "") == found
    assert json.loads(raw.text or "")["name"] == ODD


def test_tables_have_captions_and_heads() -> None:
    """Each row and column has its own, and keys reach what scrolls."""
    root = parsed(whole())
    tables = list(root.iter("table"))
    assert len(tables) > 15
    for table in tables:
        assert table.findtext("caption")
        assert {head.get("scope") for head in table.findall("thead/tr/th")} == {"col"}
        for row in table.findall("tbody/tr"):
            (head,) = row.findall("th")
            assert head.get("scope") == "row"
            assert len(row) == len(table.findall("thead/tr/th"))
    boxes = [element for element in root.iter("div") if element.get("class") == "scroll"]
    assert len(boxes) == len(tables)
    assert all(box.get("tabindex") == "0" and box.get("aria-label") for box in boxes)


def test_plots_have_names_and_the_pages_colours() -> None:
    """So that they are read in the light and in the dark."""
    plots = [element for element in parsed(whole()).iter() if local(element.tag) == "svg"]
    assert len(plots) >= 8
    assert all(plot.get("role") == "img" and plot.get("aria-label") for plot in plots)
    for plot in plots:
        for element in plot.iter():
            assert not re.search(r"#[0-9a-f]{6}", element.get("style", ""))


def test_loss_is_seen_at_once() -> None:
    """In the conclusion and in its table, by sign, word and class."""
    root = parsed(page(result(run(reliability=Reliability(lost=3, doubled=0)))))
    loud = [element for element in root.iter() if element.get("class", "").split()[:1] == ["bad"]]
    words = ["".join(element.itertext()) for element in loud]
    assert any(element.tag == "li" for element in loud)
    assert any("✗ 3 lost" in word for word in words)


def test_the_conclusion_comes_first() -> None:
    """Before all scenarios."""
    heads = ["".join(element.itertext()) for element in parsed(whole()).iter("h2")]
    assert heads[0] == "Conclusion"
    assert heads[-1].startswith("Raw figures")
    assert "What each guarantees" in heads
    assert "Comparison with an earlier result" in heads


def test_the_same_result_gives_the_same_bytes() -> None:
    """So a report can be made again, and compared."""
    assert whole() == whole(Result.model_validate_json(realistic().model_dump_json()))


def test_a_result_without_runs_is_a_page() -> None:
    """It says that there are none."""
    assert "There are no runs" in page(result())


def test_times_of_nothing_are_drawn_too() -> None:
    """A logarithmic axis has no zero."""
    none = Latency(end_to_end=times(0, 0, count=0))
    runs = [at_rate(rate, latency=none) for rate in (50, 200, 1000, 2000)]
    parsed(page(result(*runs, run(0, seconds=0), run(subject="celery"))))


@pytest.mark.parametrize("subjects", [3, 40])
def test_five_hundred_runs_stay_below_five_megabytes(subjects: int) -> None:
    """Tables, plots and sentences have their bounds."""
    one = next(found for found in realistic().runs if found.latency)
    runs = [
        one.model_copy(
            update={
                "scenario": f"s{n % 12}",
                "subject": f"subject {n % subjects}",
                "variant": {"size": n},
                "repeat": n,
            }
        )
        for n in range(500)
    ]
    assert len(page(result(*runs)).encode()) < 5_000_000
