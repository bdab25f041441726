"""rows and figures -> the page: what pages share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from espike_sim.errors import EspikeError

from ..forge.registry import Registry
from ..forge.rows import Run

PLOT = {"displaylogo": False, "displayModeBar": False}


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
    st.dataframe(list(rows), hide_index=True)


def choose_run(registry: Registry) -> Run | None:
    """The run that is chosen; None: there is none, which the page says."""
    runs = registry.runs()
    if not runs:
        st.info("No run yet: espike forge run CONFIG.toml")
        return None
    return st.selectbox("Run", runs, format_func=_named)


def _named(run: Run) -> str:
    return f"{run.run[:8]} {run.name}, {run.status}, {run.started[:19]}"
