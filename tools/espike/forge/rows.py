"""Rows of the registry <-> metrics, steps, runs, phases, models."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from espike_sim.errors import EspikeError

from . import catalogue
from .contracts import Model, PhaseResult, Value, read
from .database import Row
from .packages import msgspec

MODEL = tuple(field.name for field in msgspec.structs.fields(Model))
"""Columns of a model."""
NESTED = ("provenance", "formats", "tags", "gates", "metrics")
"""Those that are JSON."""


@dataclass(frozen=True)
class Metric:
    """A measurement: what `function` computed of `objects` (SHA-256) with `parameters` and `seed`."""

    name: str
    value: Value
    function: str
    objects: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None

    @property
    def entry(self) -> catalogue.Entry:
        """Its unit, type and meaning. Raises: EspikeError where the catalogue has no such name."""
        return catalogue.match(self.name)


@dataclass(frozen=True)
class Step:
    """A step that is kept: `outputs` are objects by name, `results` JSON values."""

    key: str
    phase: str
    name: str
    inputs: dict[str, Any]
    outputs: dict[str, str]
    results: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Run:
    """A run. `status` is running, done, failed, imported, or killed where its process is gone."""

    run: str
    name: str
    config: str
    seed: int
    tool: str
    status: str
    reason: str
    started: str
    seconds: float


@dataclass(frozen=True)
class Phase:
    """A phase of a run; `result` None: it has not ended."""

    phase: str
    status: str
    started: str
    seconds: float
    result: PhaseResult | None


@dataclass(frozen=True)
class Log:
    """A line of a run's log; `number` rises."""

    number: int
    run: str
    phase: str
    at: str
    level: str
    text: str


@dataclass(frozen=True)
class Cleaned:
    """What `clean` removed, or would."""

    runs: tuple[str, ...]
    models: tuple[str, ...]
    steps: int
    objects: int
    bytes: int


def to_json(value: Any) -> str:
    """JSON, the same text for the same value. Raises: EspikeError where it is no JSON value, or not finite."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise EspikeError(f"is no JSON value ({error})", where="registry") from None


def read_run(row: Row) -> Run:
    """A run, killed where its process is gone."""
    values = dict(row)
    process = values.pop("process")
    if values["status"] == "running" and not _lives(process):
        values["status"] = "killed"
    return Run(**values)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def read_step(row: Row) -> Step:
    """A step as it was kept."""
    inputs, outputs, results = (json.loads(row[name]) for name in ("inputs", "outputs", "results"))
    return Step(row["key"], row["phase"], row["name"], inputs, outputs, results, row["seconds"])


def metric_values(m: Metric) -> tuple[Any, ...]:
    """Columns of a metric from its name on."""
    entry = m.entry
    objects, parameters = to_json(list(m.objects)), to_json(m.parameters)
    return (m.name, m.value, entry.unit, m.function, objects, parameters, m.seed, entry.is_time)


def read_metric(row: Row) -> Metric:
    """A row as it was measured: SQLite keeps a bool as an integer."""
    is_bool = catalogue.match(row["name"]).kind == "bool"
    value = bool(row["value"]) if is_bool else row["value"]
    objects, parameters = tuple(json.loads(row["objects"])), json.loads(row["parameters"])
    return Metric(row["name"], value, row["function"], objects, parameters, row["seed"])


def read_model(row: Row, where: str) -> Model:
    """A model. Raises: EspikeError where its row is damaged."""
    data = {name: json.loads(row[name]) if name in NESTED else row[name] for name in MODEL}
    return read(to_json(data), Model, f"{where}: model {row['id']}")
