"""rows and figures -> the page: what pages share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from espike_sim.errors import EspikeError

from ..forge.provenance import shown
from ..forge.registry import Metric
from ..forge.rows import Run

PLOT = {"displaylogo": False, "displayModeBar": False}
ROW_PX, ROWS_MOST = 35, 15
"""Of a table: height, and how many are seen without scrolling."""


@contextmanager
def told() -> Iterator[None]:
    """What espike says is wrong is said on the page; what is drawn again by itself needs this too."""
    try:
        yield
    except EspikeError as error:
        st.error(str(error))


def plot(figures: Sequence[go.Figure], key: str = "") -> None:
    """Two figures a row; key: of those that are drawn again and again."""
    for first in range(0, len(figures), 2):
        for column, made in zip(st.columns(2), figures[first : first + 2], strict=False):
            column.plotly_chart(made, config=PLOT, key=f"{key}{made.layout.title.text}")


def table(rows: Sequence[dict[str, Any]], title: str = "") -> None:
    """Rows as a table under a title; nothing where there are none."""
    if not rows:
        return
    if title:
        st.subheader(title.capitalize())
    height = ROW_PX * (min(len(rows), ROWS_MOST) + 1) + 2
    st.dataframe(list(rows), height=height, hide_index=True, column_config=_formats(rows))


def _formats(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Whole numbers with their thousands apart, others with four digits."""
    made = {}
    for name in rows[0]:
        kinds = {type(row[name]) for row in rows if row.get(name) is not None}
        if kinds and kinds <= {int, float}:
            made[name] = st.column_config.NumberColumn(format="localized" if kinds == {int} else "%.4g")
    return made


def facts(found: Mapping[str, str]) -> None:
    """Names and values in large letters, side by side."""
    for column, (name, value) in zip(st.columns(len(found) or 1), found.items(), strict=False):
        column.metric(name, value)


def no_run(folder: Path) -> None:
    """What a newcomer is told."""
    st.info(f"No run yet: espike forge run CONFIG.toml --home {folder}")
    st.caption("The sources have configurations: examples/digits.toml with --quick takes about a minute.")


def began(run: Run) -> str:
    """When a run began, UTC, to the second."""
    return run.started[:19].replace("T", " ")


def gates(row: Mapping[str, Any]) -> str:
    """How many gates of a phase passed; a dash where it has none."""
    judged = [gate["passed"] for gate in row["gates"]]
    return f"{sum(judged)} of {len(judged)}" if judged else "-"


def with_unit(metric: Metric) -> str:
    """A value for people, with its unit where it has one."""
    unit = {"1": "", "ratio": "", "count": "", "byte": "bytes"}.get(metric.entry.unit, metric.entry.unit)
    return f"{shown(metric.value)} {unit}".strip()
