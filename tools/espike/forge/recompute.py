"""run -> the same metrics again: each row's function is called with its objects and parameters, and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from espike_sim.errors import EspikeError

from .contracts import Value
from .measures import MEASURES
from .packages import one_thread
from .registry import Metric, Registry

OUTSIDE = {"clock": "a time", "host": "of the machine that ran it", "board": "measured on a board"}
"""Functions of metrics that are not of objects and parameters alone, and why."""
EQUAL, WRONG, LEFT = "equal", "wrong", "not recomputed"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Check:
    """A metric, or a model's object (`function` empty), and what came of it."""

    name: str
    phase: str
    function: str
    state: str
    """equal, wrong or not recomputed."""
    reason: str = ""
    kept: Value | None = None
    computed: Value | None = None


@dataclass(frozen=True)
class Recomputed:
    """All checks of a run."""

    run: str
    checks: tuple[Check, ...]

    def of(self, state: str) -> tuple[Check, ...]:
        """Checks that ended so."""
        return tuple(check for check in self.checks if check.state == state)

    @property
    def success(self) -> bool:
        """Is nothing wrong?"""
        return not self.of(WRONG)


def recompute(registry: Registry, run: str, progress: Progress = lambda done, count, now: None) -> Recomputed:
    """Compute every metric of a run again, and read every object of its models."""
    rows = registry.metrics(run)
    checks = list(_models(registry, run))
    with one_thread():
        for number, (phase, metric) in enumerate(rows):
            progress(number, len(rows), metric.name)
            checks.append(_check(registry, phase, metric))
    return Recomputed(run, tuple(checks))


def _models(registry: Registry, run: str) -> list[Check]:
    found = []
    for model in registry.models(run):
        for what, key in (("master", model.master), ("image", model.image)):
            reason = _damage(registry, key) if key else ""
            if reason:
                found.append(Check(f"{what} of {model.id}", model.phase, "", WRONG, reason))
    return found


def _damage(registry: Registry, key: str) -> str:
    try:
        registry.get(key)
    except EspikeError as error:
        return str(error)
    return ""


def _check(registry: Registry, phase: str, metric: Metric) -> Check:
    """One metric. What its function raises is told, for a damaged object may raise anything."""

    def ended(state: str, reason: str = "", computed: Value | None = None) -> Check:
        return Check(metric.name, phase, metric.function, state, reason, metric.value, computed)

    if metric.function in OUTSIDE or metric.entry.is_time:
        return ended(LEFT, OUTSIDE.get(metric.function, "depends on the clock"))
    function = MEASURES.get(metric.function)
    if function is None:
        return ended(WRONG, f"there is no measure {metric.function}")
    try:
        objects = [registry.get(key) for key in metric.objects]
    except EspikeError as error:
        return ended(WRONG, str(error))
    try:
        found = function(*objects, **metric.parameters)
    except Exception as error:
        return ended(WRONG, f"{metric.function} cannot be computed: {error}")
    if _same(found, metric.value):
        return ended(EQUAL, computed=found)
    return ended(WRONG, f"is {found!r}, the registry says {metric.value!r}", found)


def _same(a: Value, b: Value) -> bool:
    """Equal to the last bit; 1 and True are not the same."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)
