"""run's numbers -> plotly figures; what was not measured makes none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from ..forge.models import Trial
from ..forge.provenance import Numbers, tip
from ..forge.registry import Metric, Registry

Point = tuple[float, float, str]
"""x, y, and what is said of it."""


def figure(title: str, x: str, y: str) -> go.Figure:
    """An empty figure with a title and names of its axes."""
    made = go.Figure()
    made.update_layout(
        title=title, xaxis_title=x, yaxis_title=y, height=340, margin={"l": 10, "r": 10, "t": 60, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0}, uirevision=title,
        xaxis_separatethousands=True, yaxis_separatethousands=True,
    )  # fmt: skip
    return made


def lines(
    title: str, series: Mapping[str, Sequence[Point]], x: str, y: str, mode: str = "lines+markers", whole: bool = True
) -> list[go.Figure]:
    """A curve per series that has points; whole: x counts something."""
    made = figure(title, x, y)
    for name, points in series.items():
        if points:
            xs, ys, said = zip(*points, strict=True)
            made.add_scatter(x=xs, y=ys, text=[t.replace("\n", "<br>") for t in said], name=name, mode=mode,
                             hoverinfo="text")  # fmt: skip
    if whole:
        most = max((x for points in series.values() for x, *_ in points), default=0)
        made.update_xaxes(tickformat=",d", dtick=1 if most <= 20 else None)
    if y == "share" and all(0 <= share <= 1 for points in series.values() for _, share, _ in points):
        made.update_yaxes(minallowed=-0.02, maxallowed=1.02)
    made.update_layout(showlegend=len(made.data) > 1)
    return [made] if made.data else []


def bars(title: str, marks: Sequence[tuple[str, float, str]], y: str) -> list[go.Figure]:
    """A bar per name."""
    if not marks:
        return []
    names, values, said = zip(*marks, strict=True)
    made = figure(title, "", y)
    made.add_bar(x=names, y=values, hovertext=[t.replace("\n", "<br>") for t in said], hoverinfo="text",
                 text=[f"{value:,.4g}" for value in values])  # fmt: skip
    return [made]


def of_phase(registry: Registry, numbers: Numbers, phase: str) -> list[go.Figure]:
    """Every figure of a phase."""
    make = {"adopt": adopt, "evolve": evolve, "settle": settle, "train": train, "tune": tune, "fit": fit, "pack": pack}
    return make[phase](registry, numbers) if phase in make else []


def series(numbers: Numbers, template: str) -> list[Point]:
    """A template whose last field is a number, as a curve."""
    return [(int(key[-1]), number(m), tip(m)) for key, m in numbers.find(template)]


def number(metric: Metric) -> float:
    """The value as a number."""
    return float(metric.value)


def history(registry: Registry, metric: Metric, name: str) -> list[Point]:
    """A series of the history that a metric was read from."""
    if metric.function != "recorded" or not metric.objects or not registry.has(metric.objects[0]):
        return []
    values = json.loads(registry.get(metric.objects[0])).get(name) or []
    return [(i + 1, v, f"{name} of epoch {i + 1}: {v:.4g}") for i, v in enumerate(values) if isinstance(v, int | float)]


def adopt(registry: Registry, numbers: Numbers) -> list[go.Figure]:
    """Candidates: right answers, and losses by epoch."""
    scores = [(name, number(m), tip(m)) for (name,), m in numbers.find("adopt/candidate/{candidate}/accuracy")]
    losses = {name: series(numbers, f"adopt/candidate/{name}/epoch/{{epoch}}/loss") or history(registry, m, "losses")
              for (name,), m in numbers.find("adopt/candidate/{candidate}/loss")}  # fmt: skip
    return [*bars("Candidates: right answers on validation items", scores, "share"),
            *lines("Candidates: loss", losses, "epoch", "nat")]  # fmt: skip


def evolve(_: Registry, numbers: Numbers) -> list[go.Figure]:
    """Fitness and diversity by generation."""
    at = "evolve/generation/{generation}/"
    fitness = {kind: series(numbers, f"{at}{kind}_fitness") for kind in ("best", "avg", "min")}
    apart = {"of weights": series(numbers, f"{at}diversity"), "of answers": series(numbers, f"{at}hamming")}
    return [*lines("Fitness", fitness, "generation", "fitness"), *lines("Diversity", apart, "generation", "share")]


def settle(_: Registry, numbers: Numbers) -> list[go.Figure]:
    """Right answers by bursts after the last sample, and by margin."""
    made = []
    for what in ("bursts", "margin"):
        points = series(numbers, f"settle/{what}/{{{what}}}/accuracy")
        made += lines(f"Right answers by {what}", {what: points}, what, "share")
    return made


def train(registry: Registry, numbers: Numbers) -> list[go.Figure]:
    """Loss and accuracies of each level by epoch, of its metrics, else of the history that its loss was read from."""
    made = []
    for (level,), m in numbers.find("train/level/{level}/train_loss"):
        at = f"train/level/{level}/epoch/{{epoch}}/"
        # fmt: off
        losses = {"training": series(numbers, f"{at}loss") or history(registry, m, "losses"),
                  "validation": series(numbers, f"{at}validation_loss")}
        right = {"training": series(numbers, f"{at}train_accuracy") or history(registry, m, "accuracies"),
                 "validation": series(numbers, f"{at}validation_accuracy") or history(registry, m, "validation")}
        # fmt: on
        made += lines(f"Level {level}: loss", losses, "epoch", "nat")
        made += lines(f"Level {level}: right answers", right, "epoch", "share")
    return made


def tune(_: Registry, numbers: Numbers) -> list[go.Figure]:
    """Solve rate of repair and consistency of homeostasis, by cycle."""
    made = []
    for title, kind, what in (("Repair: solved", "a", "solve"), ("Homeostasis: like itself", "b", "consistency")):
        found = {when: series(numbers, f"tune/{kind}_cycle/{{cycle}}/{what}_{when}") for when in ("before", "after")}
        made += lines(title, found, "cycle", "share")
    return made


def fit(_: Registry, numbers: Numbers) -> list[go.Figure]:
    """Pruning, the front of the search, and its hypervolume."""
    pruned = [(numbers.number(f"fit/prune/{step}/neurons"), number(m), f"step {step}\n{tip(m)}")
              for (step,), m in numbers.find("fit/prune/{step}/accuracy")
              if f"fit/prune/{step}/neurons" in numbers]  # fmt: skip
    volume = {name: series(numbers, f"fit/search/generation/{{generation}}/{key}")
              for name, key in (("search", "hypervolume"), ("random", "random_hypervolume"))}  # fmt: skip
    front = [(x, y, f"{name}\n{said}") for name, x, y, said in front_points(numbers)]
    return [*lines("Pruning: right answers by neurons left", {"pruning": pruned}, "neurons", "share", whole=False),
            *lines("The search's front", {"front": sorted(front)}, "bytes", "wrong answers", "markers", whole=False),
            *lines("Hypervolume", volume, "generation", "hypervolume")]  # fmt: skip


def front_points(numbers: Numbers) -> list[tuple[str, float, float, str]]:
    """Points of the front: name, bytes, wrong answers, words."""
    found = numbers.find("fit/search/front/{point}/error")
    return [(f"point {point}", numbers.number(size), number(m), f"{tip(m)}\n{tip(numbers[size])}")
            for (point,), m in found if (size := f"fit/search/front/{point}/bytes") in numbers]  # fmt: skip


def pack(_: Registry, numbers: Numbers) -> list[go.Figure]:
    """The ladder of formats: bytes and right answers."""
    sizes = [(rung, number(m), tip(m)) for (rung,), m in numbers.find("pack/rung/{rung}/bytes")]
    scores = [(rung if task in ("", "all") else f"{rung}, {task}", number(m), tip(m))
              for (rung, task), m in numbers.find("pack/rung/{rung}/gate/{task}/score")]  # fmt: skip
    return [*bars("The ladder: bytes", sizes, "bytes"), *bars("The ladder: right answers", scores, "share")]


def ladder_rows(numbers: Numbers, reached: Sequence[str]) -> list[dict[str, Any]]:
    """The ladder as a table: bytes, bytes per synapse, lower bound of what was kept, and whether it was taken."""
    rows = []
    for (rung,), m in numbers.find("pack/rung/{rung}/bytes"):
        each = f"pack/rung/{rung}/bytes_per_synapse"
        lows = [number(low) for _, low in numbers.find(f"pack/rung/{rung}/gate/{{task}}/low")]
        rows.append({
            "format": rung, "bytes": m.value, "bytes per synapse": numbers.number(each) if each in numbers else None,
            "kept, lower bound": min(lows, default=None), "taken": rung in reached,
        })  # fmt: skip
    return rows


def confusion(trial: Trial) -> go.Figure:
    """What was answered, by what was shown."""
    made = figure("Answers", "answered", "shown")
    made.add_heatmap(
        z=trial.confusion, x=[*trial.labels, "none"], y=list(trial.labels), texttemplate="%{z}", colorscale="Blues",
        showscale=False,
    )  # fmt: skip
    made.update_yaxes(autorange="reversed", type="category")
    made.update_xaxes(type="category")
    return made
