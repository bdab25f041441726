"""host and boards -> page: what runs took of the machine, how it is now, and which boards are here."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import psutil
import streamlit as st

from .. import ports
from ..boards import boards
from ..forge import monitor
from ..forge.contracts import Value
from ..forge.registry import Metric, Registry
from .board import said_rows, watches
from .common import facts, plot, table
from .figures import lines

REFRESH_S, FIRST_S = 2, 0.2
SAMPLES = 150
Samples = Sequence[tuple[float, monitor.Sample]]
"""Seconds, and what was there."""


def show(folder: Path) -> None:
    """The page."""
    with Registry.open(folder) as registry:
        _now(folder)
        table(host_rows(registry), "what runs took")
    table(board_rows(), "boards of this machine")
    for name, watch in watches().items():
        st.subheader(f"Board {name}{'' if watch.alive else ', as it was seen last'}")
        table(said_rows(watch))
    if st.button("Ask the USB ports"):
        found = [{"port": f.port.name, "board": f.hello.board if f.hello else ", ".join(f.boards), "what": f.trouble}
                 for f in ports.scan(boards().values())]  # fmt: skip
        table(found, "ports")
        if not found:
            st.caption("No USB serial port here.")


@st.fragment(run_every=REFRESH_S)
def _now(folder: Path) -> None:
    kept = st.session_state.setdefault("samples", deque(maxlen=SAMPLES))
    if not kept:
        psutil.cpu_percent()  # the first call has nothing to compare with
        time.sleep(FIRST_S)
    kept.append((time.time(), monitor.sample(psutil.Process(), folder)))
    now = kept[-1][1]
    facts({
        "processor": f"{now.cpu_percent:.0f} %", "memory in use": f"{now.ram_bytes / 1e9:.2f} GB",
        "of that this server": f"{now.rss_bytes / 1e6:.0f} MB", "disk free": f"{now.disk_free_bytes / 1e9:.1f} GB",
    })  # fmt: skip
    plot(charts(list(kept)), "now ")


def charts(samples: Samples) -> list[go.Figure]:
    """Processor and memory over the last seconds."""
    last = samples[-1][0] if samples else 0.0
    cpu = [(at - last, s.cpu_percent, f"{s.cpu_percent:.0f} %") for at, s in samples]
    ram = [(at - last, s.ram_bytes / 1e9, f"{s.ram_bytes:,} bytes") for at, s in samples]
    made = [*lines("Processor", {"%": cpu}, "time, s", "%", whole=False),
            *lines("Memory in use", {"GB": ram}, "time, s", "GB", whole=False)]  # fmt: skip
    for one, most in zip(made, (100, psutil.virtual_memory().total / 1e9), strict=False):
        one.update_yaxes(range=[0, 1.03 * most])
    return made


def host_rows(registry: Registry) -> list[dict[str, Any]]:
    """`system/host/*` of each run, as a table."""
    rows = []
    for run in registry.runs():
        found = dict(_host_value(m) for _, m in registry.metrics(run.run, prefix="system/host/"))
        if found:
            rows.append({"name": run.name, "run": run.run[:8], "duration, s": round(run.seconds, 1), **found})
    return rows


def _host_value(metric: Metric) -> tuple[str, Value]:
    name = metric.name.rpartition("/")[2]
    if metric.entry.unit == "byte":
        return f"{name.removesuffix('_bytes').replace('_', ' ')}, MB", round(float(metric.value) / 1e6)
    return name.replace("_percent", ", %"), metric.value


def board_rows() -> list[dict[str, Any]]:
    """The boards, as `espike boards` lists them."""
    found = sorted(boards().values(), key=lambda board: (board.state != "ready", board.name))
    return [{"board": b.name, "RAM, bytes": b.ram_bytes, "flash, bytes": b.flash_bytes, "state": b.state,
             "what": b.title} for b in found]  # fmt: skip
