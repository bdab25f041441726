"""registry -> JSON values: what `status`, `phases`, `models` and `metrics` show."""

from __future__ import annotations

import sys
from typing import Any

from espike_sim.errors import EspikeError

from . import catalogue, contracts, phases
from .contracts import PHASES, Model, Verdict
from .packages import msgspec
from .registry import Log, Metric, Registry
from .rows import Phase, Run
from .run import kind_of_failure

NEWEST = "newest"
_ENDLESS = (1 << 16, 1 << 32)
"""Limits that a rule has where none is meant."""


def find_run(registry: Registry, prefix: str | None) -> Run:
    """The run whose id begins so; None, or `newest`: the newest. Raises: EspikeError where that is not one."""
    return registry.find_run("" if prefix in (None, NEWEST) else prefix or "")


def run_row(run: Run) -> dict[str, Any]:
    """A run, without its configuration."""
    return {name: value for name, value in vars(run).items() if name != "config"}


def status(registry: Registry, run: Run) -> dict[str, Any]:
    """A run with its phases and models."""
    rows = registry.phases(run.run)
    results = tuple(row.result for row in rows if row.result is not None)
    return run_row(run) | {
        "kind": kind_of_failure(results, run.reason if run.status == "failed" else ""),
        "phases": [phase_row(row) for row in rows],
        "models": [model.id for model in registry.models(run.run)],
        "promoted": [model.id for model in registry.promoted() if model.session == run.run],
    }


def phase_row(row: Phase) -> dict[str, Any]:
    """A phase of a run."""
    result = row.result
    return {
        "phase": row.phase, "status": row.status, "started": row.started, "seconds": row.seconds,
        "models": list(result.models) if result else [], "artefacts": dict(result.artefacts) if result else {},
        "gates": [gate_row(gate) for gate in result.gates] if result else [],
        "reason": result.reason if result else "",
    }  # fmt: skip


def gate_row(gate: Verdict) -> dict[str, Any]:
    """A gate that was judged."""
    made: dict[str, Any] = msgspec.to_builtins(gate)
    return made


def about(phase: str) -> str:
    """What a phase is for, in its module's words."""
    module = sys.modules[phases.RUN[phase].__module__]  # type: ignore[index]
    return (module.__doc__ or "").partition("\n")[0]


def inputs(phase: str) -> list[str]:
    """What a phase is handed: the rules of its hand-off."""
    if phase == PHASES[0]:
        return ["configuration"]
    found = []
    for rule in contracts.standard(phase):  # type: ignore[arg-type]
        values = msgspec.to_builtins(rule)
        name = values.pop("rule")
        limits = ", ".join(f"{key} {_limit(value)}" for key, value in values.items() if value not in _ENDLESS)
        found.append(f"{name}: {limits}")
    return found


def _limit(value: Any) -> str:
    return " and ".join(value) if isinstance(value, list | tuple) else f"{value:,}"


def phase_table(registry: Registry, run: Run | None) -> list[dict[str, Any]]:
    """Every phase with what it takes, and, of a run, what it gave, its gates and its state."""
    done = {row.phase: phase_row(row) for row in registry.phases(run.run)} if run is not None else {}
    never = {"status": "not begun", "models": [], "artefacts": {}, "gates": [], "seconds": 0.0, "reason": ""}
    return [{"phase": phase, "about": about(phase), "inputs": inputs(phase), **(done.get(phase) or never)}
            for phase in PHASES]  # fmt: skip


def model_row(model: Model) -> dict[str, Any]:
    """A model as its JSON."""
    made: dict[str, Any] = msgspec.to_builtins(model)
    return made


def model_details(registry: Registry, model: Model) -> dict[str, Any]:
    """A model with its ancestors, and whether its image is the active one."""
    promoted = model.id in {m.id for m in registry.promoted()}
    return model_row(model) | {"promoted": promoted, "lineage": [list(pair) for pair in registry.lineage(model.id)]}


def metric_row(phase: str, metric: Metric) -> dict[str, Any]:
    """A metric with its unit and where it comes from."""
    return {"phase": phase, **vars(metric), "objects": list(metric.objects), "unit": metric.entry.unit}


def log_row(log: Log) -> dict[str, Any]:
    """A line of the log."""
    return dict(vars(log))


def suites() -> list[dict[str, Any]]:
    """Every suite with its tasks; one whose data is not here says so."""
    from . import tasks

    made = []
    for name, make in tasks.SUITES.items():
        try:
            made.append(suite_row(make()))
        except EspikeError as error:
            made.append({"suite": name, "missing": str(error), "tasks": []})
    return made


def suite_row(suite: Any) -> dict[str, Any]:
    """A suite."""
    names = ("about", "channels", "samples", "unit", "labels", "encoders", "bursts", "settle")
    return {"suite": suite.name, **{name: getattr(suite, name) for name in names},
            "tasks": [task_row(task) for task in suite.tasks]}  # fmt: skip


def task_row(task: Any) -> dict[str, Any]:
    """A task."""
    return {"task": task.name, "level": task.level, "about": task.about, "classes": list(task.classes),
            "plant": task.plant is not None, "held_out": task.held_out}  # fmt: skip


def metrics_document() -> str:
    """docs/forge-metrics.md: every metric, by phase."""
    made = [
        "# Metrics of the forge\n\n    espike forge metrics list --markdown > docs/forge-metrics.md\n\n"
        f"{catalogue.count()} metrics, a template with fields in braces counted once. A time depends on the clock: no "
        "gate and no hash sees it.\n"
    ]
    for phase in catalogue.PHASES:
        rows = [row for row in catalogue.markdown().splitlines() if row.startswith(f"| `{phase}/")]
        head = catalogue.markdown().splitlines()[:2]
        made.append(f"\n## {phase}\n\n{catalogue.count(phase)} metrics.\n\n" + "\n".join([*head, *rows]) + "\n")
    return "".join(made)
