"""registry -> one phase of a run: state, key metric, gates, curves, and every metric with where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from ..forge import views
from ..forge.contracts import PHASES
from ..forge.models import last_of
from ..forge.provenance import Numbers, shown, source, tip
from ..forge.registry import Registry
from ..forge.report import KEY
from .common import began, gates, no_run, plot, table, with_unit
from .figures import ladder_rows, of_phase


def show(folder: Path) -> None:
    """The page."""
    with Registry.open(folder) as registry:
        runs = registry.runs()
        if not runs:
            no_run(folder)
            return
        run = st.selectbox(
            "Run", runs, format_func=lambda run: f"{run.name}, {began(run)} UTC, {run.status}, {run.run[:8]}"
        )
        phase = st.radio("Phase", PHASES, horizontal=True)
        row = next(row for row in views.phase_table(registry, run) if row["phase"] == phase)
        numbers = Numbers(registry, run.run)
        st.caption(row["about"])
        _head(row, numbers)
        table(gate_rows(row), "gates")
        plot(of_phase(registry, numbers, phase), phase)
        if phase == "pack":
            last = last_of(registry, run.run)
            table(ladder_rows(numbers, last.formats if last is not None else ()), "the ladder")
        with st.expander("All metrics of the phase"):
            table(metric_rows(numbers, phase))


def _head(row: dict[str, Any], numbers: Numbers) -> None:
    key, columns = KEY[row["phase"]], st.columns([1, 1, 1, 3])
    facts = {"status": row["status"], "duration": f"{row['seconds']:.1f} s", "gates passed": gates(row)}
    for column, (name, value) in zip(columns, facts.items(), strict=False):
        column.metric(name, value)
    if key in numbers:
        columns[-1].metric(numbers[key].entry.meaning, with_unit(numbers[key]), help=tip(numbers[key]))
    if row["reason"]:
        st.warning(row["reason"])


def gate_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Gates as a table."""
    return [{"gate": g["gate"].replace("_", " "), "metric": g["metric"], "value": g["value"], "limit": g["limit"],
             "verdict": "passed" if g["passed"] else f"missed: {g['action'] or 'nothing followed'}"}
            for g in row["gates"]]  # fmt: skip


def metric_rows(numbers: Numbers, phase: str) -> list[dict[str, Any]]:
    """Metrics of a phase, each with what computed it."""
    return [{"metric": m.name, "value": shown(m.value), "unit": m.entry.unit, "computed by": source(m)}
            for at, m in numbers.rows if at == phase]  # fmt: skip
