"""run -> numbers as HTML: each with a tooltip and a link to the row that says where it comes from."""

from __future__ import annotations

import json
import re
from html import escape

from .contracts import Value
from .registry import Metric, Registry

SHORT = 12
"""Digits of a hash that are shown."""


def shown(value: Value) -> str:
    """A value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:,.4g}"


def source(metric: Metric) -> str:
    """How a metric was computed: function, objects, parameters, seed."""
    given = [key[:SHORT] for key in metric.objects]
    given += [f"{name}={json.dumps(value, sort_keys=True)}" for name, value in sorted(metric.parameters.items())]
    seed = f", seed {metric.seed}" if metric.seed is not None and "seed" not in metric.parameters else ""
    return f"{metric.function}({', '.join(given)}){seed}"


def anchor(name: str, phase: str = "") -> str:
    """What a link to a metric's row names; phase: where it is not that of the name."""
    return f"m/{name}" if phase in ("", name.partition("/")[0]) else f"m/{name}@{phase}"


def tip(metric: Metric) -> str:
    """A metric in words, for a tooltip."""
    unit = "" if metric.entry.unit == "1" else f" {metric.entry.unit}"
    return f"{metric.name} = {shown(metric.value)}{unit}\n{metric.entry.meaning}\n{source(metric)}"


class Numbers:
    """The metrics of a run, by name."""

    def __init__(self, registry: Registry, run: str) -> None:
        self.run = run
        self.rows = registry.metrics(run)
        self._at = {metric.name: (phase, metric) for phase, metric in self.rows}

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def __getitem__(self, name: str) -> Metric:
        return self._at[name][1]

    def number(self, name: str) -> float:
        """A value that is a number."""
        return float(self[name].value)

    def link(self, name: str) -> str:
        """Where the row of a metric is on the page; empty: there is none."""
        return anchor(name, self._at[name][0]) if name in self else ""

    def html(self, name: str, text: str = "") -> str:
        """A metric's value, or `text` in its place, with tooltip and link; a dash where it was not measured."""
        if name not in self:
            return '<span class="dim">-</span>'
        metric = self[name]
        said = escape(text or shown(metric.value))
        return f'<a href="#{escape(self.link(name))}" title="{escape(tip(metric))}">{said}</a>'

    def find(self, template: str) -> list[tuple[tuple[str, ...], Metric]]:
        """Metrics of a template, such as `evolve/generation/{n}/best_fitness`, with its fields; numbers ascend."""
        parts = re.split(r"\{\w+\}", template)
        pattern = re.compile("([^/]+)".join(map(re.escape, parts)))
        matches = [(pattern.fullmatch(name), metric) for name, (_, metric) in self._at.items()]
        found = [(match.groups(), metric) for match, metric in matches if match is not None]
        return sorted(found, key=lambda item: [(0, int(f), "") if f.isdigit() else (1, 0, f) for f in item[0]])
