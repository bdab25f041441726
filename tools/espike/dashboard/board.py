"""board -> page: raster of its last bursts, rates, counters and log, while it runs undisturbed."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from espike_sim.connectome import Area

from .. import ports
from ..boards import boards
from ..monitor import Status
from .common import plot, table
from .figures import bars, figure, lines
from .live import Watch

REFRESH_S = 1
POINTS_MOST = 5000
"""Spikes that a raster shows."""
COUNTED = ("burst", "bursts_per_s", "spikes", "saturations", "overruns", "link_errors", "dropped", "burst_us_mean")
Bursts = Sequence[tuple[int, list[int]]]


@st.cache_resource
def watches() -> dict[str, Watch]:
    """Boards that are looked at, by name or port: one each, whoever looks; ended with the server."""
    kept: dict[str, Watch] = {}
    atexit.register(_close, kept)
    return kept


def _close(kept: dict[str, Watch]) -> None:
    for watch in kept.values():
        watch.close(2.0)


def show(_: Path) -> None:
    """The page."""
    left, right = st.columns(2)
    name = left.selectbox("Board", names())
    target = right.text_input("or a port", placeholder="/dev/ttyUSB0, socket://host:port") or name
    if target is None:
        st.info("No board is ready here: espike boards")
        return
    watch = watches().get(target)
    if watch is None or not watch.alive:
        st.caption("Looking on does not disturb a run. A board by name is a process of this machine, and is started.")
        if st.button("Look on", type="primary"):
            watches()[target] = Watch(target)
            st.rerun()
    elif st.button("Look away"):
        watch.close()
        st.rerun()
    if watch is not None:
        if watch.alive:
            _controls(watch)
        _live(watch)


def names() -> list[str]:
    """Boards of this machine that can be started, the quickest first, and USB ports."""
    ready = sorted((b for b in boards().values() if b.state == "ready"), key=lambda b: b.data["kind"] != "native")
    return [board.name for board in ready] + [port.name for port in ports.listed()]


def _controls(watch: Watch) -> None:
    with st.form("run"):
        left, right = st.columns([3, 1])
        spec = left.text_input("Stimulus", placeholder="poisson:AREA:rate=R:amount=A (docs/stimulus.md), or none")
        speed = right.number_input("Bursts per second", 1, 1000, 50)
        left, right = st.columns([1, 5])
        if left.form_submit_button("Run from burst 0"):
            watch.run(tuple(spec.split()), round(1e6 / speed))
        if right.form_submit_button("Stop the run"):
            watch.stop()


@st.fragment(run_every=REFRESH_S)
def _live(watch: Watch) -> None:
    bursts, statuses, areas = list(watch.bursts), list(watch.statuses), watch.network.areas if watch.network else ()
    if statuses:
        shown = [statuses[-1].as_json()[name] for name in COUNTED]
        for column, name, value in zip(st.columns(len(COUNTED)), COUNTED, shown, strict=True):
            column.metric(name.replace("_", " "), f"{value:,.5g}" if isinstance(value, float) else f"{value:,}")
    if bursts:
        plot([*raster(bursts, areas), *rates(bursts, areas)], "board ")
    plot(spikes(statuses), "board ")
    left, right = st.columns([2, 1])
    left.code("\n".join(list(watch.log)[-15:]) or "nothing was said yet")
    with right.expander("Hello and state"):
        table(said_rows(watch))


def said_rows(watch: Watch) -> list[dict[str, Any]]:
    """What a board says of itself."""
    found = {**(vars(watch.hello) if watch.hello else {}), **(vars(watch.state) if watch.state else {})}
    return [{"what": name, "value": str(value)} for name, value in found.items()]


def raster(bursts: Bursts, areas: Sequence[Area]) -> list[go.Figure]:
    """A point per spike of the last bursts, a colour per area; of very many the newest."""
    left, first = POINTS_MOST, len(bursts)
    while first and left >= len(bursts[first - 1][1]):
        first -= 1
        left -= len(bursts[first][1])
    x = np.array([burst for burst, ids in bursts[first:] for _ in ids], np.int64)
    y = np.array([i for _, ids in bursts[first:] for i in ids], np.int64)
    made = figure("Who fired", "burst", "neuron")
    made.update_layout(xaxis_range=[bursts[0][0] - 0.5, bursts[-1][0] + 0.5])
    for area in areas:
        inside = (y >= area.first) & (y < area.first + area.count)
        made.add_scatter(x=x[inside], y=y[inside], name=area.id, mode="markers", marker={"size": 4})
    return [made]


def rates(bursts: Bursts, areas: Sequence[Area]) -> list[go.Figure]:
    """Spikes per neuron and burst of each area."""
    ids = np.array([i for _, fired in bursts for i in fired], np.int64)
    marks = []
    for area in areas:
        count = int(((ids >= area.first) & (ids < area.first + area.count)).sum())
        marks.append((area.id, count / (len(bursts) * max(area.count, 1)), f"{area.id}: {count:,} spikes"))
    return bars("Firing rates", marks, "spikes per neuron and burst")


def spikes(statuses: Sequence[Status]) -> list[go.Figure]:
    """Speed and spikes of each interval."""
    speed = [(s.burst, s.bursts_per_s, f"burst {s.burst}: {s.bursts_per_s:.1f} bursts/s") for s in statuses]
    fired = [(s.burst, s.spikes, f"burst {s.burst}: {s.spikes} spikes") for s in statuses]
    return [*lines("Speed", {"bursts/s": speed}, "burst", "bursts/s", "lines"),
            *lines("Spikes of an interval", {"spikes": fired}, "burst", "spikes", "lines")]  # fmt: skip
