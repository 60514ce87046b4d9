"""A project's groups held against its peers' of the same variant, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.reporting.figures import END_TO_END, PER_SECOND, Figure
from benchmarks.reporting.findings import Sentence, Tone, at
from benchmarks.reporting.numbers import certainty, listed, number, short
from benchmarks.reporting.summary import Group, Ratio, Scenario, ratio
from benchmarks.results import PIPELINE, Load

_Beside = tuple[Group, str, str]
"""A peer, how many times as much, and how sure that is."""


def against_peers(scenario: Scenario) -> Iterator[Sentence]:
    """This project's groups and all peers of the same variant: how many times as fast."""
    for group in scenario.groups:
        peers = list(scenario.peers(group))
        if group.subject != PIPELINE or not peers:
            continue
        parts = _beside(_RATES if group.load == Load.BULK else _TIMES, group, peers)
        behind = [short(each.subject) for each in (group, *peers) if each.fell_behind]
        mind = f" Mind that {listed(behind)} did not keep up." if behind else ""
        if parts:
            yield Sentence(Tone.PLAIN, f"{at(scenario, group)}{'; '.join(parts)}.{mind}")


@dataclass(frozen=True, slots=True)
class _Words:
    """How subjects are held against each other by a figure: templates of sentences.

    Attributes:
        figure: by which.
        more_is_better: whether who has more of it is ahead.
        behind: all peers that are behind, each in the words of `each`.
        each: one of these.
        ahead: one peer that is ahead.
        same: one that is not told apart.
        first: stands before all where no peer is behind, and so nothing names the figure.
    """

    figure: Figure
    more_is_better: bool
    behind: str
    each: str
    ahead: str
    same: str
    first: str = ""


_RATES: Final = _Words(
    figure=PER_SECOND,
    more_is_better=True,
    behind="of events a second {ours} works off {peers}",
    each="{times} times as many as {peer} ({sure})",
    ahead="{peer} works off {times} times as many as {ours} ({sure})",
    same="{ours} and {peer} are not told apart by their rate ({sure})",
)
_TIMES: Final = _Words(
    figure=END_TO_END["p99"],
    more_is_better=False,
    behind="until 99% of events are done it takes {peers} as with {ours}",
    each="{times} times as long with {peer} ({sure})",
    ahead="it takes {times} times as long with {ours} as with {peer} ({sure})",
    same="{ours} and {peer} are not told apart by it ({sure})",
    first="by the time until 99% of events are done, ",
)


def _beside(words: _Words, group: Group, peers: Sequence[Group]) -> list[str]:
    """What is told of a group and its peers: of those behind it, ahead of it, and alike."""
    less, more, same = _sorted_out(group, peers, words.figure)
    behind, ahead = (less, more) if words.more_is_better else (more, less)
    ours = short(group.subject)

    def each(template: str, beside: Sequence[_Beside]) -> list[str]:
        return [
            template.format(ours=ours, peer=short(peer.subject), times=times, sure=sure)
            for peer, times, sure in beside
        ]

    parts = each(words.ahead, ahead) + each(words.same, same)
    if behind:
        told = listed(each(words.each, behind))
        return [words.behind.format(ours=ours, peers=told), *parts]
    return [f"{words.first}{parts[0]}", *parts[1:]] if parts else []


def _sorted_out(
    group: Group, peers: Sequence[Group], figure: Figure
) -> tuple[list[_Beside], list[_Beside], list[_Beside]]:
    """Peers with less of a figure than the group, with more, and those not told apart."""
    less: list[_Beside] = []
    more: list[_Beside] = []
    same: list[_Beside] = []
    for peer in peers:
        found = _more(group, peer, figure)
        if found is None:
            continue
        higher, lower, times = found
        sure = f"{certainty(times)}{_workers(higher, lower)}"
        where = (less if higher is group else more) if times.told_apart else same
        where.append((peer, number(times.spread.median), sure))
    return less, more, same


def _more(group: Group, peer: Group, figure: Figure) -> tuple[Group, Group, Ratio] | None:
    """Who has more of a figure, who has less, and how many times as much."""
    for more, less in ((group, peer), (peer, group)):
        found = ratio(more, less, figure)
        if found is not None and found.spread.median >= 1:
            return more, less, found
    return None


def _workers(group: Group, peer: Group) -> str:
    if group.workers == peer.workers:
        return ""
    first, second = (f"{short(one.subject)} with {one.workers}" for one in (group, peer))
    return f"; workers: {first}, {second}"
