"""run -> CSV, JSONL, TensorBoard events, Weights & Biases: its metrics for others' tools, without a network."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

from . import config, tfevents
from .contracts import Value
from .packages import msgspec
from .registry import Metric, Registry
from .rows import Run

COLUMNS = ("run", "phase", "name", "value", "unit", "type", "time", "function", "objects", "parameters", "seed")
STEPS = ("epoch", "generation", "cycle", "step", "bursts", "margin", "level")
"""Fields of names that are an axis, the innermost first."""


@dataclass(frozen=True)
class Point:
    """A metric as a point of a curve: numbered fields of its name are left out of `tag`, one is the step."""

    tag: str
    step: int
    value: Value


def rows(registry: Registry, run: str) -> list[dict[str, Any]]:
    """A run's metrics, a table row each, with all that is known of where they come from."""
    return [_row(run, phase, metric) for phase, metric in registry.metrics(run)]


def _row(run: str, phase: str, m: Metric) -> dict[str, Any]:
    entry = m.entry
    values = (run, phase, m.name, m.value, entry.unit, entry.kind, entry.is_time, m.function, list(m.objects),
              m.parameters, m.seed)  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def point(metric: Metric) -> Point:
    """`train/level/2/epoch/7/loss` -> `train/level/2/loss` at 7; a name without an axis is at 0."""
    template, pieces = metric.entry.pieces, metric.name.split("/")
    for axis in STEPS:
        place = template.index(f"{{{axis}}}") if f"{{{axis}}}" in template else -1
        if place > 0 and pieces[place].isdigit():
            kept = [piece for i, piece in enumerate(pieces) if i not in (place - 1, place)]
            return Point("/".join(kept), int(pieces[place]), metric.value)
    return Point(metric.name, 0, metric.value)


def points(registry: Registry, run: str) -> list[Point]:
    """A run's metrics by tag and step."""
    return sorted((point(m) for _, m in registry.metrics(run)), key=lambda p: (p.tag, p.step))


def export(registry: Registry, run: str, kind: str, path: Path) -> Path:
    """Write a run's metrics -> the file; csv, jsonl: `path` is it, tensorboard, wandb: the folder where it lies.

    Raises: EspikeError where it cannot be written, or a package is missing.
    """
    try:
        return WRITERS[kind](registry, run, path)
    except OSError as error:
        raise EspikeError(f"cannot be written ({error.strerror})", where=str(path)) from None


def _csv(registry: Registry, run: str, path: Path) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(registry, run):
        row |= {"objects": " ".join(row["objects"]), "parameters": json.dumps(row["parameters"], sort_keys=True)}
        writer.writerow(row)
    path.write_text(text.getvalue(), "utf8")
    return path


def _jsonl(registry: Registry, run: str, path: Path) -> Path:
    path.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows(registry, run)), "utf8")
    return path


def _tensorboard(registry: Registry, run: str, path: Path) -> Path:
    """Numbers alone: texts have no curve. The run's beginning is the time of all."""
    began = _began(registry.find_run(run))
    found = [p for p in points(registry, run) if not isinstance(p.value, str)]
    path.mkdir(parents=True, exist_ok=True)
    file = path / f"events.out.tfevents.{int(began)}.{run}"
    file.write_bytes(tfevents.write([tfevents.Scalar(p.tag, p.step, float(p.value)) for p in found], began))
    return file


def _began(run: Run) -> float:
    return datetime.fromisoformat(run.started).timestamp()


def _wandb(registry: Registry, run: str, path: Path) -> Path:
    """An offline run, for `wandb sync` to send where a person wants that; curves by axes of their own."""
    try:
        import wandb
    except ImportError:
        raise EspikeError("needs wandb", where="metrics export", do="pip install 'espike[wandb]'") from None
    path.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_SILENT", "true")
    about = registry.find_run(run)
    settings = wandb.Settings(disable_git=True, console="off", x_disable_stats=True)
    asked = msgspec.to_builtins(config.parse(about.config, run)) if about.config else {}
    made = wandb.init(mode="offline", project="espike-forge", name=f"{about.name}-{run[:8]}", dir=str(path),
                      config=asked, settings=settings)  # fmt: skip
    for p in points(registry, run):
        if p.step:
            made.define_metric(p.tag, step_metric=f"at/{p.tag}")
            made.log({p.tag: p.value, f"at/{p.tag}": p.step})
        else:
            made.summary[p.tag] = p.value
    folder = Path(made.dir).parent
    made.finish()
    found = sorted(folder.glob("*.wandb"))
    return found[0] if found else folder


WRITERS: dict[str, Callable[[Registry, str, Path], Path]] = {
    "csv": _csv, "jsonl": _jsonl, "tensorboard": _tensorboard, "wandb": _wandb,
}  # fmt: skip
