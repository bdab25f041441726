"""registry -> overview: how far the newest run is, what it measures, all runs, sizes and accuracies by phase."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from espike_sim.errors import EspikeError

from ..forge import views
from ..forge.contracts import PHASES
from ..forge.deploy import test_items
from ..forge.measures import examples_of
from ..forge.provenance import Numbers, shown, tip
from ..forge.registry import Metric, Registry
from ..forge.report import FACTS, KEY
from ..forge.rows import Run
from ..forge.statistics import Interval, wilson
from .common import began, facts, gates, no_run, plot, table, told, with_unit
from .figures import figure, lines, number

REFRESH_S = 5
ACCURACIES = {phase: f"{phase}/accuracy" for phase in PHASES} | {"pack": "pack/final_accuracy"}


def show(folder: Path) -> None:
    """The page."""
    _live(folder)
    with Registry.open(folder) as registry:
        runs = registry.runs()
        if not runs:
            return
        table(run_rows(runs), "runs")
        numbers = Numbers(registry, runs[0].run)
        st.subheader("Sizes and accuracies by phase")
        plot(lines("Bytes of the image", {"bytes": sizes(registry, runs[0].run)}, "", "bytes", whole=False)
             + accuracy_figure(registry, numbers))  # fmt: skip


@st.fragment(run_every=REFRESH_S)
def _live(folder: Path) -> None:
    with told(), Registry.open(folder) as registry:
        runs = registry.runs()
        if not runs:
            no_run(folder)
            return
        run = runs[0]
        rows = views.phase_table(registry, run)
        done = progress(rows)
        st.subheader(f"{run.name}, run {run.run[:8]}: {run.status}")
        st.progress(done / len(rows), f"{done} of {len(rows)} phases, {elapsed(run):.0f} s")
        if run.reason:
            st.warning(run.reason)
        numbers = Numbers(registry, run.run)
        facts({name: shown(numbers[key].value) for name, key in FACTS if key in numbers})
        _cards(rows, numbers)
        with st.expander("Log", expanded=run.status == "running"):
            st.code(
                "\n".join(f"{log.at[11:19]} {log.phase:7} {log.text}" for log in registry.logs(run.run)[-12:]), None
            )


def _cards(rows: list[dict[str, Any]], numbers: Numbers) -> None:
    for first in range(0, len(rows), 4):
        for column, row in zip(st.columns(4), rows[first : first + 4], strict=True):
            with column.container(border=True, height="stretch"):
                st.markdown(f"**{row['phase']}**: {row['status']}")
                st.caption(f"{row['seconds']:.1f} s, gates passed: {gates(row)}")
                key = KEY[row["phase"]]
                if key in numbers:
                    st.markdown(f"**{with_unit(numbers[key])}** {numbers[key].entry.meaning}")
                if row["reason"]:
                    st.caption(row["reason"])


def progress(rows: list[dict[str, Any]]) -> int:
    """Phases that are done."""
    return sum(row["status"] == "done" for row in rows)


def elapsed(run: Run) -> float:
    """Seconds that the run took, or has been taking."""
    if run.status != "running":
        return run.seconds
    return run.seconds + (datetime.now(UTC) - datetime.fromisoformat(run.started)).total_seconds()


def run_rows(runs: list[Run]) -> list[dict[str, Any]]:
    """Runs as a table."""
    return [{"name": run.name, "run": run.run[:8], "status": run.status, "began, UTC": began(run),
             "duration, s": round(elapsed(run), 1), "seed": run.seed, "reason": run.reason}
            for run in runs]  # fmt: skip


def sizes(registry: Registry, run: str) -> list[Any]:
    """Phase, bytes and words of the last image of each phase."""
    last = {model.phase: model for model in registry.models(run)}
    said = "{0.id}\n{0.bytes:,} bytes, {0.bytes_per_synapse:.3g} per synapse"
    return [(phase, last[phase].bytes, said.format(last[phase])) for phase in PHASES if phase in last]


def interval(registry: Registry, metric: Metric) -> Interval | None:
    """An accuracy with the Wilson interval of its items; None where they are not here."""
    is_one = metric.function in ("accuracy", "accuracy_of_all") and len(metric.objects) == 2
    if not is_one or not all(map(registry.has, metric.objects)):
        return None
    count = len(examples_of(registry.get(metric.objects[1])).label)
    return wilson(round(float(metric.value) * count), count)


def accuracies(registry: Registry, numbers: Numbers) -> dict[str, list[tuple[str, Interval, str]]]:
    """Phase, interval and words of each phase's right answers, those on test items apart from others."""
    try:
        test = test_items(registry, numbers.run)
    except EspikeError:
        test = ""
    made: dict[str, list[tuple[str, Interval, str]]] = {"validation items": [], "test items": []}
    for phase, name in ACCURACIES.items():
        if name in numbers:
            m = numbers[name]
            bounds = interval(registry, m) or Interval(number(m), number(m), number(m))
            made["test items" if test in m.objects else "validation items"].append((phase, bounds, tip(m)))
    return made


def accuracy_figure(registry: Registry, numbers: Numbers) -> list[go.Figure]:
    """Right answers by phase, with 95 % intervals where the items are known."""
    made = figure("Right answers, with 95 % intervals", "", "share")
    for name, found in accuracies(registry, numbers).items():
        if found:
            names, bounds, said = zip(*found, strict=True)
            y = [b.value for b in bounds]
            bars = {"array": [b.high - b.value for b in bounds], "arrayminus": [b.value - b.low for b in bounds]}
            made.add_scatter(x=names, y=y, error_y=bars, name=name, text=[t.replace("\n", "<br>") for t in said],
                             hoverinfo="text", mode="lines+markers")  # fmt: skip
    made.update_xaxes(categoryorder="array", categoryarray=PHASES)
    return [made] if made.data else []
