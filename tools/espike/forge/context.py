"""What phases work with: steps that are kept, objects, measured metrics; and what every phase asks for.

A step's key is the hash of all that it depends on. What is kept under it is taken, else computed: resume, cache and
checkpoints are this one mechanism.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError

from .. import selftest, train
from .config import Config, fingerprint
from .contracts import Metrics, Model, Verdict
from .measures import MEASURES, examples_bytes, examples_of, master_bytes, master_of, recorded
from .registry import Metric, Registry
from .rounded import as_integers, with_bits
from .rows import Step
from .tasks import Suite, Task, join

STEPS = 5
"""Part of every key: raised where what steps compute changes."""
SABOTAGES = ("corrupt-image", "poison-update", "inflate-weights", "no-replay", "small-board", "stuck-output")
"""What `--sabotage` may break, so that a gate must catch it."""

Say = Callable[[str], None]
Computed = tuple[Mapping[str, str], Mapping[str, Any]]
"""What a step gives: objects by name, JSON values."""


@dataclass(frozen=True)
class Draft:
    """A network that a phase hands on, before it is a model of the registry."""

    name: str
    master: str
    """Hash of the object."""
    image: str = ""
    specialization: str | None = None
    parents: tuple[str, ...] = ()
    """Ids of models."""
    formats: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a phase ended. Its gates, each missed one with what followed, decide whether it succeeded."""

    models: tuple[Draft, ...]
    gates: tuple[Verdict, ...] = ()
    artefacts: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Context:
    """One phase of one run. Not for several threads."""

    registry: Registry
    config: Config
    suite: Suite
    run: str
    phase: str
    models: tuple[Model, ...]
    """What the phase before handed over."""
    sabotage: str = ""
    say: Say = lambda text: None
    found: int = 0
    computed: int = 0
    metrics: Metrics = field(default_factory=dict)
    """What was measured in this phase, by name."""
    drawn: dict[str, str] = field(default_factory=dict)
    """Examples by step, of all phases of this run."""
    _pending: list[Metric] | None = None

    # steps

    def step(self, name: str, inputs: Mapping[str, Any], compute: Callable[[], Computed]) -> Step:
        """The step as it is kept, or computed and kept. `inputs`: all that `compute` depends on, as JSON values."""
        key = fingerprint([STEPS, self.phase, name, dict(inputs)])
        kept = self.registry.find_step(key, self.run, self.phase)
        if kept is not None:
            self.found += 1
            return kept
        if self._pending is not None:
            raise EspikeError(f"step {name} was begun within another")
        self._pending, began = [], time.monotonic()
        try:
            outputs, results = compute()
            made = self.registry.keep_step(
                key, self.run, self.phase, name, inputs, outputs, results, self._pending, time.monotonic() - began
            )
        finally:
            self._pending = None
        self.computed += 1
        return made

    def kept(self, name: str, inputs: Mapping[str, Any]) -> Step | None:
        """The step, where it is kept."""
        return self.registry.find_step(fingerprint([STEPS, self.phase, name, dict(inputs)]))

    def put(self, data: bytes) -> str:
        """Keep an object -> its hash."""
        return self.registry.put(data)

    def get(self, key: str) -> bytes:
        """An object's bytes."""
        return self.registry.get(key)

    # metrics

    def measure(self, name: str, function: Callable[..., Any], *objects: str, **parameters: Any) -> Any:
        """Measure and log: `function` is one of `measures`, `objects` are hashes. Returns the value."""
        assert MEASURES.get(function.__name__) is function, function
        value = function(*map(self.get, objects), **parameters)
        value = value.item() if isinstance(value, np.generic) else value
        metric = Metric(f"{self.phase}/{name}", value, function.__name__, objects, parameters, parameters.get("seed"))
        self.metrics[metric.name] = value
        if self._pending is not None:
            self._pending.append(metric)
        else:
            self.registry.metric(self.run, self.phase, metric)
        return value

    def learned(self, name: str, history: str, curves: Mapping[str, str], first: int = 0) -> None:
        """Log what the history of a training has of each epoch, from `first` on, by {name of the metric: key}."""
        epochs = json.loads(self.get(history))["epochs"]
        for epoch in range(epochs):
            for metric, key in curves.items():
                self.measure(f"{name}/epoch/{first + epoch}/{metric}", recorded, history, path=[key, epoch])

    def timed(self, name: str, seconds: float) -> None:
        """Log a time: no hash and no gate sees it."""
        self.registry.metric(self.run, self.phase, Metric(f"{self.phase}/{name}", seconds, "clock"))

    def gate(
        self, gate: str, metric: str, value: float, limit: float, *, least: bool = True, action: str = ""
    ) -> Verdict:
        """Judge a value of a metric of this phase; least: it must reach the limit, else not be above it."""
        passed = value >= limit if least else value <= limit
        self.say(f"gate {gate}: {metric} {value:g}, limit {limit:g}: {'passed' if passed else 'MISSED'}")
        self.registry.log(
            self.run, self.phase, f"gate {gate}: {'passed' if passed else 'missed'}", "info" if passed else "error"
        )
        return Verdict(
            gate, f"{self.phase}/{metric}", float(value), float(limit), bool(passed), "" if passed else action
        )

    # what phases ask for

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of the levels that are trained, ascending."""
        levels = self.config.run.levels
        return tuple(t for t in self.suite.tasks if not t.held_out and (not levels or t.level in levels))

    def count(self, part: str) -> int:
        """Examples of a task's part, at most."""
        asked = self.config.train
        return {"train": asked.examples, "val": asked.validation, "test": asked.test}[part]

    def examples(self, task: Task, part: str) -> str:
        """Examples of a task -> their hash. Drawn once in a run, whose files may have changed since the last."""
        name = f"data/{task.name}/{part}"
        if name not in self.drawn:
            drawn = task.examples(part, self.count(part), self.config.run.seed)
            self.drawn[name] = self.put(examples_bytes(drawn))
        key = self.drawn[name]
        return self.step(name, {"examples": key}, lambda: ({"examples": key}, {})).outputs["examples"]

    def all_examples(self, part: str) -> str:
        """Examples of all tasks, joined -> their hash; of one task its own."""
        parts = [self.examples(task, part) for task in self.tasks]
        if len(parts) == 1:
            return parts[0]

        def together() -> Computed:
            return {"examples": self.put(examples_bytes(join([examples_of(self.get(key)) for key in parts])))}, {}

        return self.step(f"data/all/{part}", {"parts": parts}, together).outputs["examples"]

    def data(self, trained: str, tested: str) -> train.Data:
        """Two objects of examples for the trainer."""
        sets = [examples_of(self.get(key)) for key in (trained, tested)]
        return train.Data(sets[0], sets[1], self.suite.labels, self.suite.unit)

    def image(
        self, master: str, precision: str = "int8", *, bits: int | None = None, calibrated: str = "", name: str = "",
        weights: str = "8",
    ) -> str:  # fmt: skip
        """The image of a master -> its hash.

        bits: of all weights; calibrated: examples that codes are fitted to; weights: as of `pack --weights`.
        """
        share = self.config.quant.calibrate if calibrated else 0
        inputs = {"master": master, "precision": precision, "bits": bits, "calibrated": calibrated, "share": share,
                  "weights": weights}  # fmt: skip

        def pack() -> Computed:
            raw = examples_of(self.get(calibrated)).raw if calibrated else None
            packed = selftest.pack(as_integers(self.master(master), precision, bits, raw, share, weights))
            return {"image": self.put(packed.data)}, {"report": packed_report(packed)}

        return self.step(f"image{f'/{name}' if name else ''}", inputs, pack).outputs["image"]

    def trained(
        self, name: str, master: str, data: tuple[str, str], schedule: train.Schedule, *, bits: int | None = None
    ) -> Step:
        """Train a master on examples (training, validation) -> step with objects `master` and `history`.

        bits: of all weights at most, beside its own.
        """
        inputs = {"master": master, "data": data, "schedule": vars(schedule), "bits": bits}

        def fit() -> Computed:
            c = master_of(self.get(master))
            widths = (with_bits(c, bits) if bits is not None else c).quantization.bits

            def tell(done: int, count: int, what: str) -> None:
                self.say(f"{name}: epoch {done} of {count}, {what}")

            made = train.train(train.of(c, name), self.data(*data), schedule, widths, tell)
            history = {
                "losses": made.losses, "accuracies": made.accuracies, "validation": made.test_accuracies,
                "validation_losses": made.test_losses, "rates": made.rates, "norms": made.norms, "noise": made.noise,
                "bits": bits, "epochs": len(made.losses), "steps": schedule.plan(self.data(*data))[2],
            }  # fmt: skip
            return {"master": self.put_master(made.connectome), "history": self.put_json(history)}, {}

        return self.step(f"train/{name}", inputs, fit)

    def schedule(self, epochs: int, rate: float, seed: int = 0) -> train.Schedule:
        """How to train so long from that rate on; seed: added to the run's."""
        seed += self.config.run.seed
        asked = self.config.train
        return train.Schedule(epochs, 0, asked.batch, rate, seed, None if asked.augment else 0, quiet=asked.quiet,
                              early=asked.early, warmup=asked.warmup, decay=asked.decay, clip=asked.clip,
                              grokfast=self.slow)  # fmt: skip

    @property
    def slow(self) -> tuple[float, float] | None:
        """The trainer's Grokfast filter."""
        asked = self.config.train.grokfast
        return None if asked == "off" else (asked.alpha, asked.strength)

    @property
    def bits(self) -> int | None:
        """Bits that weights are trained with; None: as floats."""
        return self.config.quant.bits if self.config.quant.bits < 8 else None

    def put_master(self, c: Connectome) -> str:
        """Keep a connectome -> its hash."""
        return self.put(master_bytes(c))

    def put_json(self, value: Any) -> str:
        """Keep JSON -> its hash."""
        return self.put(json.dumps(value, sort_keys=True).encode())

    def master(self, key: str) -> Connectome:
        """A connectome that is kept."""
        return master_of(self.get(key))

    def origin(self) -> Model:
        """The adopted candidate that what was handed over comes from."""
        model = self.only()
        while model.phase != "adopt" and model.provenance.parents:
            found = [self.registry.model(id) for id in model.provenance.parents]
            model = next((parent for parent in found if parent.name == model.name), found[0])
        return model

    def only(self) -> Model:
        """The one model that was handed over."""
        return self.models[0]

    def draft(self, model: Model, master: str, image: str = "", **changes: Any) -> Draft:
        """What a model becomes."""
        name = model.name.removeprefix(self.config.run.name + "_")
        return replace(Draft(name, master, image, model.specialization, (model.id,)), **changes)


def packed_report(packed: Any) -> Sequence[Any]:
    """Bytes of an image's sections."""
    return sorted([name, int(size)] for name, size in packed.sizes.items())
