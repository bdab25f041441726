"""who reaches whom without delay -> the order in which areas are updated, and the ways back that wait a burst."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

Edge = tuple[str, str]


def by_distance(stations: Sequence[str], first: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """Stations by how many edges they lie from `first`, then by name; what nothing leads to last."""
    after = _followers(stations, edges)
    made = dict.fromkeys(sorted(first))
    queue = list(made)
    for name in queue:
        new = [b for b in after[name] if b not in made]
        made |= dict.fromkeys(new)
        queue += new
    return list(made | dict.fromkeys(sorted(stations)))


def ways_back(stations: Sequence[str], edges: Sequence[Edge]) -> set[Edge]:
    """The edges that close a loop, walking depth first from the first station on; followers by name.

    A loop that is entered at one place is cut there, whatever the order: at the output of the last neuron before it.
    """
    after = _followers(stations, edges)
    state: dict[str, int] = {}
    """1: on the walk; 2: done"""
    back: set[Edge] = set()
    for start in stations:
        if start in state:
            continue
        state[start] = 1
        walk = [(start, iter(after[start]))]
        while walk:
            name, rest = walk[-1]
            follower = next(rest, None)
            if follower is None:
                state[name] = 2
                walk.pop()
            elif follower not in state:
                state[follower] = 1
                walk.append((follower, iter(after[follower])))
            elif state[follower] == 1:
                back.add((name, follower))
    return back


def ordered(stations: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """Stations, each after those that lead to it, else in the order given; edges have no loop."""
    after = _followers(stations, edges)
    rank = {name: i for i, name in enumerate(stations)}
    waiting = dict.fromkeys(stations, 0)
    for followers in after.values():
        for b in followers:
            waiting[b] += 1
    ready = [rank[name] for name in stations if not waiting[name]]
    made = []
    while ready:
        name = stations[heapq.heappop(ready)]
        made.append(name)
        for b in after[name]:
            waiting[b] -= 1
            if not waiting[b]:
                heapq.heappush(ready, rank[b])
    return made


def _followers(stations: Sequence[str], edges: Sequence[Edge]) -> dict[str, list[str]]:
    after: dict[str, list[str]] = {name: [] for name in stations}
    for a, b in sorted(set(edges)):
        after[a].append(b)
    return after
