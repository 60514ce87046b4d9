"""Numbers of the report's tables, against the same ones calculated another way."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparing import compare_results
from benchmarks.reporting.figures import PER_SECOND
from benchmarks.reporting.numbers import number
from benchmarks.reporting.summary import Ratio, compared_figures, ratio, scenarios
from benchmarks.reporting.tables import Table, tables
from benchmarks.results import Result
from tests.made_up_results import realistic, result, run


def frame(found: Result) -> pd.DataFrame:
    """The runs as a table of pandas."""
    rows = [
        {
            "scenario": one.scenario,
            "subject": one.subject,
            "rate": one.variant.get("rate"),
            "workers": one.workers,
            "repeat": one.repeat,
            "per_second": one.sent / one.seconds,
            "p99": one.latency.end_to_end.p99 if one.latency else None,
            "cpu": 1000 * sum(used.cpu_seconds for used in one.usage) / one.sent,
            "retries": one.reliability.retries,
        }
        for one in found.runs
    ]
    return pd.DataFrame(rows)


def table(found: Result, scenario: str, caption: str) -> Table:
    """A scenario's table, by how its caption begins."""
    (chosen,) = [one for one in scenarios(found.runs) if one.name == scenario]
    (told,) = [one for one in tables(chosen) if one.caption.startswith(caption)]
    return told


def cells(told: Table, column: str) -> list[tuple[str, str]]:
    """Text and note of each cell of a column."""
    place = told.columns.index(column)
    return [(row[place].text, row[place].note) for row in told.rows]


def spreads(values: pd.DataFrame, figure: str, by: list[str]) -> dict[object, tuple[str, str]]:
    """Median and range by pandas, as the page writes them."""
    found = values.groupby(by)[figure].agg(["median", "min", "max"])
    return {
        name: (number(row["median"]), f"{number(row['min'])} to {number(row['max'])}")
        for name, row in found.iterrows()
    }


def test_rates_are_those_of_pandas() -> None:
    """Median and range of five runs of each subject."""
    found = realistic()
    told = table(found, "peers", "Bulk load")
    values = frame(found)
    wanted = spreads(values[values["scenario"] == "peers"], "per_second", ["subject"])
    names = [row[0].text for row in told.rows]
    assert dict(zip(names, cells(told, "events a second"), strict=True)) == {
        name: wanted[name,] if (name,) in wanted else wanted[name] for name in names
    }
    assert {text for text, _ in cells(told, "runs")} == {"5"}


def test_latencies_are_those_of_pandas() -> None:
    """By subject and rate."""
    found = realistic()
    told = table(found, "single", "Open load")
    values = frame(found)
    wanted = spreads(values[values["scenario"] == "single"], "p99", ["subject", "rate"])
    names = [(row[0].text, float(row[1].text.replace(",", ""))) for row in told.rows]
    shown = dict(zip(names, cells(told, "p99, ms"), strict=True))
    assert len(shown) == 15
    for name, (text, note) in shown.items():
        assert text == wanted[name][0]
        assert note in {wanted[name][1], ""}


def test_cost_is_that_of_pandas() -> None:
    """Processor time of all processes by event."""
    found = realistic()
    told = table(found, "peers", "Cost")
    values = frame(found)
    wanted = spreads(values[values["scenario"] == "peers"], "cpu", ["subject"])
    for row, cell in zip(told.rows, cells(told, "CPU ms"), strict=True):
        assert cell == wanted[row[0].text]


def test_what_went_wrong_is_added_up() -> None:
    """And what nobody knows is no zero."""
    found = realistic()
    told = table(found, "peers", "What went wrong")
    values = frame(found)
    wanted = values[values["scenario"] == "peers"].groupby("subject")["retries"].sum(min_count=1)
    for row, (text, _) in zip(told.rows, cells(told, "retries"), strict=True):
        known = wanted[row[0].text]
        assert text == ("-" if np.isnan(known) else f"{known:,.0f}")


def test_ratios_are_divided_within_a_repeat() -> None:
    """The median of ratios, by a pivot of pandas."""
    found = realistic()
    told = table(found, "peers", "Events a second")
    values = frame(found)
    rates = values[values["scenario"] == "peers"].pivot_table(
        index="repeat", columns="subject", values="per_second"
    )
    for row in told.rows:
        for head, cell in zip(told.columns[1:], row[1:], strict=True):
            below = head.removeprefix("over ")
            if below == row[0].text:
                assert cell.text == "-"
                continue
            pairs = rates[row[0].text] / rates[below]
            assert cell.text == number(pairs.median())
            assert cell.note == f"{number(pairs.min())} to {number(pairs.max())}, 5 pairs"


@given(
    ours=st.dictionaries(st.integers(1, 9), st.integers(1, 10_000), min_size=1),
    theirs=st.dictionaries(st.integers(1, 9), st.integers(1, 10_000), min_size=1),
)
def test_a_ratio_and_its_inverse_have_inverse_ends(
    ours: dict[int, int], theirs: dict[int, int]
) -> None:
    """In whatever rounds the two were run."""
    runs = [run(rate, repeat=repeat) for repeat, rate in ours.items()]
    runs += [run(rate, repeat=repeat, subject="celery") for repeat, rate in theirs.items()]
    (scenario,) = scenarios(runs)
    one, other = scenario.groups
    there, back = ratio(one, other, PER_SECOND), ratio(other, one, PER_SECOND)
    assert isinstance(there, Ratio)
    assert isinstance(back, Ratio)
    assert there.pairs == back.pairs == len(ours.keys() & theirs.keys())
    assert np.isclose(there.spread.low * back.spread.high, 1)
    assert there.told_apart == back.told_apart


def test_a_run_without_a_duration_has_no_ratio() -> None:
    """Nothing is divided by nothing."""
    (scenario,) = scenarios([run(), run(subject="celery", seconds=0)])
    one, other = scenario.groups
    assert ratio(one, other, PER_SECOND) is None


def test_rows_beyond_two_hundred_are_counted() -> None:
    """The raw figures have them."""
    told = table(result(*(run(variant={"size": n}) for n in range(230))), "main", "Bulk load")
    assert len(told.rows) == 200
    assert told.left_out == 30


def test_a_switch_and_a_number_are_different_variants() -> None:
    """Though Python takes True for 1."""
    (scenario,) = scenarios([run(variant={"x": True}), run(variant={"x": 1})])
    assert len(scenario.groups) == 2


def test_figures_that_differ_come_first() -> None:
    """So that no bound of a table or a plot hides them."""
    now = result(*(run(1000 + n, repeat=n) for n in range(7)))
    now = result(*now.runs, *(run(2000 + n, repeat=n, scenario="other") for n in range(7)))
    then = result(*(one.model_copy(update={"seconds": 10.0}) for one in now.runs[:7]))
    slow = [one.model_copy(update={"seconds": 20.0}) for one in now.runs[7:]]
    compared = compare_results(now, result(*then.runs, *slow))
    assert next(name.split()[0] for name, _ in compared_figures(compared)) == "other"
    assert compared[0].name.startswith("main")
