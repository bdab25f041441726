"""board -> page: raster of its last bursts, rates, counters and log, while it runs undisturbed."""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from plotly.colors import qualitative

from espike_sim.connectome import Area

from .. import ports
from ..boards import boards
from ..monitor import Status
from .common import facts, plot, table
from .figures import bars, figure, lines
from .live import Watch

REFRESH_S = 1
ROWS_MOST = 250
"""Of a raster: it has no more pixels."""
COLOURS = qualitative.D3
COUNTED = {
    "burst": "burst", "bursts_per_s": "bursts/s", "burst_us_mean": "us a burst", "spikes": "spikes",
    "saturations": "saturations", "overruns": "overruns", "link_errors": "link errors", "dropped": "dropped",
}  # fmt: skip
"""What is shown of a status, and how it is called."""
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
    target = chosen()
    if target is None:
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


@contextmanager
def free(target: str) -> Iterator[None]:
    """Nobody here looks on at a board for a while; who did does again afterwards."""
    kept = watches()
    watch = kept.get(target)
    if watch is None or not watch.alive:
        yield
        return
    watch.close()
    try:
        yield
    finally:
        kept[target] = Watch(target)


def chosen() -> str | None:
    """The board, by name or port, that a person chose; None: there is none, which the page says."""
    left, right = st.columns(2)
    known = targets()
    name = left.selectbox("Board", list(known), format_func=lambda name: known[name])
    target = right.text_input("or a port", placeholder="/dev/ttyUSB0, socket://host:port") or name
    if target is None:
        st.info("No board is ready here: espike boards")
    return target


def targets() -> dict[str, str]:
    """Boards of this machine that can be started, the quickest first, and USB ports, each with its title."""
    ready = sorted((b for b in boards().values() if b.state == "ready"), key=lambda b: b.data["kind"] != "native")
    found = [(board.name, board.title) for board in ready] + [(port.name, port.title) for port in ports.listed()]
    return {name: f"{name}: {title}" if title else name for name, title in found}


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
    areas = watch.network.areas if watch.network else ()
    bursts, statuses = list(watch.bursts), list(watch.statuses)
    if statuses:
        said = statuses[-1].as_json()
        facts({title: _number(said[name]) for name, title in COUNTED.items()})
    if bursts and areas:
        plot([*raster(bursts, areas), *rates(bursts, areas)], "board ")
    plot(spikes(statuses), "board ")
    left, right = st.columns([2, 1])
    left.code("\n".join(list(watch.log)[-15:]) or "nothing was said yet", None, wrap_lines=True)
    with right.expander("Hello and state"):
        table(said_rows(watch))


def _number(value: float) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def said_rows(watch: Watch) -> list[dict[str, Any]]:
    """What a board says of itself."""
    found = {**(vars(watch.hello) if watch.hello else {}), **(vars(watch.state) if watch.state else {})}
    return [{"what": name, "value": str(value)} for name, value in found.items()]


def raster(bursts: Bursts, areas: Sequence[Area]) -> list[go.Figure]:
    """Who fired, a column a burst, a colour an area; of many neurons several a row.

    One picture: a browser does not draw thousands of points every second.
    """
    each = -(-sum(area.count for area in areas) // ROWS_MOST) or 1
    z = np.full((sum(area.count for area in areas) // each + 1, len(bursts)), np.nan, np.float32)
    firsts = [area.first for area in areas]
    for column, (_, fired) in enumerate(bursts):
        ids = np.array(fired, np.int64)
        z[ids // each, column] = np.searchsorted(firsts, ids, "right") - 0.5
    made = figure("Who fired", "burst", "neuron")
    made.add_heatmap(
        z=z, x=[burst for burst, _ in bursts], y=np.arange(len(z)) * each, zmin=0, zmax=len(areas), showscale=False,
        colorscale=[(at / len(areas), COLOURS[i % len(COLOURS)]) for i in range(len(areas)) for at in (i, i + 1)],
        hoverongaps=False, hovertemplate="burst %{x}, neuron %{y}<extra></extra>",
    )  # fmt: skip
    for i, area in enumerate(areas):  # the legend
        made.add_scatter(x=[None], y=[None], name=area.id, mode="markers", marker={"color": COLOURS[i % len(COLOURS)]})
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
