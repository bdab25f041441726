"""examples/*.toml -> what a whole run of the forge ends with: size, right answers, time, search against chance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from espike_sim.errors import EspikeError

from ..toolchain import ROOT

EXAMPLES = ROOT / "examples"
MATCH = """
[run]
suite = "graded"
levels = [4]
name = "match"
seed = 1
verify = []

[adopt]
candidates = ["memory"]
hidden = [64]
epochs = 30

[evolve]
generations = 0

[train]
epochs_per_level = 15
rate = 0.005
quiet = 1.0
early = 1.0
advance_at = 0.7

[tune]
cycles_most = 0

[fit]
prune = 0.0
search = { generations = 0 }

[pack]
rungs = ["lossless"]
"""
"""Level 4 of the graded suite alone: confidence, and what the early exit saves."""


@dataclass(frozen=True)
class Forged:
    """How a run ended, and what it measured."""

    success: bool
    reason: str
    seconds: float
    metrics: dict[str, float]

    def metric(self, name: str) -> float | None:
        """A metric by its name. Raises: EspikeError where the run failed."""
        if not self.success:
            raise EspikeError(f"the run failed: {self.reason}", where="forge")
        return self.metrics.get(name)


def forged(name: str, folder: Path) -> Forged:
    """A run of examples/NAME.toml, or of MATCH, in a home of its own below `folder`."""
    from ..forge import config
    from ..forge.registry import Registry
    from ..forge.run import run

    asked = config.parse(MATCH, "match") if name == "match" else config.load(EXAMPLES / f"{name}.toml")
    with Registry.open(folder / f"forge-{name}") as registry:
        ended = run(registry, asked)
        found = registry.metrics(ended.run)
    values = {m.name: float(m.value) for _, m in found if not isinstance(m.value, str)}
    return Forged(ended.success, ended.reason, ended.seconds, values)
